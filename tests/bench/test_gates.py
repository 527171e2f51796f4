from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.fakes import machine, result_of
from yolotrt.bench.advice import advise
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.compare import Comparison, compare
from yolotrt.bench.compare_file import comparison_file
from yolotrt.bench.evidence import apart
from yolotrt.bench.judge import judge
from yolotrt.bench.percentiles import STATISTICS, left_out, needed_count
from yolotrt.bench.result import Case, CaseResult, Endings, RunResult, read_result, write_result
from yolotrt.bench.settings import Settings
from yolotrt.bench.source import source_files
from yolotrt.errors import ArtifactError, GateUndecided, UsageError
from yolotrt.machine.environment import EngineRecord
from yolotrt.machine.watch import During, WatchedGpu

STEADY = [0.0100, 0.0101, 0.0099, 0.0100, 0.0101, 0.0099, 0.0100, 0.0102, 0.0098, 0.0100] * 3
SLOWER = [value * 1.1 for value in STEADY]


def _words(found: Comparison) -> list[str]:
    return [stage.word for stage in comparison_file(found).changes]


def test_budgets_are_held_against_every_case_that_measures_the_stage() -> None:
    verdicts = judge(result_of(STEADY, SLOWER).cases, Budgets.parse(["end_to_end=10.5ms"]))
    assert [v.met for v in verdicts] == [True, False]
    assert verdicts[1].seconds == pytest.approx(0.011)
    worst = judge(result_of(STEADY * 23).cases, Budgets.parse(["end_to_end=10.05ms"], "p99"))
    assert [v.held for v in worst] == ["missed"]


def test_a_budget_on_a_percentile_that_frames_cannot_tell_is_neither_met_nor_missed() -> None:
    """Unless the median misses it already."""
    thirty = result_of(STEADY).cases
    held = {limit: judge(thirty, Budgets.parse([f"end_to_end={limit}"], "p99"))[0] for limit in ("9s", "9ms")}
    assert {limit: verdict.held for limit, verdict in held.items()} == {"9s": "undecided", "9ms": "missed"}
    assert not held["9s"].met
    assert held["9s"].needed == 662


def test_a_budget_on_the_frame_is_held_against_the_frame_that_is_run() -> None:
    """A global pass that keeps it alone says nothing about tiles and global pass together."""
    cases = [
        CaseResult(Case("a", "fp32", mode, "serial", 1), {"end_to_end": STEADY, "tiles": STEADY}, [], 0)
        for mode in ("global", "tiled", "tiled+global")
    ]
    budgets = Budgets.parse(["end_to_end=33ms", "tiles=33ms"])
    held = [(v.stage, v.case.mode) for v in judge(cases, budgets)]
    assert held == [
        ("end_to_end", "tiled+global"),
        ("tiles", "global"), ("tiles", "tiled"), ("tiles", "tiled+global"),
    ]  # fmt: skip
    alone = judge(cases[:2], Budgets.parse(["end_to_end=33ms"]))
    assert [v.case.mode for v in alone] == ["global", "tiled"]


def test_other_budgets_take_the_place_of_those_that_are_there() -> None:
    there = Budgets({"tiles": 1.0}, "p95", 0.033)
    assert there.given(Budgets()) == there
    assert there.given(Budgets.parse((), deadline="10ms")) == Budgets({"tiles": 1.0}, "p95", 0.010)
    assert there.given(Budgets.parse(["merge=2s"])) == Budgets({"merge": 2.0}, "p50", 0.033)
    with pytest.raises(UsageError, match="deadline"):
        Budgets.parse((), deadline="soon")


def test_a_budget_that_nothing_was_held_against_is_an_error_not_a_pass() -> None:
    with pytest.raises(UsageError, match="nothing"):
        judge(result_of(STEADY).cases, Budgets.parse(["tiles=1ms"]))


def test_a_budget_on_what_was_measured_now_and_then_is_not_judged() -> None:
    holes: list[float | None] = [None, *STEADY[1:]]
    case = CaseResult(Case("a", "fp32", "tiled", "serial", 1), {"end_to_end": holes}, [], 0)
    with pytest.raises(GateUndecided, match="measured some frames only"):
        judge((case,), Budgets.parse(["end_to_end=1s"]))


