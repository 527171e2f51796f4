"""Which cases take longer than their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from yolotrt.bench.budgets import WHOLE_FRAME, Budgets
from yolotrt.bench.case import Case, CaseResult
from yolotrt.bench.percentiles import needed_count
from yolotrt.bench.statistics import measured, statistic
from yolotrt.errors import GateUndecided, UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.timing.trace import ARRIVAL

Held = Literal["met", "missed", "undecided"]

WHOLE = frozenset({WHOLE_FRAME, *ARRIVAL})
"""Stages that span a frame, so that they depend on the pass."""


@dataclass(frozen=True)
class Verdict:
    """One budget held against one case.

    Attributes:
        case: The case.
        stage: The stage.
        stat: The statistic.
        seconds: What it took.
        limit: What it may take.
        median_s: Median of the same samples, seconds.
        frames: How many there are.
        crowding: How many times longer other programs may have made it; see :mod:`yolotrt.bench.crowding`.
    """

    case: Case
    stage: str
    stat: str
    seconds: float
    limit: float
    median_s: float
    frames: int
    crowding: float = 1.0

    @property
    def held(self) -> Held:
        """Whether it kept within the budget; undecided where other programs may be why it did not.

        Frames that are too few for a percentile cannot tell that it keeps a limit. That it does not they can
        tell where even their median exceeds it, which no higher percentile lies below.
        """
        few = self.frames < self.needed
        if not few and self.seconds <= self.limit:
            return "met"
        told = self.median_s if few else self.seconds
        return "missed" if told / self.crowding > self.limit else "undecided"

    @property
    def met(self) -> bool:
        """Whether it certainly kept within the budget."""
        return self.held == "met"

    @property
    def of_limit(self) -> float:
        """What it took as a part of what it may take."""
        return self.seconds / self.limit

    @property
    def why_open(self) -> str:
        """Why it is undecided."""
        if self.frames < self.needed:
            return f"{self.frames} frames cannot tell {self.stat}, {self.needed} can"
        return "it may be because other programs were busy"

    @property
    def needed(self) -> int:
        """From how many frames on the statistic can be relied on."""
        return needed_count(self.stat)


def judge(cases: Sequence[CaseResult], budgets: Budgets, crowded: float = 1.0) -> tuple[Verdict, ...]:
    """Hold every budget against every case that measured its stage.

    A budget on the whole frame is held against the cases that run it as an application does
    (:data:`yolotrt.pipeline.modes.DEFAULT_MODE`) if there are any: that a global pass alone keeps it means
    nothing to whoever runs tiles, too.

    Args:
        cases: What was measured.
        budgets: What it is held against.
        crowded: How many times longer other programs may have made it all.

    Raises:
        UsageError: No case measured a stage that has a budget: the gate would pass without looking.
        GateUndecided: A case measured it in some of its frames only.
    """
    verdicts = []
    for stage, limit in budgets.limits.items():
        found = []
        for entry in _held_cases(cases, stage):
            samples = entry.taken(stage)
            if None in samples and any(sample is not None for sample in samples):
                raise GateUndecided(
                    f"The budget on {stage!r} cannot be judged: {entry.case} measured some frames only.",
                    hint="Measure again, without --resume.",
                )
            if (array := measured(samples)) is not None:
                took, median = (statistic(array, stat) for stat in (budgets.stat, "p50"))
                found.append(
                    Verdict(entry.case, stage, budgets.stat, took, limit, median, len(array), crowded)
                )
        if not found:
            further = "--arrival" if stage in ARRIVAL else "a --mode or backend that does"
            raise UsageError(
                f"The budget on {stage!r} was held against nothing: no case measured it.",
                hint=f"Add {further}, or drop that --budget.",
            )
        verdicts += found
    return tuple(verdicts)


def _held_cases(cases: Sequence[CaseResult], stage: str) -> Sequence[CaseResult]:
    shipped = [entry for entry in cases if entry.case.mode == DEFAULT_MODE]
    return shipped if shipped and stage in WHOLE else cases
