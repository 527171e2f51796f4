"""How many frames a statement about latency needs."""

from __future__ import annotations

import math

import numpy as np

from yolotrt.arrays import F64
from yolotrt.bench.statistics import CONFIDENCE, QUANTILES

SURE = 0.01
"""Probability with which :func:`needed_count` frames may hide that a percentile is exceeded."""

RANKED = 10
"""From this many frames on, an order without overlap counts as it is; see :func:`apart`."""


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


def rough_percentiles(count: int) -> str | None:
    """Return which of the percentiles that tables show are rough with so many frames; None if none is."""
    rough = [f"{stat} needs {needed}" for stat in ("p95", "p99") if count < (needed := needed_count(stat))]
    return f"percentiles of {count} frames are rough: {', '.join(rough)}" if rough else None


def apart(low: F64, high: F64, confidence: float = CONFIDENCE) -> bool:
    """Return whether every value of ``high`` lies above every one of ``low``, and chance does not explain it.

    Independent samples of one distribution are ordered like this with probability 1 / C(n + m, n)
    (Wilcoxon's rank-sum test at its extreme), which must be below the error allowed. Frames resemble their
    neighbours, though, and no test on two runs is right under every dependence: with runs that keep one
    level each, one of the two is always above the other. What protects is how far a run wanders by itself.
    Ten frames of an autoregressive process whose neighbours correlate by 0.8 are ordered like this in 3 %
    of pairs of equal runs, and twenty in 0.3 % (``python -m benchmarks.gate_errors``), so from
    :data:`RANKED` frames on the order counts as it is. Fewer have hardly had time to wander: there the gap
    must exceed the wider of the two ranges.

    Args:
        low: (n,) values.
        high: (m,) values.
        confidence: Probability that the answer is no when both are alike.
    """
    few = min(len(low), len(high))
    if few < RANKED and math.comb(len(low) + len(high), few) * (1 - confidence) / 2 < 1:
        return False
    gap = float(high.min() - low.max())
    return gap > (0.0 if few >= RANKED else max(float(np.ptp(low)), float(np.ptp(high))))