@pytest.mark.parametrize("term", ["tiles", "tiles=10", "tiles=ms", "tiles=0ms", "nose=1ms", "tiles=-1ms", ""])
def test_budgets_that_make_no_sense_are_refused(term: str) -> None:
    with pytest.raises(UsageError):
        Budgets.parse([term])


def test_units_and_the_way_through_a_file(tmp_path: Path) -> None:
    budgets = Budgets.parse(["tiles=10ms", "end_to_end=0.033s", "merge=500us"], "p95")
    assert budgets.limits == pytest.approx({"tiles": 0.010, "end_to_end": 0.033, "merge": 0.0005})
    written = write_result(tmp_path / "r.json", result_of(STEADY, budgets=budgets))
    assert read_result(written).budgets == budgets
    assert result_of(STEADY).budgets.limits == {}
    with pytest.raises(UsageError, match="p42"):
        Budgets.parse(["tiles=1ms"], "p42")


def test_a_change_within_tolerance_is_no_regression() -> None:
    base, new = result_of(STEADY), result_of(SLOWER)
    assert _words(compare(base, new)) == ["REGRESSION"]
    assert _words(compare(base, new, fail_on=0.2)) == ["slower, within tolerance"]
    assert _words(compare(new, base)) == ["faster"]
    assert _words(compare(base, base)) == ["no significant change"]


def test_a_regression_is_beyond_the_limit_and_certain_not_certainly_beyond_the_limit() -> None:
    """A slow-down of 6 % whose interval reaches below the limit of 5 %, but not down to none."""
    spread = np.random.default_rng(1).normal(1, 0.05, 60)
    base, new = (result_of([seconds * s for s in spread]) for seconds in (0.0100, 0.0106))
    (change,) = compare(base, new, fail_on=0.05).changes
    assert change.ratio.interval is not None
    assert 1 < change.ratio.interval.low < 1.05 < change.ratio.value
    assert change.regressed
    assert not compare(base, new, fail_on=0.07).changes[0].regressed
    exactly = replace(change, fail_on=change.ratio.value - 1)
    assert not replace(exactly, ratio=replace(change.ratio, value=1 + exactly.fail_on)).regressed


def test_what_either_result_warns_of_comes_with_the_comparison() -> None:
    loud = result_of(STEADY, during=During(other_cores=1.5))
    assert [(w, a.code) for w, a in compare(result_of(STEADY), loud).doubts] == [("new", "other load")]
    assert [(w, a.code) for w, a in compare(loud, result_of(STEADY)).doubts] == [("base", "other load")]


def _beside(cores: float | None, *samples: list[float]) -> RunResult:
    """A run with two threads on two cores, of which other programs kept some busy."""
    return result_of(*samples, environment=machine(cores=2, threads=2), during=During(other_cores=cores))


def test_what_other_programs_may_explain_or_hide_is_undecided() -> None:
    """One core of two taken makes frames up to twice as long: 1.8 times may be that, 3 times is not."""
    base, long, longer = STEADY, [1.8 * s for s in STEADY], [3 * s for s in STEADY]
    quiet, busy = _beside(0.0, base), _beside(1.0, long)
    found = compare(quiet, busy, fail_on=0.05)
    assert (found.outcome, _words(found)) == ("undecided", ["other load: cannot tell"])
    assert compare(quiet, _beside(1.0, longer), fail_on=0.05).outcome == "failed"
    assert compare(quiet, _beside(0.2, long), fail_on=0.05).outcome == "failed"
    assert compare(quiet, _beside(None, long), fail_on=0.05).outcome == "failed"
    assert compare(_beside(1.0, base), busy, fail_on=0.05).outcome == "failed"
    assert compare(_beside(1.0, base), quiet).outcome == "passed"  # the very same samples
    hidden = _beside(0.0, [s * 1.001 for s in base])
    assert compare(_beside(1.0, base), hidden, fail_on=0.05).outcome == "undecided"
    assert (
        compare(_beside(1.0, longer), hidden, fail_on=0.05).outcome == "passed"
    )  # faster than load explains
    on_gpu = {"a": EngineRecord(sha256="0", runs_on=("cuda:0",))}
    elsewhere = replace(busy, environment=machine(cores=2, threads=2, engines=on_gpu))
    alike = replace(quiet, environment=elsewhere.environment)
    assert compare(alike, elsewhere, fail_on=0.05).outcome == "failed"


