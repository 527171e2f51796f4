"""Latency budgets: what a stage may take, and which cases take longer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yolotrt.bench.result import Case, RunResult
from yolotrt.bench.statistics import STATISTICS, summarize
from yolotrt.errors import GateUndecided, UsageError
from yolotrt.timing.trace import STAGES

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_TERM = re.compile(r"(?P<stage>[a-z_]+)=(?P<value>\d+(\.\d+)?)(?P<unit>ms|us|s)")


@dataclass(frozen=True)
class Budgets:
    """Seconds that stages may take.

    Attributes:
        limits: Seconds by stage.
        stat: The statistic that must stay within them, one of :data:`STATISTICS`.
    """

    limits: Mapping[str, float]
    stat: str = "p50"

    @classmethod
    def parse(cls, terms: Sequence[str], stat: str = "p50") -> Budgets:
        """Parse terms like ``tiles=10ms``.

        Raises:
            UsageError: A term, its stage or the statistic is not understood.
        """
        if stat not in STATISTICS:
            raise UsageError(
                f"--budget-stat {stat!r} is unknown.", hint=f"Choose from: {', '.join(STATISTICS)}."
            )
        limits: dict[str, float] = {}
        for term in terms:
            match = _TERM.fullmatch(term.strip())
            if match is None or float(match["value"]) <= 0:
                raise UsageError(
                    f"--budget {term!r} is not understood.", hint="Like this: --budget tiles=10ms"
                )
            if match["stage"] not in STAGES:
                raise UsageError(
                    f"--budget {term!r} names no stage.", hint=f"Choose from: {', '.join(STAGES)}."
                )
            limits[match["stage"]] = float(match["value"]) * _UNITS[match["unit"]]
        return cls(limits, stat)

    @classmethod
    def of(cls, result: RunResult) -> Budgets:
        """Return the budgets that a result was measured against."""
        limits = {stage: float(value) for stage, value in result.budgets.items() if stage != "stat"}
        return cls(limits, str(result.budgets.get("stat", "p50")))

    def as_json(self) -> dict[str, float | str]:
        """Return what a result file holds; empty without budgets."""
        return {**self.limits, "stat": self.stat} if self.limits else {}


NO_BUDGETS = Budgets({})


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


def judge(result: RunResult, budgets: Budgets) -> tuple[Verdict, ...]:
    """Hold every budget against every case that measured its stage.

    Raises:
        UsageError: No case measured a stage that has a budget: the gate would pass without looking.
        GateUndecided: A case measured it in some of its frames only.
    """
    verdicts = []
    for stage, limit in budgets.limits.items():
        for entry in result.cases:
            samples = entry.taken(stage)
            if None in samples and any(sample is not None for sample in samples):
                raise GateUndecided(
                    f"The budget on {stage!r} cannot be judged: {entry.case} measured some frames only.",
                    hint="Measure again, without --resume.",
                )
        found = [
            Verdict(entry.case, stage, budgets.stat, float(getattr(summary, budgets.stat)), limit)
            for entry in result.cases
            if (summary := summarize(entry.taken(stage))) is not None
        ]
        if not found:
            raise UsageError(
                f"The budget on {stage!r} was held against nothing: no case measured it.",
                hint="Add a --mode or backend that does, or drop that --budget.",
            )
        verdicts += found
    return tuple(verdicts)
