"""From a histogram to the range that 8 bits should cover.

Every algorithm answers two questions at once, because one calibration serves both kinds of Q/DQ: the
``lo`` and ``hi`` of an asymmetric uint8 tensor, and the ``amax`` of a symmetric int8 one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F64
from yolotrt.quantization.histogram import StreamingHistogram

ByHistogram = Literal["mse", "entropy", "percentile", "minmax"]
"""How to choose a range from the distribution of its tensor alone."""

Algorithm = Literal["best", ByHistogram]
"""``best`` tries all of them; see :mod:`yolotrt.quantization.choice`."""

BY_HISTOGRAM: tuple[ByHistogram, ...] = get_args(ByHistogram)
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

PERCENTILE = 0.9999
"""Share of the values inside the range of the ``percentile`` algorithm."""

POWER = 2.4
"""Exponent of the error that ``mse`` minimises. More than 2 makes clipping count more: large values are rare,
but they stand where objects are. (As in BRECQ and QDrop, post-training quantisation, 2021 and 2022.)"""

Limits = tuple[float, float, float]
"""``lo <= 0 <= hi`` and ``amax >= 0``."""

_SEARCH_BINS = 4096
_ENTROPY_BINS, _ENTROPY_LEVELS = 2048, 128
_OCTAVES, _PER_OCTAVE = 6, 4


def choose_limits(
    histogram: StreamingHistogram, algorithm: ByHistogram, after: Callable[[F64], F64] | None = None
) -> Limits:
    """Return the range that ``algorithm`` finds for a tensor.

    Args:
        histogram: The tensor's values; must not be empty.
        algorithm: How to choose. ``minmax`` covers everything, ``percentile`` all but 1 in 10,000,
            ``entropy`` keeps the information in the magnitudes (Kullback-Leibler divergence, after
            TensorRT's calibrator), ``mse`` minimises the mean rounding and clipping error to the power of
            :data:`POWER`.
        after: The activation function that alone reads this tensor. ``mse`` and ``entropy`` then
            minimise that error of its *result*: what lies in a flat part of it costs no levels.
    """
    everything = (min(histogram.minimum, 0.0), max(histogram.maximum, 0.0))
    reach = max(-everything[0], everything[1])
    if reach == 0.0 or algorithm == "minmax":
        return (*everything, reach)
    if algorithm == "percentile":
        tail = 1 - PERCENTILE
        amax = histogram.magnitudes().quantile(PERCENTILE)
        return min(histogram.quantile(tail), 0.0), max(histogram.quantile(1 - tail), 0.0), amax
    centres, counts = _search_bins(histogram)
    if algorithm == "mse" or after is not None:
        lo, hi = _least_squares(centres, counts, everything, after or _same)
        return lo, hi, _least_squares_symmetric(centres, counts, reach, after or _same)
    threshold = entropy_threshold(histogram)
    return max(everything[0], -threshold), min(everything[1], threshold), threshold


def entropy_threshold(histogram: StreamingHistogram) -> float:
    """Return the magnitude beyond which clipping loses less information than it saves.

    For every threshold the clipped distribution P over fine bins is compared with Q, the same one seen
    through 128 levels; the threshold with the least ``KL(P || Q)`` wins. Source: S. Migacz, "8-bit
    Inference with TensorRT", GTC 2017.
    """
    magnitudes = histogram.magnitudes()
    half = len(magnitudes.counts) // 2
    fine = magnitudes.counts[half:].astype(np.float64)
    used = int(np.flatnonzero(fine)[-1]) + 1
    group = max(1, -(-used // _ENTROPY_BINS))
    bins = np.add.reduceat(fine[: -(-used // group) * group], np.arange(0, used, group))
    width = magnitudes.width * group
    if len(bins) <= _ENTROPY_LEVELS:
        return magnitudes.maximum
    # The last cut clips nothing. Without it a constant tensor, a spike in the last bin, is cut to a fraction.
    best = _best_cut(bins, [*range(_ENTROPY_LEVELS, len(bins), 16), len(bins)])
    near = range(max(_ENTROPY_LEVELS, best - 15), min(len(bins), best + 15) + 1)
    return min(_best_cut(bins, near) * width, magnitudes.maximum)


def _best_cut(bins: F64, cuts: Sequence[int]) -> int:
    outside = bins.sum() - np.cumsum(bins)
    return min(cuts, key=lambda cut: _divergence(bins[:cut], float(outside[cut - 1])))


def _divergence(inside: F64, outside: float) -> float:
    """Return KL(P || Q) in nats for the bins inside a threshold and the mass clipped onto its edge."""
    edges = np.arange(_ENTROPY_LEVELS) * len(inside) // _ENTROPY_LEVELS
    occupied = inside > 0
    mass = np.add.reduceat(inside, edges)
    share = mass / np.maximum(np.add.reduceat(occupied.astype(np.float64), edges), 1)
    q = np.repeat(share, np.diff(np.append(edges, len(inside)))) * occupied
    p = inside.copy()
    p[-1] += outside
    p, q = p / p.sum(), q / max(q.sum(), 1.0)
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 1e-9))))


def _same(values: F64) -> F64:
    return values


def _search_bins(histogram: StreamingHistogram) -> tuple[F64, F64]:
    """Return centres and counts of about ``_SEARCH_BINS`` non-empty bins at most.

    Only neighbours are joined: the few far values in sparse bins are what clipping is decided on.
    """
    centres, counts = histogram.occupied()
    if len(centres) <= _SEARCH_BINS:
        return centres, counts
    span = (centres[-1] - centres[0]) / histogram.width
    places = np.floor(centres / (histogram.width * -(-span // _SEARCH_BINS)))
    edges = np.flatnonzero(np.diff(places, prepend=-np.inf))
    sums = np.add.reduceat(counts, edges)
    return np.add.reduceat(centres * counts, edges) / sums, sums


def _least_squares(
    centres: F64, counts: F64, limits: tuple[float, float], after: Callable[[F64], F64]
) -> tuple[float, float]:
    """Search ``lo`` and ``hi`` in turn; each settles after a few rounds because they hardly interact."""
    lo, hi = limits
    target = after(centres)

    def error_of_hi(candidates: F64) -> F64:
        return asymmetric_error(centres, counts, target, np.full_like(candidates, lo), candidates, after)

    def error_of_lo(candidates: F64) -> F64:
        return asymmetric_error(centres, counts, target, -candidates, np.full_like(candidates, hi), after)

    for _ in range(2):
        if limits[1] > 0:
            hi = _search(limits[1], error_of_hi)
        if limits[0] < 0:
            lo = -_search(-limits[0], error_of_lo)
    return lo, hi


def _least_squares_symmetric(centres: F64, counts: F64, reach: float, after: Callable[[F64], F64]) -> float:
    target = after(centres)

    def error(amax: F64) -> F64:
        scale = amax[:, None] / 127
        rounded = np.clip(np.rint(centres / scale), -128, 127) * scale
        return np.abs(after(rounded) - target) ** POWER @ counts

    return _search(reach, error)


def asymmetric_error(
    centres: F64, counts: F64, target: F64, lo: F64, hi: F64, after: Callable[[F64], F64]
) -> F64:
    """Return the summed error (to :data:`POWER`) after uint8 rounding, for each pair of limits (k,)."""
    scale = np.maximum(hi - lo, np.finfo(np.float64).tiny)[:, None] / 255
    zero = np.rint(-lo[:, None] / scale)
    rounded = (np.clip(np.rint(centres / scale) + zero, 0, 255) - zero) * scale
    errors: F64 = np.abs(after(rounded) - target) ** POWER @ counts
    return errors


def _search(reach: float, error: Callable[[F64], F64]) -> float:
    """Return the limit in (0, reach] with the least error: first by quarter octaves, then finely."""
    steps: npt.NDArray[np.float64] = np.arange(_OCTAVES * _PER_OCTAVE + 1) / _PER_OCTAVE
    coarse = reach * 2.0**-steps
    best = float(coarse[np.argmin(error(coarse))])
    fine = best * 2.0 ** (np.arange(-7, 8) / (8 * _PER_OCTAVE))
    fine = fine[fine <= reach * (1 + 1e-12)]
    return float(fine[np.argmin(error(fine))])
