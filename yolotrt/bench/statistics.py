"""What is derived from raw samples; nothing is clipped or thrown away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from yolotrt.arrays import F64
from yolotrt.bench.percentiles import QUANTILES, needed_count

CONFIDENCE = 0.95
RESAMPLES = 4000
SEED = 20_240_607
"""Every interval is drawn from the same seed: the same samples always give the same figures."""

TICK_S = 1e-9

_FAR = 3
"""Interquartile ranges from the quartiles to Tukey's far fences."""

GLANCED = 2000
"""Samples that a glance looks at, at most."""


class Interval(NamedTuple):
    """A confidence interval, in the unit of what it is about."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Statistics of one stage over all measured frames, seconds.

    Attributes:
        count: Number of samples.
        mean: Arithmetic mean.
        stdev: Sample standard deviation (0 for a single sample).
        p50: Median; percentiles interpolate linearly (NumPy's default).
        p90: 90th percentile; None for so few samples that they cannot tell it
            (:func:`yolotrt.bench.percentiles.needed_count`). So are the two below.
        p95: 95th percentile.
        p99: 99th percentile.
        p50_interval: Bootstrap 95 % interval of the median, wider where neighbouring samples are alike
            (:func:`effective_count`); None for samples that say less than six independent ones.
        outliers: Samples beyond Tukey's far fences (3 interquartile ranges outside the quartiles). They
            are counted for the reader and stay in every statistic above.
    """

    count: int
    mean: float
    stdev: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    p50_interval: Interval | None
    outliers: int

    @property
    def variation(self) -> float:
        """Coefficient of variation: standard deviation over mean."""
        return self.stdev / self.mean if self.mean else 0.0


def summarize(samples: Sequence[float | None]) -> Summary | None:
    """Return statistics of the samples, or None if the stage was not measured in every frame."""
    array = measured(samples)
    if array is None:
        return None
    p90, p95, p99 = (_percentile(array, stat) for stat in ("p90", "p95", "p99"))
    stdev = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    interval = quantile_interval(array, 0.5)
    mean = float(array.mean())
    p50, outliers = float(np.median(array)), count_outliers(array)
    return Summary(len(array), mean, stdev, p50, p90, p95, p99, interval, outliers)


