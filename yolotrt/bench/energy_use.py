"""Joules of cases that were measured back to back: to tell them apart, each runs alone for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yolotrt.bench.rounds import Running
from yolotrt.machine.energy import EnergyMeter, Reading
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.clock import Clock, now, seconds_between

LOOK_S = 0.02
"""The counter is read no more often: a look takes time in which the GPU idles."""

PATIENCE = 5
"""A counter that stands still for so many times the seconds asked for is taken as it is."""


def measure_energy(
    running: Sequence[Running],
    frames: Sequence[Any],
    meter: EnergyMeter,
    seconds: float,
    *,
    progress: Progress = no_progress,
    clock: Clock = now,
) -> None:
    """Run each case alone for about so many seconds, and give it the energy of its frames.

    The counter moves in steps of some ten milliseconds, so each stretch lasts from one step to another.

    Args:
        running: The cases; they are changed.
        frames: Taken in turn.
        meter: Reads the counters.
        seconds: The least time from the first step to the last.
        progress: Told after each case.
        clock: What is read.
    """
    for index, entry in enumerate(running):
        progress("measure energy", index, len(running))
        first, _ = _to_a_step(entry, frames, meter, 0.0, seconds * PATIENCE, clock)
        last, done = _to_a_step(entry, frames, meter, seconds, seconds * PATIENCE, clock)
        entry.energy = first.energy_to(last, done)
    progress("measure energy", len(running), len(running))


def _to_a_step(
    entry: Running, frames: Sequence[Any], meter: EnergyMeter, least_s: float, most_s: float, clock: Clock
) -> tuple[Reading, int]:
    """Process frames until the counter moves, but for ``least_s``; return it then, and how many they were."""
    begin, done = meter.reading(), 0
    looked = begin
    while True:
        entry.subject.measure(frames[done % len(frames)])
        done += 1
        at = clock()
        if seconds_between(looked.at_ns, at) < LOOK_S:
            continue
        before, looked = looked, meter.reading()
        spent_s = seconds_between(begin.at_ns, at)
        if (looked.joules != before.joules and spent_s >= least_s) or spent_s >= most_s:
            return looked, done
