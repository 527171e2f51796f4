"""Frames on their own clock: queues, drops and deadlines, on a clock that only moves when told to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.bench.fakes import NO_WARMUP, FakeClock, FakeSubject, Latency, machine, noise
from yolotrt.bench.arrival import Arrival, Pace
from yolotrt.bench.arrived import late
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.case import Intake
from yolotrt.bench.paced import TURN, measure_paced
from yolotrt.bench.result import CaseResult, Endings, RunResult, read_result, write_result
from yolotrt.bench.rounds import Running
from yolotrt.bench.settings import Settings, SweepSettings
from yolotrt.bench.stopping import StopRule
from yolotrt.bench.sweep import measured
from yolotrt.errors import InputError, UsageError
from yolotrt.machine.energy import EnergyMeter
from yolotrt.report.tables import latency_table
from yolotrt.timing.trace import FrameTrace, Span


def paced(
    arrival: str,
    count: int,
    *latencies: Latency,
    capacity: int = 2,
    earlier: list[CaseResult] | None = None,
    meter: Callable[[FakeClock], EnergyMeter] | None = None,
) -> list[CaseResult]:
    """Measure fake cases; waiting moves the clock."""
    clock = FakeClock()
    subjects = [FakeSubject(f"case {i}", latency, clock) for i, latency in enumerate(latencies)]
    running = (
        [Running.resume(subject, case) for subject, case in zip(subjects, earlier, strict=True)]
        if earlier
        else [Running(subject) for subject in subjects]
    )
    pace = Pace(Arrival.parse(arrival), capacity, clock.advance)
    measure_paced(
        running, [None], StopRule(count), NO_WARMUP, pace, meter=meter and meter(clock), clock=clock
    )
    return [entry.result() for entry in running]


def steady(seconds: float) -> Latency:
    return lambda _t, _rng: seconds


def test_a_case_that_keeps_up_answers_at_once_and_drops_nothing() -> None:
    (found,) = paced("100fps", 250, steady(0.004))
    assert found.arrived == Intake(250, 0)
    assert found.samples["response"] == pytest.approx([0.004] * 250, abs=1e-6)
    assert found.samples["queued"] == pytest.approx([0.0] * 250, abs=1e-6)
    assert late(found, 0.005) == (0, 250)
    assert late(found, 0.003) == (250, 250)


def test_a_case_that_is_too_slow_keeps_the_newest_frames_and_shows_its_queue() -> None:
    """Of frames every 10 ms one that takes 25 ms can process two in five; each waits behind another."""
    (found,) = paced("100fps", TURN, steady(0.025))
    assert found.arrived is not None
    done = len(found.samples["response"])
    assert found.arrived == Intake(TURN, TURN - done)
    assert 0.38 * TURN <= done <= 0.45 * TURN
    assert set(found.samples["end_to_end"]) == {0.025}
    later = found.samples["response"][5:-3]
    assert all(response >= 0.0349 for response in later), "from arrival on, not from when its turn came"
    missed, offered = late(found, 0.033) or (0, 0)
    assert (offered, missed) == (TURN, sum(r > 0.033 for r in found.samples["response"]) + TURN - done)


def test_a_result_is_there_when_its_frame_ends_whatever_is_read_of_the_trace_then() -> None:
    spans = [Span("end_to_end", None, 10, 30), Span("end_to_end", None, 10, 900, on="device")]
    found = measured(SimpleNamespace(trace=FrameTrace(spans), detections=()))  # type: ignore[arg-type]
    assert (found.done_ns, found.stages["end_to_end"]) == (30, 2e-8)


def test_the_wait_is_that_of_queueing_theory() -> None:
    """Poisson arrivals, constant service, one server (M/D/1): the mean wait is rho s / (2 (1 - rho))."""
    service, rate = 0.01, 50.0
    (found,) = paced(f"poisson:{rate}", 10_000, steady(service), capacity=10_000)
    rho = service * rate
    assert np.mean(found.samples["queued"]) == pytest.approx(rho * service / (2 * (1 - rho)), rel=0.1)  # type: ignore[arg-type]


def test_all_cases_get_the_same_arrivals_and_a_run_that_goes_on_gets_the_rest() -> None:
    one, other = paced("poisson:50", 230, steady(0.001), steady(0.001))
    assert one.samples["response"] == other.samples["response"]
    half = paced("poisson:50", TURN, steady(0.001))
    (whole,) = paced("poisson:50", 230, steady(0.001), earlier=half)
    assert whole.arrived == one.arrived
    assert whole.samples["response"] == pytest.approx(one.samples["response"], abs=1e-6)


def test_energy_is_that_of_all_turns_with_the_time_between_frames() -> None:
    class Nvml:
        """50 W whatever happens."""

        def nvmlDeviceGetTotalEnergyConsumption(self, clock: FakeClock) -> int:  # noqa: N802
            return round(clock() / 1e9 * 50_000)

    (found,) = paced("100fps", 200, steady(0.004), meter=lambda clock: EnergyMeter(Nvml(), [clock], clock))
    assert found.energy is not None
    assert found.energy.frames == 200
    assert found.energy.watts == pytest.approx(50, rel=0.001)
    assert found.energy.per_frame == pytest.approx(0.5, rel=0.02)


def test_a_table_shows_response_late_and_dropped_and_the_file_keeps_them(tmp_path: Path) -> None:
    (found,) = paced("100fps", 200, noise(0.012))
    result = RunResult(
        Settings(arrival="100fps"), machine(), (found,), stopped=Endings("iterations"),
        budgets=Budgets(deadline_s=0.02),
    )  # fmt: skip
    heads = [str(column.header) for column in latency_table(result, 200).columns]
    assert {"response", "queued", "late", "dropped"} <= set(heads)
    again = read_result(write_result(tmp_path / "r.json", result))
    assert again.cases[0].arrived == found.arrived
    assert again.budgets.deadline_s == 0.02
    narrow = [str(column.header) for column in latency_table(result, 80).columns]
    assert {"response", "late", "end_to_end"} <= set(narrow)


def test_arrivals_are_parsed_and_come_when_they_say(tmp_path: Path) -> None:
    assert list(islice(Arrival.parse("25fps").times(), 3)) == pytest.approx([0, 0.04, 0.08])
    poisson = list(islice(Arrival.parse("poisson:30").times(), 20_001))
    assert poisson[-1] == pytest.approx(20_000 / 30, rel=0.03)
    gaps = np.diff(poisson)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03), "exponential gaps spread as wide as they are"
    assert Arrival.parse("poisson:30").stretch(7, 2) == pytest.approx([0, poisson[8] - poisson[7]])
    trace = tmp_path / "t.txt"
    trace.write_text("# a camera\n10.0\n10.5  # late\n\n10.6\n")
    assert list(islice(Arrival.parse(f"trace:{trace}").times(), 5)) == pytest.approx([0, 0.5, 0.6, 1.1, 1.2])
    assert Arrival.parse(f"trace:{trace}").rate == pytest.approx(2 / 0.6)


@pytest.mark.parametrize("text", ["", "fps", "-3fps", "0", "poisson:", "normal:30", "1e9fps", "30 fps"])
def test_arrivals_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        SweepSettings(arrival=text)


@pytest.mark.parametrize("text", ["", "1\n", "2\n1\n", "1\n1\n", "a\nb\n", "0\nnan\n", "0\ninf\n"])
def test_a_trace_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(InputError):
        Arrival.parse(f"trace:{tmp_path / 't'}")
    with pytest.raises(InputError):
        Arrival.parse(f"trace:{tmp_path / 'none'}")


def test_frames_in_flight_are_not_paced() -> None:
    with pytest.raises(UsageError, match="pipeline-depth"):
        SweepSettings(arrival="30fps", depth=2)
