"""Latency budgets: what a stage may take. What keeps them says :mod:`yolotrt.bench.judge`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yolotrt.artifacts.fields import Seconds
from yolotrt.bench.percentiles import STATISTICS, Statistic
from yolotrt.errors import UsageError
from yolotrt.timing.trace import ARRIVAL, STAGES

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
BUDGETED = (*STAGES, *ARRIVAL)
"""Stages that a budget can be put on."""

WHOLE_FRAME = "end_to_end"
"""The stage of a budget that names none."""

_TIME = re.compile(r"(?P<value>\d+(\.\d+)?)(?P<unit>ms|us|s)")
_TERM = re.compile(r"((?P<stage>[a-z_]+)=)?(?P<value>\d+(\.\d+)?)(?P<unit>ms|us|s|)")


@dataclass(frozen=True)
class Budgets:
    """Seconds that stages may take.

    Attributes:
        limits: Seconds by stage.
        deadline_s: Seconds from its arrival by which a frame's result must be there; late ones are counted.
        stat: The statistic that must stay within them, one of :data:`yolotrt.bench.percentiles.STATISTICS`.
    """

    limits: Mapping[str, Seconds] = field(default_factory=dict)
    stat: Statistic = "p50"
    deadline_s: Seconds | None = None

    def given(self, others: Budgets) -> Budgets:
        """Return these with what others name in their place: limits, or the deadline, or both."""
        limits = others if others.limits else self
        deadline = self.deadline_s if others.deadline_s is None else others.deadline_s
        return Budgets(limits.limits, limits.stat, deadline)

    @classmethod
    def parse(cls, terms: Sequence[str], stat: str = "p50", deadline: str | None = None) -> Budgets:
        """Parse terms like ``tiles=10ms`` or ``33ms`` (the frame), and a deadline like ``33ms``.

        Raises:
            UsageError: A term, its stage, the statistic or the deadline is not understood.
        """
        chosen = next((known for known in STATISTICS if known == stat), None)
        if chosen is None:
            raise UsageError(
                f"--budget-stat {stat!r} is unknown.", hint=f"Choose from: {', '.join(STATISTICS)}."
            )
        limits: dict[str, float] = {}
        for term in terms:
            match = _TERM.fullmatch(term.strip())
            if match is None or float(match["value"]) <= 0:
                raise UsageError(
                    f"--budget {term!r} is not understood.",
                    hint="Like this: --budget 33ms, which is --budget end_to_end=33ms",
                )
            stage, given = match["stage"] or WHOLE_FRAME, term.strip()
            if stage not in BUDGETED:
                raise UsageError(
                    f"--budget {term!r} names no stage.", hint=f"Choose from: {', '.join(BUDGETED)}."
                )
            if not match["unit"]:
                raise UsageError(
                    f"--budget {term!r} has no unit.", hint=f"Type: --budget {given}ms, or {given}s (or us)."
                )
            limits[stage] = float(match["value"]) * _UNITS[match["unit"]]
        return cls(limits, chosen, None if deadline is None else _deadline(deadline))


NO_BUDGETS = Budgets()


def _deadline(text: str) -> float:
    match = _TIME.fullmatch(text.strip())
    if match is None or float(match["value"]) <= 0:
        raise UsageError(f"--deadline {text!r} is not understood.", hint="Like this: --deadline 33ms")
    return float(match["value"]) * _UNITS[match["unit"]]


def from_flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of budgets as earlier versions wrote them: limits and ``stat`` side by side."""
    return {
        "limits": {stage: value for stage, value in found.items() if stage != "stat"},
        "stat": found.get("stat", "p50"),
    }
