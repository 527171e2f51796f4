"""What is derived from raw samples; nothing is clipped or thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Statistics of one stage over all measured frames, seconds.

    Attributes:
        count: Number of samples.
        mean: Arithmetic mean.
        stdev: Sample standard deviation (0 for a single sample).
        p50: Median; percentiles interpolate linearly (NumPy's default).
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
    """

    count: int
    mean: float
    stdev: float
    p50: float
    p90: float
    p95: float
    p99: float


def summarize(samples: Sequence[float | None]) -> Summary | None:
    """Return statistics of the samples, or None if the stage was not measured in every frame."""
    values = [s for s in samples if s is not None]
    if not values or len(values) != len(samples):
        return None
    array = np.asarray(values)
    p50, p90, p95, p99 = (float(v) for v in np.percentile(array, (50, 90, 95, 99)))
    stdev = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return Summary(len(array), float(array.mean()), stdev, p50, p90, p95, p99)


def paired_ratio(base: Sequence[float | None], other: Sequence[float | None]) -> float | None:
    """Return the median over rounds of ``base / other``: how many times faster ``other`` is.

    The two are paired by round, so a drift of the machine hits both alike and cancels.
    """
    ratios = [b / o for b, o in zip(base, other, strict=False) if b is not None and o]
    return float(np.median(ratios)) if ratios else None