def test_a_budget_that_others_may_be_why_it_was_missed_is_undecided() -> None:
    limit = Budgets.parse(["end_to_end=8ms"])
    held = [judge(result_of(STEADY).cases, limit, crowded)[0] for crowded in (1.0, 1.1, 2.0)]
    assert [verdict.held for verdict in held] == ["missed", "missed", "undecided"]
    assert "other programs" in held[-1].why_open
    assert judge(result_of(STEADY).cases, Budgets.parse(["end_to_end=11ms"]), 2.0)[0].held == "met"


def test_a_big_but_uncertain_change_is_no_regression() -> None:
    rng = np.random.default_rng(0)
    base, new = (result_of(list(rng.uniform(0.01, 0.05, 4))) for _ in range(2))
    assert _words(compare(base, new)) == ["too few frames to tell"]


def _wandering(seed: int, n: int, r: float, spread: float) -> np.ndarray:
    """Frames whose neighbours correlate by r: an autoregressive process of first order."""
    rng = np.random.default_rng(seed)
    noise, x = rng.normal(size=n), np.empty(n)
    x[0] = noise[0]
    for i in range(1, n):
        x[i] = r * x[i - 1] + np.sqrt(1 - r * r) * noise[i]
    return np.asarray(0.01 * np.exp(spread * x))


@pytest.mark.parametrize("stat", ["p50", "p90", "p95", "p99", "mean"])
def test_frames_that_are_slower_one_and_all_are_a_regression_by_every_statistic(stat: str) -> None:
    busy = _wandering(0, 20, 0.95, 0.1)  # too alike for any interval
    base, new = result_of(list(busy)), result_of([10 * s for s in _wandering(1, 20, 0.95, 0.1)])
    found = compare(base, new, stat=stat)
    assert _words(found) == ["REGRESSION"]
    assert (found.outcome, found.headline) == ("failed", "1 significant regression")
    faster = compare(new, base, stat=stat)
    assert _words(faster) == ["faster"]
    assert (faster.outcome, faster.headline) == ("passed", "No significant regression")


@pytest.mark.parametrize("stat", ["p50", "p90", "p95", "p99", "mean"])
def test_an_unchanged_thing_passes_by_every_statistic(stat: str) -> None:
    a, b = (list(_wandering(seed, 20, 0, 0.02)) for seed in (1, 2))
    found = compare(result_of(a), result_of(b), fail_on=0.05, stat=stat)
    told = needed_count(stat) <= 20
    assert found.outcome == ("passed" if told else "undecided")
    assert _words(found) == ["no significant change" if told else "too few frames to tell"]
    noisy = list(_wandering(3, 20, 0.9, 0.5))
    assert compare(result_of(noisy), result_of(noisy), stat=stat).outcome == "passed"


def test_one_slow_case_among_many_is_found_and_so_are_all() -> None:
    bases = [list(_wandering(seed, 20, 0.5, 0.03)) for seed in range(12)]
    news = [list(_wandering(100 + seed, 20, 0.5, 0.03)) for seed in range(12)]
    one = [[2 * s for s in frames] if i == 7 else frames for i, frames in enumerate(news)]
    found = compare(result_of(*bases), result_of(*one))
    assert [c.case.groups for c in found.regressions] == [8]
    every = compare(result_of(*bases), result_of(*([2 * s for s in frames] for frames in news)))
    assert len(every.regressions) == 12


def test_a_few_frames_that_lie_apart_by_chance_are_undecided_or_pass() -> None:
    assert compare(result_of([0.010, 0.011]), result_of([0.012, 0.013])).outcome == "undecided"
    assert compare(result_of([0.010]), result_of([0.0101])).outcome == "passed"
    near = [0.0100, 0.0110, 0.0105, 0.0103, 0.0108], [0.0111, 0.0121, 0.0116, 0.0114, 0.0119]
    assert compare(*(result_of(frames) for frames in near)).outcome == "undecided"
    far = compare(result_of(near[0]), result_of([10 * s for s in near[1]]))
    assert far.outcome == "failed"


