"""Latency budgets: what a stage may take. What keeps them says :mod:`yolotrt.bench.judge`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yolotrt.artifacts.fields import Seconds
from yolotrt.bench.statistics import STATISTICS, Statistic
from yolotrt.errors import UsageError
from yolotrt.timing.trace import STAGES

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_TERM = re.compile(r"(?P<stage>[a-z_]+)=(?P<value>\d+(\.\d+)?)(?P<unit>ms|us|s)")


@dataclass(frozen=True)
class Budgets:
    """Seconds that stages may take.

    Attributes:
        limits: Seconds by stage.
        stat: The statistic that must stay within them, one of :data:`yolotrt.bench.statistics.STATISTICS`.
    """

    limits: Mapping[str, Seconds] = field(default_factory=dict)
    stat: Statistic = "p50"

    @classmethod
    def parse(cls, terms: Sequence[str], stat: str = "p50") -> Budgets:
        """Parse terms like ``tiles=10ms``.

        Raises:
            UsageError: A term, its stage or the statistic is not understood.
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
                    f"--budget {term!r} is not understood.", hint="Like this: --budget tiles=10ms"
                )
            if match["stage"] not in STAGES:
                raise UsageError(
                    f"--budget {term!r} names no stage.", hint=f"Choose from: {', '.join(STAGES)}."
                )
            limits[match["stage"]] = float(match["value"]) * _UNITS[match["unit"]]
        return cls(limits, chosen)


NO_BUDGETS = Budgets()


def from_flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of budgets as earlier versions wrote them: limits and ``stat`` side by side."""
    return {
        "limits": {stage: value for stage, value in found.items() if stage != "stat"},
        "stat": found.get("stat", "p50"),
    }
