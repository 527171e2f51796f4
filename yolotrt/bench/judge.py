"""Which cases take longer than their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolotrt.bench.budgets import Budgets
from yolotrt.bench.case import Case, CaseResult
from yolotrt.bench.statistics import summarize
from yolotrt.errors import GateUndecided, UsageError


@dataclass(frozen=True)
class Verdict:
    """One budget held against one case.

    Attributes:
        case: The case.
        stage: The stage.
        stat: The statistic.
        seconds: What it took.
        limit: What it may take.
    """

    case: Case
    stage: str
    stat: str
    seconds: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether it kept within the budget."""
        return self.seconds <= self.limit


def judge(cases: Sequence[CaseResult], budgets: Budgets) -> tuple[Verdict, ...]:
    """Hold every budget against every case that measured its stage.

    Raises:
        UsageError: No case measured a stage that has a budget: the gate would pass without looking.
        GateUndecided: A case measured it in some of its frames only.
    """
    verdicts = []
    for stage, limit in budgets.limits.items():
        for entry in cases:
            samples = entry.taken(stage)
            if None in samples and any(sample is not None for sample in samples):
                raise GateUndecided(
                    f"The budget on {stage!r} cannot be judged: {entry.case} measured some frames only.",
                    hint="Measure again, without --resume.",
                )
        found = [
            Verdict(entry.case, stage, budgets.stat, float(getattr(summary, budgets.stat)), limit)
            for entry in cases
            if (summary := summarize(entry.taken(stage))) is not None
        ]
        if not found:
            raise UsageError(
                f"The budget on {stage!r} was held against nothing: no case measured it.",
                hint="Add a --mode or backend that does, or drop that --budget.",
            )
        verdicts += found
    return tuple(verdicts)
