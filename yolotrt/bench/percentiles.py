"""The statistics that budgets and comparisons are put on, and how many frames each one needs."""

from __future__ import annotations

from functools import cache
from typing import Literal

SURE = 0.01
"""Probability with which :func:`needed_count` frames may hide that a percentile is exceeded."""

QUANTILES: dict[str, float | None] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "mean": None}
"""Which quantile each statistic is."""

Statistic = Literal["p50", "p90", "p95", "p99", "mean"]
STATISTICS: tuple[Statistic, ...] = ("p50", "p90", "p95", "p99", "mean")


@cache
def needed_count(stat: str) -> int:
    """Return from how many frames on a percentile can be relied on: 64 for p90, 130 for p95, 662 for p99.

    It is the rule by which MLPerf's load generator ends a run early (MLPerf Inference, ``loadgen``,
    ``early_stopping.cc``): the smallest n for which, if the true percentile were exceeded, one slow frame
    or none among n would come with a probability of 1 % at most: q^n + n (1 - q) q^(n - 1) <= 0.01.
    Medians and means are not held to it; their intervals tell.
    """
    q = QUANTILES[stat]
    if q is None or q == 0.5:
        return 1
    n = 1
    while q**n + n * (1 - q) * q ** (n - 1) > SURE:
        n += 1
    return n


def left_out(count: int) -> str | None:
    """Return which of the percentiles that tables have so many frames cannot tell; None if they tell all."""
    few = [f"{stat} needs {needed}" for stat in ("p95", "p99") if count < (needed := needed_count(stat))]
    frames = f"{count} frame{'s' * (count != 1)}"
    return f"percentiles that {frames} cannot tell are shown as -: {', '.join(few)}" if few else None
