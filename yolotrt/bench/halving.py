"""Measure many cases, and stop early on those that cannot win any more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolotrt.bench.budgets import Budgets
from yolotrt.bench.metrics import taken
from yolotrt.bench.result import Case
from yolotrt.bench.rounds import EachFrame, Running, measure_rounds
from yolotrt.bench.statistics import measured, paired_ratio
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.clock import Clock, now, seconds_between

RUNGS = (3, 8, 16)
"""Rounds after which hopeless cases leave; the last is what the winners are judged by."""

MAX_SECONDS = 240.0
"""A search that took longer than this when a rung is reached ends there."""

MARGIN = 0.10
"""A rival must be certainly faster by this much: close cases stay, to be told apart by more rounds."""


@dataclass(frozen=True)
class Dropped:
    """A case that was given up.

    Attributes:
        case: The case.
        reason: Why it cannot win.
        rounds: Rounds it was measured.
        median_s: Median of ``end_to_end`` by then, seconds.
    """

    case: Case
    reason: str
    rounds: int
    median_s: float


def successive_halving(
    running: Sequence[Running],
    frames: Sequence[Any],
    budgets: Budgets,
    *,
    rivals: Callable[[Case], Hashable],
    rungs: Sequence[int] = RUNGS,
    max_seconds: float = MAX_SECONDS,
    on_drop: Callable[[Dropped], None] = lambda _: None,
    on_rung: Callable[[Sequence[Running]], None] = lambda _: None,
    each_frame: EachFrame = lambda _cases, _seconds: None,
    progress: Progress = no_progress,
    clock: Clock = now,
) -> tuple[list[Running], list[Dropped]]:
    """Measure all cases a little, and the better ones more, in the way of successive halving.

    A case leaves when even its fastest frame is over a budget, or when a rival is certainly faster by
    :data:`MARGIN` (the interval of their ratio, paired by round, lies beyond it). The fastest case always
    stays, so that there is something to report when no budget can be kept.

    Args:
        running: The cases, new or resumed.
        frames: Round r uses frame r modulo their number.
        budgets: What stages may take.
        rivals: Cases with the same value compete; others are kept apart, such as by accuracy.
        rungs: Rounds after which to look, increasing.
        max_seconds: Go to no further rung after this time.
        on_drop: Told about each case that leaves.
        on_rung: Told at every rung which cases go on, fastest first.
        each_frame: Called after each frame of each case.
        progress: Told after each round.
        clock: What is read.

    Returns:
        The cases measured to the end, and those given up, in the order in which they were.
    """
    remaining, dropped = list(running), list[Dropped]()
    begin = clock()
    for rung in rungs:
        if seconds_between(begin, clock()) > max_seconds:
            break
        if min(entry.rounds for entry in remaining) < rung:
            measure_rounds(
                remaining,
                frames,
                StopRule(rung),
                WarmupRule(1),
                each_frame=each_frame,
                progress=progress,
                clock=clock,
            )
        fastest = min(remaining, key=median_seconds)
        for entry in [e for e in remaining if e is not fastest]:
            if (reason := _hopeless(entry, remaining, budgets, rivals)) is not None:
                remaining.remove(entry)
                dropped.append(Dropped(entry.subject.case, reason, entry.rounds, median_seconds(entry)))
                on_drop(dropped[-1])
        on_rung(sorted(remaining, key=median_seconds))
    return remaining, dropped


def _hopeless(
    entry: Running, remaining: Sequence[Running], budgets: Budgets, rivals: Callable[[Case], Hashable]
) -> str | None:
    for stage, limit in budgets.limits.items():
        array = measured(taken(entry.samples, stage))
        if array is not None and array.min() > limit:
            return f"its fastest {stage} took {array.min() * 1e3:.1f} ms, over {limit * 1e3:.1f} ms"
    group = rivals(entry.subject.case)
    for rival in remaining:
        if rival is entry or rivals(rival.subject.case) != group:
            continue
        ratio = paired_ratio(entry.samples["end_to_end"], rival.samples["end_to_end"])
        if ratio is not None and ratio.interval is not None and ratio.interval.low > 1 + MARGIN:
            return f"{rival.subject.case} is {ratio.value:.2f}x as fast"
    return None


def median_seconds(entry: Running) -> float:
    """Return the median of ``end_to_end`` so far."""
    return float(np.median([s for s in entry.samples["end_to_end"] if s is not None]))