def glance(samples: Sequence[float]) -> Summary | None:
    """Return statistics of an even part of the samples, without an interval, in about 0.1 ms.

    For looks at a run that goes on: its frames wait meanwhile.
    """
    if not len(samples):
        return None
    array = np.array(samples, np.float64)[:: -(-len(samples) // GLANCED)]
    low, p50, high, *tail = np.quantile(array, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)).tolist()
    p90, p95, p99 = (
        value if len(array) >= needed_count(stat) else None
        for stat, value in zip(("p90", "p95", "p99"), tail, strict=True)
    )
    stdev = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    far = _FAR * (high - low)
    outliers = int(((array < low - far) | (array > high + far)).sum())
    return Summary(len(samples), float(array.mean()), stdev, p50, p90, p95, p99, None, outliers)


def _percentile(array: F64, stat: str) -> float | None:
    return statistic(array, stat) if len(array) >= needed_count(stat) else None


def median(samples: Sequence[float | None]) -> float | None:
    """Return the median alone, or None if the stage was not measured in every frame."""
    array = measured(samples)
    return None if array is None else float(np.median(array))


def measured(samples: Sequence[float | None]) -> F64 | None:
    """Return the samples as an array, or None if there are none or one was not measured."""
    if not len(samples) or any(s is None for s in samples):
        return None
    return np.asarray(samples, np.float64)


def quantile_interval(array: F64, q: float, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the bootstrap percentile interval of a quantile, or None for too few samples."""
    count = effective_count(array)
    if not enough(count, q, confidence):
        return None
    return _interval(resampled_quantiles(array, q, count=count), confidence)


def effective_count(array: F64) -> float:
    """Return how many independent samples say as much as these, which may resemble their neighbours.

    A machine that speeds up and slows down makes neighbouring frames alike; with a correlation r of each
    frame with the next, n of them say as much as n (1 - r) / (1 + r) independent ones (an autoregressive
    process of first order). A correlation that chance explains (below 2 / sqrt(n)) is taken for none. That
    of few samples comes out too small, by (1 + 3 r) / n on average (Kendall, *Note on bias in the estimation
    of autocorrelation*, Biometrika 41, 1954), which is put back.
    """
    n, seen = len(array), autocorrelation(array)
    if n < 4 or seen * math.sqrt(n) <= 2:
        return float(n)
    r = min((n * seen + 1) / (n - 3), 0.95)
    return max(2.0, n * (1 - r) / (1 + r))


def enough(count: float, q: float, confidence: float = CONFIDENCE) -> bool:
    """Return whether that many samples can say where a quantile lies.

    A resample never leaves the range of the samples, so the interval cannot be right more often than that
    range holds the true quantile: unless all samples fell on one side of it, 1 - q^n - (1 - q)^n. With
    fewer samples the bootstrap's intervals would be too narrow.
    """
    return 0 < q < 1 and count > 1 and float(q**count + (1 - q) ** count) <= 1 - confidence


def resampled_means(
    array: F64, *, count: float | None = None, seed: int = SEED, resamples: int = RESAMPLES
) -> F64:
    """Return the mean of many bootstrap resamples; arguments as :func:`resampled_quantiles`."""
    rng = np.random.default_rng(seed)
    drawn = max(1, round(len(array) if count is None else count))
    at_once = max(1, 1_000_000 // drawn)
    parts = [
        array[rng.integers(0, len(array), (min(at_once, resamples - i), drawn))].mean(axis=1)
        for i in range(0, resamples, at_once)
    ]
    return np.concatenate(parts)


def resampled_quantiles(
    array: F64, q: float, *, count: float | None = None, seed: int = SEED, resamples: int = RESAMPLES
) -> F64:
    """Return the quantile of many bootstrap resamples of the array.

    A resample of n values is sorted(array)[floor(n * u)] for n uniform numbers u. Its k-th smallest value
    is therefore that of the k-th smallest u, which follows Beta(k, n - k + 1); given it, the next one
    divides the remaining gap like Beta(1, n - k) (order statistics of uniforms: David & Nagaraja, *Order
    Statistics*, 2.5). Drawing the two that a quantile interpolates between gives exactly the bootstrap's
    distribution without drawing the other n - 2, so thousands of frames cost no more than twenty.

    Args:
        array: (n,) samples, n >= 1.
        q: Quantile in [0, 1], interpolated linearly as NumPy does.
        count: Size of a resample; None takes n. Fewer widen the distribution as fewer samples would.
        seed: Seed of the draw.
        resamples: Number of resamples.

    Returns:
        (resamples,) values.
    """
    ordered, n = np.sort(array), len(array)
    drawn = max(1, round(n if count is None else count))
    position = q * (drawn - 1)
    lower = min(math.floor(position), drawn - 1)
    weight = position - lower
    below, above = _neighbours(lower, drawn, bool(weight), seed, resamples)
    first = ordered[np.minimum((below * n).astype(np.intp), n - 1)]
    if not weight:
        return first
    second = ordered[np.minimum((above * n).astype(np.intp), n - 1)]
    return first + (second - first) * weight


@lru_cache(maxsize=32)
def _neighbours(lower: int, drawn: int, both: bool, seed: int, resamples: int) -> tuple[F64, F64]:
    """Return the order statistics ``lower`` and, of both, the next: the same for all samples of a size."""
    rng = np.random.default_rng(seed)
    below = rng.beta(lower + 1, drawn - lower, resamples)
    return below, below + (1 - below) * rng.beta(1, drawn - lower - 1, resamples) if both else below


def _interval(draws: F64, confidence: float) -> Interval:
    low, high = np.quantile(draws, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class Ratio:
    """How many times longer one thing took than another.

    Attributes:
        value: The ratio.
        interval: Its bootstrap interval; None for too few samples.
        reach: The largest ratio that the samples do not exclude: the upper end of the 95 % interval,
            which too few samples make too small. None where nobody asks for it.
    """

    value: float
    interval: Interval | None
    reach: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval excludes "no difference"."""
        return self.interval is not None and not self.interval.low <= 1 <= self.interval.high


def paired_ratio(base: Sequence[float | None], other: Sequence[float | None]) -> Ratio | None:
    """Return the median over rounds of ``base / other``: how many times faster ``other`` is.

    The two are paired by round, so a drift of the machine hits both alike and cancels.
    """
    ratios = np.array([b / o for b, o in zip(base, other, strict=False) if b is not None and o])
    if not len(ratios):
        return None
    return Ratio(float(np.median(ratios)), quantile_interval(ratios, 0.5))


def statistic(array: F64, stat: str) -> float:
    """Return one of :data:`yolotrt.bench.percentiles.STATISTICS` of the samples."""
    q = QUANTILES[stat]
    return float(array.mean() if q is None else np.quantile(array, q))


def unpaired_ratio(base: F64, new: F64, stat: str, *, confidence: float = CONFIDENCE) -> Ratio:
    """Return the statistic of ``new`` over that of ``base``, two separate runs, with its bootstrap interval.

    Args:
        base: (n,) seconds; less than a tick of the clock counts as one.
        new: (m,) seconds.
        stat: One of :data:`yolotrt.bench.percentiles.STATISTICS`.
        confidence: Probability that the interval covers the true ratio.
    """
    base, new = np.maximum(base, TICK_S), np.maximum(new, TICK_S)
    if np.array_equal(base, new):  # one measurement held against itself
        return Ratio(1.0, Interval(1.0, 1.0), 1.0)
    value, q = statistic(new, stat) / statistic(base, stat), QUANTILES[stat]
    counts = effective_count(base), effective_count(new)
    after, before = (
        resampled_means(array, count=count, seed=seed)
        if q is None
        else resampled_quantiles(array, q, count=count, seed=seed)
        for array, count, seed in ((new, counts[1], SEED + 1), (base, counts[0], SEED))
    )
    draws = after / before
    sure = enough(min(counts), 0.5 if q is None else q, confidence)
    interval = _interval(draws, confidence) if sure else None
    return Ratio(value, interval, _interval(draws, CONFIDENCE).high)


def far_fences(array: F64) -> tuple[float, float]:
    """Return Tukey's far fences: 3 interquartile ranges below the first quartile and above the third."""
    q1, q3 = np.percentile(array, (25, 75))
    far = _FAR * (q3 - q1)
    return float(q1 - far), float(q3 + far)


def count_outliers(array: F64) -> int:
    """Return how many samples lie beyond Tukey's far fences."""
    low, high = far_fences(array)
    return int(((array < low) | (array > high)).sum())


def autocorrelation(array: F64) -> float:
    """Return the correlation of each sample with the next one; 0 where it is not defined."""
    if len(array) < 3 or not array.std():
        return 0.0
    centred = array - array.mean()
    return float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())
