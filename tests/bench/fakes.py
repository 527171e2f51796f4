"""A clock that only moves when told to, and cases whose latency is drawn from a known distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from yolotrt.bench.result import Case, CaseResult, Endings, RunResult
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.settings import Settings
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.machine.environment import Environment
from yolotrt.timing.trace import FrameTrace

Latency = Callable[[float, np.random.Generator], float]
"""Seconds of the next frame, from the seconds since the start and a source of chance."""


class FakeClock:
    """Nanoseconds that pass only by :meth:`advance`."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


@dataclass
class FakeSubject:
    """Takes as long as it is told to, on a clock of ours, through real traces."""

    name: str
    latency: Latency
    clock: FakeClock
    seed: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng((self.seed, *self.name.encode()))

    @property
    def case(self) -> Case:
        return Case(self.name, "fp32", "tiled", "serial", 1)

    def measure(self, _frame: object) -> Measurement:
        trace = FrameTrace(clock=self.clock)
        with trace.span("end_to_end"):
            self.clock.advance(self.latency(self.clock.ns / 1e9, self.rng))
        return Measurement(trace.stages(), trace.spans)


def noise(median_s: float, spread: float = 0.03) -> Latency:
    """Log-normal latency: never negative, skewed to the slow side as real ones are."""
    return lambda _t, rng: median_s * float(np.exp(rng.normal(0, spread)))


NO_WARMUP = WarmupRule(0)


def run_fakes(
    latencies: dict[str, Latency],
    stop: StopRule,
    warmup: WarmupRule = NO_WARMUP,
    *,
    seed: int = 0,
) -> RunResult:
    """Measure fake cases by the real loop; hours of it pass in milliseconds."""
    clock = FakeClock()
    running = [Running(FakeSubject(name, latency, clock, seed)) for name, latency in latencies.items()]
    rounds = measure_rounds(running, [None], stop, warmup, clock=clock)
    return RunResult(
        Settings(source="fake"),
        machine(),
        tuple(entry.result() for entry in running),
        measured_s=rounds.seconds,
        stopped=Endings(rounds.stopped, rounds.warmup),
    )


def machine(**changes: object) -> Environment:
    """A machine that nobody has."""
    return replace(
        Environment("0", "3", "Linux", "fake", 8, 8, None, 0.0, None, None, {}),
        **changes,  # type: ignore[arg-type]
    )


def result_of(*samples: list[float], **changes: object) -> RunResult:
    """A complete result with one case per list of end-to-end seconds."""
    cases = tuple(
        CaseResult(Case("a", "fp32", "tiled", "serial", 1 + index), {"end_to_end": list(values)}, [], 0)
        for index, values in enumerate(samples)
    )
    body = {
        "settings": Settings(source="scene"),
        "environment": machine(),
        "cases": cases,
        "stopped": Endings("iterations"),
    }
    return RunResult(**{**body, **changes})  # type: ignore[arg-type]
