"""How many frames a statement about latency needs."""

from __future__ import annotations

import math

import numpy as np

from yolotrt.arrays import F64
from yolotrt.bench.statistics import CONFIDENCE, autocorrelation

RANKED = 10
"""From this many frames on, an order without overlap counts as it is; see :func:`apart`."""

WANDERING = 0.7
"""Frames that resemble the ones before them by more than this may lie apart by chance, unless there are
:data:`MANY`."""

MANY = 100


def apart(low: F64, high: F64, confidence: float = CONFIDENCE) -> bool:
    """Return whether every value of ``high`` lies above every one of ``low``, and chance does not explain it.

    Independent samples of one distribution are ordered like this with probability 1 / C(n + m, n)
    (Wilcoxon's rank-sum test at its extreme), which must be below the error allowed. Frames resemble their
    neighbours, though, and no test on two runs is right under every dependence: with runs that keep one
    level each, one of the two is always above the other. What protects is how far a run wanders by itself.
    Ten frames of an autoregressive process whose neighbours correlate by 0.8 are ordered like this in 3 %
    of pairs of equal runs, and twenty in 0.3 % (``python -m benchmarks.gate_errors``), so from
    :data:`RANKED` frames on the order counts as it is. Fewer have hardly had time to wander, nor have those
    that hardly differ from their neighbours (of pairs of 20 frames with r = 0.95, 9 % are ordered). There
    the gap must exceed the wider of the two ranges.

    Args:
        low: (n,) values.
        high: (m,) values.
        confidence: Probability that the answer is no when both are alike.
    """
    few = min(len(low), len(high))
    if few < RANKED and math.comb(len(low) + len(high), few) * (1 - confidence) / 2 < 1:
        return False
    slow = few < MANY and max(autocorrelation(low), autocorrelation(high)) > WANDERING
    gap = float(high.min() - low.max())
    return gap > (max(float(np.ptp(low)), float(np.ptp(high))) if few < RANKED or slow else 0.0)