def test_frames_too_noisy_to_show_a_slow_down_of_a_fifth_are_undecided() -> None:
    frames = _wandering(1, 20, 0, 0.4)
    noisy = [list(frames), list(np.roll(frames, 7))]
    found = compare(*map(result_of, noisy))
    assert _words(found) == ["too noisy to tell"]
    assert found.headline == "Undecided: 1 of 1 figures cannot be told"
    assert found.notes == ()
    tolerant = compare(*map(result_of, noisy), fail_on=2.0)
    assert tolerant.outcome == "passed"


def test_what_is_not_measured_any_more_is_undecided_and_named() -> None:
    base = _named("m.onnx", 1, 2)
    gone = compare(base, _named("m.onnx", 1))
    assert gone.lost == ("m.onnx tiled serial groups=2",)
    assert (gone.outcome, gone.regressions, gone.undecided) == ("undecided", (), ())
    more = compare(_named("m.onnx", 1), base)
    assert (more.outcome, more.lost) == ("passed", ())
    assert len(more.missing) == 1
    holes = replace(base.cases[1], samples={"end_to_end": [None, *STEADY[1:]]})
    holed = compare(base, replace(base, cases=(base.cases[0], holes)))
    assert (holed.outcome, len(holed.lost), len(holed.changes)) == ("undecided", 1, 1)
    assert "end_to_end of m.onnx tiled serial groups=2" in holed.lost[0]
    assert compare(replace(base, cases=(base.cases[0], holes)), base).lost == holed.lost
    never = replace(base.cases[1], samples={**base.cases[1].samples, "tiles": [None] * len(STEADY)})
    assert compare(replace(base, cases=(never,)), base).lost == ()


def test_a_duration_of_zero_ticks_is_compared_all_the_same() -> None:
    (change,) = compare(result_of([0.0] * 20), result_of([0.001] * 20)).changes
    assert change.regressed
    assert np.isfinite(change.ratio.value)


def test_percentiles_of_too_few_frames_are_noted() -> None:
    """By the rule of MLPerf's load generator."""
    assert [needed_count(stat) for stat in STATISTICS] == [1, 64, 130, 662, 1]
    long = [list(_wandering(seed, 700, 0, 0.02)) for seed in (1, 2)]
    for stat, count in (("p90", 64), ("p95", 130), ("p99", 662)):
        enough, few = (
            compare(*(result_of(frames[:n]) for frames in long), stat=stat) for n in (count, count - 1)
        )
        assert enough.notes == ()
        assert few.notes == (f"{stat} of {count - 1} frames is not known well: {count} are needed",)


def test_percentiles_that_a_run_cannot_tell_are_named() -> None:
    begin = "percentiles that {} frames cannot tell are shown as -: "
    assert left_out(20) == begin.format(20) + "p95 needs 130, p99 needs 662"
    assert left_out(130) == begin.format(130) + "p99 needs 662"
    assert left_out(662) is None


def test_alarms_are_rarely_false_and_a_slow_down_is_never_called_none() -> None:
    """As ``python -m benchmarks.gate_errors`` in small, with frames as alike as those of busy machines."""
    outcomes = {"same": [], "slower": []}  # type: dict[str, list[str]]
    for seed in range(60):
        base = result_of(list(_wandering(seed, 100, 0.8, 0.1)))
        again = _wandering(1000 + seed, 100, 0.8, 0.1)
        outcomes["same"].append(compare(base, result_of(list(again))).outcome)
        outcomes["slower"].append(compare(base, result_of(list(1.3 * again))).outcome)
    assert outcomes["same"].count("failed") <= 3
    assert outcomes["slower"].count("failed") >= 50
    assert "passed" not in outcomes["slower"]


def test_frames_that_hardly_differ_from_their_neighbours_lie_apart_by_chance() -> None:
    """Of 200 pairs of equal runs 9 % do; a gap wider than either run's own range is none of chance."""
    pairs = [(_wandering(n, 20, 0.95, 0.1), _wandering(1000 + n, 20, 0.95, 0.1)) for n in range(200)]
    assert sum(a.max() < b.min() for a, b in pairs) > 10 >= sum(apart(a, b) for a, b in pairs)
    assert sum(apart(a, 10 * b) for a, b in pairs) == 200


