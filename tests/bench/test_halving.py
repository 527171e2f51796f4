from __future__ import annotations

from tests.bench.fakes import FakeClock, FakeSubject, noise
from yolotrt.bench.budgets import NO_BUDGETS, Budgets
from yolotrt.bench.halving import RUNGS, successive_halving
from yolotrt.bench.rounds import Measurement, Running


def _running(**median_s: float) -> list[Running]:
    clock = FakeClock()
    return [Running(FakeSubject(name, noise(seconds), clock)) for name, seconds in median_s.items()]


def test_slow_cases_leave_early_and_close_ones_are_measured_to_the_end() -> None:
    remaining, dropped = successive_halving(
        _running(fast=0.010, close=0.0102, slow=0.020), [None], NO_BUDGETS, rivals=lambda _c: 0
    )
    assert {e.subject.case.engine for e in remaining} == {"fast", "close"}
    assert {e.rounds for e in remaining} == {RUNGS[-1]}
    (gone,) = dropped
    assert gone.case.engine == "slow"
    assert gone.rounds == RUNGS[1]
    assert "fast" in gone.reason


def test_cases_that_do_not_compete_are_not_held_against_each_other() -> None:
    remaining, dropped = successive_halving(
        _running(fast=0.010, accurate=0.020), [None], NO_BUDGETS, rivals=lambda c: c.engine
    )
    assert len(remaining) == 2
    assert not dropped


def test_what_is_over_budget_leaves_first_but_the_fastest_stays() -> None:
    budgets = Budgets({"end_to_end": 0.005})
    remaining, dropped = successive_halving(
        _running(a=0.010, b=0.011), [None], budgets, rivals=lambda c: c.engine
    )
    assert [e.subject.case.engine for e in remaining] == ["a"]
    assert dropped[0].rounds == RUNGS[0]
    assert "over 5.0 ms" in dropped[0].reason


class SideBySide(FakeSubject):
    """Tiles that only the device's clock measured."""

    def measure(self, frame: object) -> Measurement:
        found = super().measure(frame)
        return Measurement({**found.stages, "device_tiles": found.stages["end_to_end"]})


def test_a_budget_is_held_against_tiles_that_only_the_device_measured() -> None:
    clock = FakeClock()
    running = [Running(SideBySide(name, noise(0.010), clock)) for name in "ab"]
    _, dropped = successive_halving(
        running, [None], Budgets({"tiles": 0.005}), rivals=lambda c: c.engine, rungs=(3,)
    )
    assert "fastest tiles took" in dropped[0].reason


def test_halving_goes_on_where_it_stopped() -> None:
    running = _running(a=0.010, b=0.010)
    successive_halving(running, [None], NO_BUDGETS, rivals=lambda _c: 0, rungs=(3,))
    remaining, _ = successive_halving(running, [None], NO_BUDGETS, rivals=lambda _c: 0, rungs=(3, 5))
    assert [e.rounds for e in remaining] == [5, 5]
