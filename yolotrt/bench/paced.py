"""Measure cases while frames arrive on their own clock: latency from arrival, queueing, drops."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from yolotrt.bench.arrival import Pace
from yolotrt.bench.case import Intake
from yolotrt.bench.rounds import ORDER_SEED, EachFrame, Rounds, Running, report_progress, warm_up
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.machine.energy import EnergyMeter
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.clock import Clock, now, seconds_between

TURN = 100
"""Arrivals that one case gets before the next one has its turn."""


def measure_paced(
    running: list[Running],
    frames: Sequence[Any],
    stop: StopRule,
    warmup: WarmupRule,
    pace: Pace,
    *,
    spent_s: float = 0.0,
    each_frame: EachFrame = lambda _cases, _seconds: None,
    meter: EnergyMeter | None = None,
    progress: Progress = no_progress,
    clock: Clock = now,
) -> Rounds:
    """Give every case the same arrivals, in turns of :data:`TURN`, until the rule says stop.

    Each turn begins with an empty queue. Processor and GPU idle between frames, as they do behind a camera:
    waiting sleeps, it does not spin.

    Args:
        running: The cases, new or resumed; they are changed.
        frames: Arrival i is frame i modulo their number.
        stop: When to stop; its iterations are arrivals.
        warmup: How many rounds to throw away first, back to back.
        pace: How frames come.
        spent_s: Seconds that an interrupted run had measured.
        each_frame: Called after each turn, such as to save; its time is not measured.
        meter: Reads the energy of each turn; None where there is none.
        progress: Told after each turn.
        clock: What is read.
    """
    settled = warm_up(running, frames[0], warmup, progress, clock)
    while True:
        offered = min(_offered(entry) for entry in running)
        report_progress(progress, stop, offered, spent_s)
        due = [entry for entry in running if _offered(entry) == offered]
        if len(due) == len(running) and (
            stopped := stop.verdict(offered, spent_s, [r.samples["end_to_end"] for r in running])
        ):
            return Rounds(stopped, settled, spent_s)
        length = TURN if stop.seconds is not None else min(TURN, stop.iterations - offered)
        for index in np.random.default_rng((ORDER_SEED, offered)).permutation(len(due)):
            begin = clock()
            _turn(due[index], frames, pace, offered, length, meter, clock)
            spent_s += seconds_between(begin, clock())
            each_frame(running, spent_s)


def _offered(entry: Running) -> int:
    return entry.arrived.offered if entry.arrived else 0


def _turn(
    entry: Running,
    frames: Sequence[Any],
    pace: Pace,
    first: int,
    length: int,
    meter: EnergyMeter | None,
    clock: Clock,
) -> None:
    """Process what comes of ``length`` arrivals.

    Which frames came while one was processed is known afterwards, from their times: no thread has to take
    them, which would disturb what is measured.
    """
    reading = meter.reading() if meter else None
    zero = clock()
    due = deque(zero + round(at * 1e9) for at in pace.arrival.stretch(first, length))
    waiting: deque[tuple[int, int]] = deque()
    number, dropped, done = first, 0, 0
    while due or waiting:
        while due and due[0] <= clock():
            if len(waiting) == pace.capacity:
                waiting.popleft()
                dropped += 1
            waiting.append((number, due.popleft()))
            number += 1
        if not waiting:
            pace.sleep(max(0.0, seconds_between(clock(), due[0])))
            continue
        which, came = waiting.popleft()
        begin = clock()
        found = entry.subject.measure(frames[which % len(frames)])
        end = clock() if found.done_ns is None else found.done_ns
        found.stages["queued"] = seconds_between(came, begin)
        found.stages["response"] = seconds_between(came, end)
        entry.add(found)
        done += 1
    before = entry.arrived or Intake(0, 0)
    entry.arrived = Intake(before.offered + length, before.dropped + dropped)
    if meter is not None and reading is not None:
        entry.energy = reading.energy_to(meter.reading(), done).plus(entry.energy)
