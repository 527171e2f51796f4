from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.bench.fakes import result_of
from yolotrt.bench.advice import advise
from yolotrt.bench.budgets import Budgets, judge
from yolotrt.bench.compare import compare
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.errors import ArtifactError, UsageError

STEADY = [0.0100, 0.0101, 0.0099, 0.0100, 0.0101, 0.0099, 0.0100, 0.0102, 0.0098, 0.0100] * 3
SLOWER = [value * 1.1 for value in STEADY]


def test_budgets_are_held_against_every_case_that_measures_the_stage() -> None:
    verdicts = judge(result_of(STEADY, SLOWER), Budgets.parse(["end_to_end=10.5ms"]))
    assert [v.met for v in verdicts] == [True, False]
    assert verdicts[1].seconds == pytest.approx(0.011)
    worst = judge(result_of(STEADY), Budgets.parse(["end_to_end=10.05ms"], "p99"))
    assert [v.met for v in worst] == [False]


def test_a_budget_that_nothing_was_held_against_is_an_error_not_a_pass() -> None:
    with pytest.raises(UsageError, match="nothing"):
        judge(result_of(STEADY), Budgets.parse(["tiles=1ms"]))


@pytest.mark.parametrize("term", ["tiles", "tiles=10", "tiles=ms", "tiles=0ms", "nose=1ms", "tiles=-1ms", ""])
def test_budgets_that_make_no_sense_are_refused(term: str) -> None:
    with pytest.raises(UsageError):
        Budgets.parse([term])


def test_units_and_the_way_through_a_file() -> None:
    budgets = Budgets.parse(["tiles=10ms", "end_to_end=0.033s", "merge=500us"], "p95")
    assert budgets.limits == pytest.approx({"tiles": 0.010, "end_to_end": 0.033, "merge": 0.0005})
    assert Budgets.of(result_of(STEADY, budgets=budgets.as_json())) == budgets
    assert Budgets.of(result_of(STEADY)).limits == {}
    with pytest.raises(UsageError, match="p42"):
        Budgets.parse(["tiles=1ms"], "p42")


def test_a_change_within_tolerance_is_no_regression() -> None:
    base, new = result_of(STEADY), result_of(SLOWER)
    assert [c.word for c in compare(base, new).changes] == ["REGRESSION"]
    assert [c.word for c in compare(base, new, fail_on=0.2).changes] == ["slower, within tolerance"]
    assert [c.word for c in compare(new, base).changes] == ["faster"]
    assert [c.word for c in compare(base, base).changes] == ["no significant change"]


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
    loud = result_of(STEADY, during={"other_cores": 1.5})
    assert [(w, a.code) for w, a in compare(result_of(STEADY), loud).doubts] == [("new", "other load")]
    assert [(w, a.code) for w, a in compare(loud, result_of(STEADY)).doubts] == [("base", "other load")]


def test_a_big_but_uncertain_change_is_no_regression() -> None:
    rng = np.random.default_rng(0)
    base, new = (result_of(list(rng.uniform(0.01, 0.05, 4))) for _ in range(2))
    assert [c.word for c in compare(base, new).changes] == ["too few frames to tell"]


def test_different_machines_and_settings_are_refused_unless_across() -> None:
    base = result_of(STEADY)
    other = result_of(STEADY, environment={"cpu": "other", "cores": 8}, settings={"source": "a.png"})
    with pytest.raises(ArtifactError, match=r"cpu fake -> other; source scene -> a\.png"):
        compare(base, other)
    assert len(compare(base, other, across=True).differences) == 2


def _on(backend: str, *runs_on: str, depth: int = 1, frame_px: str = "3840x2160") -> RunResult:
    about = {"a": {"sha256": "0", "backend": backend, "runs_on": list(runs_on)}}
    return result_of(
        STEADY,
        environment={"cpu": "fake", "cores": 8, "engines": about},
        settings={"source": "scene", "frame_px": frame_px, "depth": depth},
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
    environment = {
        **only.environment,
        "engines": {**only.environment["engines"], "b": {"runs_on": ["cuda:0"]}},
    }
    case = replace(only.cases[0], case=replace(only.cases[0].case, engine="b"))
    both = replace(only, environment=environment, cases=(*only.cases, case))
    assert len(compare(both, only).missing) == 1


def test_versions_engines_and_revision_are_what_one_compares() -> None:
    old = {"cpu": "fake", "cores": 8, "git": "aaa", "packages": {"onnxruntime": "1"}}
    new = {**old, "git": "bbb", "packages": {"onnxruntime": "2"}, "engines": {"e": {"sha256": "c" * 64}}}
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
        ({"stopped": {}}, "incomplete"),
        ({"stopped": {"measure": "cap"}}, "not stable"),
        ({"stopped": {"measure": "iterations", "warmup": "cap"}}, "still warming up"),
        ({"during": {"other_cores": 1.5}}, "other load"),
        ({"during": {"cpu_throttled": 3}}, "throttled"),
        ({"during": {"gpu": {"throttled": ["power limit"], "temperature_c": 90}}}, "throttled"),
        ({"during": {"gpu_processes": ["python (7)"]}}, "GPU shared"),
        ({"environment": {"governor": "powersave"}}, "governor"),
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
    asked = {"source": "scene", "until_stable": 0.05}
    found = advise(result_of(samples, settings=asked, stopped={"measure": stopped}))
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
