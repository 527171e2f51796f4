"""Which cases take longer than their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from yolotrt.bench.budgets import Budgets
from yolotrt.bench.case import Case, CaseResult
from yolotrt.bench.percentiles import needed_count
from yolotrt.bench.statistics import measured, statistic
from yolotrt.errors import GateUndecided, UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.timing.trace import ARRIVAL

Held = Literal["met", "missed", "undecided"]

WHOLE = frozenset({"end_to_end", *ARRIVAL})
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
    """

    case: Case
    stage: str
    stat: str
    seconds: float
    limit: float
    median_s: float
    frames: int

    @property
    def held(self) -> Held:
        """Whether it kept within the budget.

        Frames that are too few for a percentile cannot tell that it keeps a limit. That it does not they can
        tell where even their median exceeds it, which no higher percentile lies below.
        """
        if self.frames < self.needed:
            return "missed" if self.median_s > self.limit else "undecided"
        return "met" if self.seconds <= self.limit else "missed"

    @property
    def met(self) -> bool:
        """Whether it certainly kept within the budget."""
        return self.held == "met"

    @property
    def needed(self) -> int:
        """From how many frames on the statistic can be relied on."""
        return needed_count(self.stat)


def judge(cases: Sequence[CaseResult], budgets: Budgets) -> tuple[Verdict, ...]:
    """Hold every budget against every case that measured its stage.

    A budget on the whole frame is held against the cases that run it as an application does
    (:data:`yolotrt.pipeline.modes.DEFAULT_MODE`) if there are any: that a global pass alone keeps it means
    nothing to whoever runs tiles, too.

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
                found.append(Verdict(entry.case, stage, budgets.stat, took, limit, median, len(array)))
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