def _of_pictures(*files: tuple[str, str], source: str = "street", **settings: object) -> RunResult:
    return result_of(STEADY, settings=Settings(source=source, source_files=source_files(files), **settings))


def test_pictures_are_known_by_content_and_not_by_name() -> None:
    street = _of_pictures(("a.png", "1" * 64), ("b.png", "2" * 64))
    moved = _of_pictures(("x/a.png", "1" * 64), ("x/b.png", "2" * 64), source="elsewhere")
    assert compare(street, moved).notes == ()
    changed = _of_pictures(("a.png", "1" * 64), ("b.png", "3" * 64))
    with pytest.raises(ArtifactError, match=r"1 of 2 pictures have other content.*b\.png"):
        compare(street, changed)
    with pytest.raises(ArtifactError, match=r"2 pictures.*1 pictures"):
        compare(street, _of_pictures(("a.png", "1" * 64)))
    assert len(compare(street, changed, across=True).differences) == 1


def test_results_without_hashes_of_pictures_are_compared_with_a_doubt() -> None:
    street, old = _of_pictures(("a.png", "1" * 64)), _of_pictures()
    for pair, which in (((street, old), "the new result has"), ((old, street), "the base has"),
                        ((old, old), "both have")):  # fmt: skip
        (note,) = compare(*pair).notes
        assert note.startswith(which)
    with pytest.raises(ArtifactError, match="source street -> road"):
        compare(old, _of_pictures(source="road"))


def test_different_machines_and_settings_are_refused_unless_across() -> None:
    base = result_of(STEADY)
    other = result_of(STEADY, environment=machine(cpu="other"), settings=Settings(source="a.png"))
    with pytest.raises(ArtifactError, match=r"cpu fake -> other; source scene -> a\.png"):
        compare(base, other)
    assert len(compare(base, other, across=True).differences) == 2


def _on(backend: str, *runs_on: str, depth: int = 1, frame_px: str = "3840x2160") -> RunResult:
    about = {"a": EngineRecord(sha256="0", backend=backend, runs_on=runs_on)}
    return result_of(
        STEADY,
        environment=machine(engines=about),
        settings=Settings(source="scene", frame_px=frame_px, depth=depth),
    )


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (_on("onnxruntime", "cpu", frame_px="1920x1080"), "frame_px 3840x2160 -> 1920x1080"),
        (_on("onnxruntime", "cpu", depth=2), "depth 1 -> 2"),
        (_on("tensorrt", "cpu"), "a backend onnxruntime -> tensorrt"),
        (_on("onnxruntime", "cuda:0", "cuda:1"), "a runs_on cpu -> cuda:0, cuda:1"),
    ],
)
def test_other_frames_depths_backends_and_devices_are_refused_unless_across(
    other: RunResult, difference: str
) -> None:
    base = _on("onnxruntime", "cpu")
    with pytest.raises(ArtifactError, match=difference):
        compare(base, other)
    assert compare(base, other, across=True).differences == (difference,)
    assert compare(base, base).differences == ()


def test_engines_that_are_not_compared_may_run_anywhere() -> None:
    """A result of two engines against one of them."""
    only = _on("onnxruntime", "cpu")
    engines = {**only.environment.engines, "b": EngineRecord(runs_on=("cuda:0",))}
    environment = replace(only.environment, engines=engines)
    case = replace(only.cases[0], case=replace(only.cases[0].case, engine="b"))
    both = replace(only, environment=environment, cases=(*only.cases, case))
    assert len(compare(both, only).missing) == 1


def test_versions_engines_and_revision_are_what_one_compares() -> None:
    old = machine(git="aaa", packages={"onnxruntime": "1"})
    new = machine(git="bbb", packages={"onnxruntime": "2"}, engines={"e": EngineRecord(sha256="c" * 64)})
    found = compare(result_of(STEADY, environment=old), result_of(STEADY, environment=new))
    assert found.differences[:2] == ("git aaa -> bbb", "onnxruntime 1 -> 2")
    assert "cccccccccccc" in found.differences[2]


