"""Statistical proof of the whole loop, on a clock that only moves when told to."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.fakes import FakeClock, FakeSubject, noise, result_of, run_fakes
from yolotrt.bench.compare import compare
from yolotrt.bench.compare_file import comparison_file
from yolotrt.bench.rounds import Measurement, Running, measure_rounds, warm_up
from yolotrt.bench.statistics import paired_ratio, summarize
from yolotrt.bench.stopping import StopRule, WarmupRule


def test_known_distributions_come_back_right() -> None:
    result = run_fakes({"even": lambda _t, rng: rng.uniform(0.010, 0.020)}, StopRule(5000), seed=1)
    summary = summarize(result.cases[0].samples["end_to_end"])
    assert summary is not None
    for found, expected in (
        (summary.p50, 0.015), (summary.p90, 0.019), (summary.p95, 0.0195), (summary.p99, 0.0199),
        (summary.mean, 0.015), (summary.stdev, 0.010 / 12**0.5),
    ):  # fmt: skip
        assert found == pytest.approx(expected, rel=0.02)
    assert summary.p50_interval is not None
    assert summary.p50_interval.low < 0.015 < summary.p50_interval.high
    assert summary.p50_interval.high - summary.p50_interval.low < 0.0004


def test_an_injected_drift_does_not_change_the_ratios() -> None:
    def drifting(median_s: float) -> object:
        return lambda t, rng: median_s * (1 + t / 2) * float(np.exp(rng.normal(0, 0.02)))

    result = run_fakes({"slow": drifting(0.012), "fast": drifting(0.010)}, StopRule(200))  # type: ignore[dict-item]
    slow, fast = (entry.samples["end_to_end"] for entry in result.cases)
    assert max(fast) > 2 * min(fast)  # type: ignore[type-var, operator]
    ratio = paired_ratio(slow, fast)
    assert ratio is not None
    assert ratio.value == pytest.approx(1.2, rel=0.01)
    assert ratio.interval is not None
    assert ratio.interval.high - ratio.interval.low < 0.02


@pytest.mark.parametrize("seed", range(20))
def test_a_regression_of_five_percent_is_found(seed: int) -> None:
    base = run_fakes({"a": noise(0.010)}, StopRule(60), seed=seed)
    new = run_fakes({"a": noise(0.0105)}, StopRule(60), seed=1000 + seed)
    assert [c.word for c in comparison_file(compare(base, new)).changes] == ["REGRESSION"]


@pytest.mark.parametrize("cases", [1, 8])
def test_pure_noise_is_flagged_no_more_often_than_stated(cases: int) -> None:
    """5 % of comparisons at most may show any significant change, slower or faster, at --fail-on 0%."""
    names = [chr(ord("a") + index) for index in range(cases)]
    alarms = 0
    for seed in range(100):
        base, new = (
            run_fakes({name: noise(0.010) for name in names}, StopRule(30), seed=s)
            for s in (seed, 1000 + seed)
        )
        alarms += any(change.ratio.certain for change in compare(base, new, fail_on=0).changes)
    assert alarms <= 5


@pytest.mark.parametrize("rounds", [30, 60])
def test_noise_whose_neighbours_are_alike_is_flagged_no_more_often(rounds: int) -> None:
    """A machine that wanders (correlation 0.6 from frame to frame): as independent samples, 23 % would be."""
    alarms = 0
    for seed in range(100):
        base, new = (result_of(_wandering(rounds, s)) for s in (seed, 1000 + seed))
        alarms += compare(base, new, fail_on=0).changes[0].ratio.certain
    assert alarms <= 5


def _wandering(rounds: int, seed: int, correlation: float = 0.6, spread: float = 0.03) -> list[float]:
    rng, wander, found = np.random.default_rng(seed), 0.0, []
    for index in range(rounds):
        fresh = spread if index == 0 else spread * (1 - correlation**2) ** 0.5
        wander = correlation * wander + rng.normal(0, fresh)
        found.append(0.01 * float(np.exp(wander)))
    return found


def test_noise_and_a_real_difference_are_told_apart_by_pairs() -> None:
    flagged = 0
    for seed in range(100):
        result = run_fakes({"a": noise(0.01), "b": noise(0.01)}, StopRule(40), seed=seed)
        ratio = paired_ratio(*(entry.samples["end_to_end"] for entry in result.cases))
        flagged += ratio is not None and ratio.certain
    assert flagged <= 9  # 5 expected; more than 9 has a probability of 3 %, and the seeds are fixed


def test_stability_stops_early_on_a_quiet_machine_and_gives_up_on_a_loud_one() -> None:
    rule = StopRule(until_stable=0.05, duration_s=60)
    quiet = run_fakes({"a": noise(0.01, 0.02)}, rule)
    loud = run_fakes({"a": noise(0.01, 2.5)}, StopRule(until_stable=0.01, duration_s=5))
    assert quiet.stopped.measure == "stable"
    assert quiet.rounds < 30
    assert loud.stopped.measure == "cap"
    assert 5 <= loud.measured_s < 7


def test_duration_counts_measured_seconds_only() -> None:
    result = run_fakes({"a": lambda *_: 0.125}, StopRule(duration_s=1.25), WarmupRule(50))
    assert result.rounds == 10
    assert len(result.cases[0].warmup) == 50


def test_warming_up_lasts_until_the_latency_has_settled() -> None:
    clock = FakeClock()

    def cooling(t: float, _rng: object) -> float:
        return 0.010 * (1 + 3 * np.exp(-t / 0.05))

    result = run_fakes({"a": cooling}, StopRule(5), WarmupRule())
    warm, first = result.cases[0].warmup, result.cases[0].samples["end_to_end"][0]
    assert result.stopped.warmup == "stable"
    assert warm[0] == pytest.approx(0.040, rel=0.01)
    assert first is not None
    assert first < 0.012
    told: list[tuple[int, int]] = []
    slow = [Running(FakeSubject(name, lambda *_: 10.0, clock)) for name in "ab"]
    warm_up(slow, None, WarmupRule(), lambda _, *counts: told.append(counts), clock)
    assert told == [(0, 2), (1, 2), (1, 1)], "no round is announced that the time does not allow"
    never = run_fakes({"a": lambda t, rng: rng.uniform(0.01, 0.1)}, StopRule(1), WarmupRule())
    assert never.stopped.warmup == "cap"


def test_every_round_runs_every_case_once_in_a_new_order() -> None:
    order: list[str] = []
    clock = FakeClock()

    class Noted(FakeSubject):
        def measure(self, frame: object) -> Measurement:
            order.append(self.name)
            return super().measure(frame)

    running = [Running(Noted(name, lambda *_: 0.01, clock)) for name in "abcd"]
    told: list[tuple[str, int, int]] = []
    measure_rounds(
        running, [0, 1], StopRule(12), WarmupRule(2), clock=clock, progress=lambda *step: told.append(step)
    )
    assert told[:9] == [("warm up", i, 8) for i in range(8)] + [("warm up", 1, 1)]
    measured = [done for step, done, total in told if (step, total) == ("measure", 48)]
    assert sorted(set(measured)) == list(range(49))
    del order[:8]
    rounds = ["".join(order[i : i + 4]) for i in range(0, len(order), 4)]
    assert len(rounds) == 12
    assert all(sorted(r) == list("abcd") for r in rounds)
    assert len(set(rounds)) > 6


def test_the_frame_nearest_the_median_is_kept_as_the_timeline() -> None:
    latencies = iter([0.01, 0.02, 0.09])
    clock = FakeClock()
    running = Running(FakeSubject("a", lambda *_: next(latencies), clock))
    measure_rounds([running], [None], StopRule(3), WarmupRule(0), clock=clock)
    (span,) = running.result().timeline
    assert (span.stage, span.begin_s, span.end_s) == ("end_to_end", 0.0, 0.02)


def test_a_stage_that_appears_late_is_null_before() -> None:
    running = Running(FakeSubject("a", lambda *_: 1.0, FakeClock()))
    running.add(Measurement({"end_to_end": 1.0}))
    running.add(Measurement({"end_to_end": 1.0, "device_enqueue": 0.5}))
    assert running.result().samples["device_enqueue"] == [None, 0.5]
    assert {len(values) for values in running.result().samples.values()} == {2}


def test_what_ctrl_c_cuts_within_a_frame_is_left_out() -> None:
    running = Running(FakeSubject("a", lambda *_: 1.0, FakeClock()))
    for _ in range(2):
        running.add(Measurement({"end_to_end": 1.0, "decode": 0.5}, 0, ()))
    running.samples["end_to_end"].append(1.0)  # and then the signal came
    assert {stage: len(values) for stage, values in running.result().samples.items()}.items() >= {
        ("end_to_end", 2),
        ("decode", 2),
    }