def _named(engine: str, *groups: int) -> RunResult:
    cases = tuple(
        CaseResult(Case(engine, "int8", "tiled", "serial", g), {"end_to_end": list(STEADY)}, [], 0)
        for g in groups
    )
    return replace(result_of(STEADY), cases=cases)


def test_single_engines_are_compared_whatever_their_files_are_called() -> None:
    found = compare(_named("old.onnx", 1, 2), _named("new.onnx", 2, 4))
    assert [c.case.groups for c in found.changes] == [2]
    assert len(found.missing) == 2
    with pytest.raises(ArtifactError, match="no case in common"):
        compare(_named("old.onnx", 1), _named("new.onnx", 2))


@pytest.mark.parametrize("options", [{"stat": "p42"}, {"fail_on": -1.0}, {"stages": ("nose",)}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        compare(result_of(STEADY), result_of(STEADY), **options)  # type: ignore[arg-type]


def _codes(result: RunResult) -> set[str]:
    return {advice.code for advice in advise(result)}


def test_a_good_result_gives_no_cause_for_warnings() -> None:
    assert _codes(result_of(STEADY, SLOWER)) == set()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stopped": None}, "incomplete"),
        ({"stopped": Endings("cap")}, "not stable"),
        ({"stopped": Endings("iterations", "cap")}, "still warming up"),
        ({"during": During(other_cores=1.5)}, "other load"),
        ({"during": During(cpu_throttled=3)}, "throttled"),
        ({"during": During(gpu=WatchedGpu("card", "580", None, None, 90, ("power limit",)))}, "throttled"),
        ({"during": During(gpu_processes=("python (7)",))}, "GPU shared"),
        ({"environment": machine(governor="powersave")}, "governor"),
    ],
)
def test_the_machine_is_named_when_it_disturbs(changes: dict[str, object], code: str) -> None:
    found = advise(result_of(STEADY, **changes))
    assert [advice.code for advice in found] == [code]
    assert found[0].remedy


def test_the_samples_are_named_when_they_disturb() -> None:
    assert _codes(result_of([0.01] * 5)) == {"few rounds"}
    assert _codes(result_of([0.01, 0.02] * 10)) == {"unstable"}
    assert "drifting" in _codes(result_of(list(np.linspace(0.010, 0.0115, 40))))


@pytest.mark.parametrize(
    ("samples", "stopped", "words"),
    [
        ([0.01, 0.02] * 10, "cap", "raise --duration or use a quieter machine"),
        ([0.01] * 5, "cap", "Raise --duration"),
        ([0.01] * 5, "stable", "Use a smaller share"),
    ],
)
def test_nobody_is_told_to_use_what_they_used(samples: list[float], stopped: str, words: str) -> None:
    asked = Settings(source="scene", until_stable=0.05)
    found = advise(result_of(samples, settings=asked, stopped=Endings(stopped)))
    assert words in " ".join(advice.remedy for advice in found)
    assert not any("--until-stable 5%" in advice.remedy for advice in found)
    plain = advise(result_of(samples))
    assert any("--until-stable 5%" in advice.remedy for advice in plain)


def _staged(**stages: float) -> RunResult:
    samples: dict[str, list[float | None]] = {name: [value] * 12 for name, value in stages.items()}
    case = Case("a", "fp16", "tiled", "streams", 4)
    return replace(result_of(STEADY), cases=(CaseResult(case, samples, [], 0),))


def test_an_enqueue_bound_case_is_told_from_one_that_waits_for_the_gpu() -> None:
    assert _codes(_staged(end_to_end=0.011, enqueue=0.0090, stream_sync=0.001)) == {"enqueue-bound"}
    assert _codes(_staged(end_to_end=0.011, enqueue=0.0020, stream_sync=0.008)) == set()
    assert _codes(_staged(end_to_end=0.011, enqueue=0.0090, device_enqueue=0.0095)) == {"enqueue-bound"}
    assert _codes(_staged(end_to_end=0.011, enqueue=0.0090)) == set()  # a CPU computes in enqueue


def test_copies_that_dominate_are_named() -> None:
    assert _codes(_staged(end_to_end=0.010, upload=0.003, download=0.001)) == {"copies dominate"}
    assert _codes(_staged(end_to_end=0.010, upload=0.001, download=0.001)) == set()
