"""Streaming histograms of signed floats: one pass, any range, constant memory.

Bin edges are multiples of a power of two, so zero is always an edge and finding a value's bin is exact
in floating point. When a value falls outside, the bin width doubles until it fits and neighbouring bins
are added up. The result therefore depends only on the values, not on their order or batching: it is the
histogram one would get by reading everything again with the final width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F64, I64

BINS = 16384
"""Bins in all, half of them below zero: at least 4096 cover the side that reaches farther."""

_HALF = BINS // 2
_HALF_BITS = _HALF.bit_length() - 1
_SMALLEST_EXPONENT = -120
"""Widths below 2**-120 are not used: their inverse would leave float32. Denormals share two bins."""


class NotFinite(ValueError):
    """A NaN or an infinity among the values."""


class StreamingHistogram:
    """How the values of one tensor are distributed.

    Attributes:
        counts: (BINS,) int64; bin ``i`` holds values in ``[(i - BINS/2) * width, (i + 1 - BINS/2) * width)``.
        exponent: Binary exponent of the bin width.
        minimum: Smallest value that was seen, also outside the samples (see :meth:`widen`).
        maximum: Largest value that was seen.
    """

    def __init__(self) -> None:
        self.counts: I64 = np.zeros(BINS, np.int64)
        self.exponent = _SMALLEST_EXPONENT
        self.minimum = math.inf
        self.maximum = -math.inf

    @property
    def width(self) -> float:
        """Width of every bin, a power of two."""
        return math.ldexp(1.0, self.exponent)

    @property
    def count(self) -> int:
        """Number of values that were added."""
        return int(self.counts.sum())

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Add values of any shape.

        Raises:
            NotFinite: There is a NaN or an infinity among them; nothing was added.
        """
        if values.size == 0:
            return
        self.widen(float(values.min()), float(values.max()))
        index = np.multiply(values, np.float32(math.ldexp(1.0, -self.exponent)), dtype=np.float32)
        np.floor(index, out=index)
        index += np.float32(_HALF)
        self.counts += np.bincount(index.ravel().astype(np.uint16), minlength=BINS)

    def widen(self, minimum: float, maximum: float) -> None:
        """Take note of extremes that are known exactly, though only samples are added.

        Raises:
            NotFinite: One of them is a NaN or an infinity.
        """
        if not (math.isfinite(minimum) and math.isfinite(maximum)):
            raise NotFinite("NaN or infinity")
        self.minimum, self.maximum = min(self.minimum, minimum), max(self.maximum, maximum)
        reach = max(-self.minimum, self.maximum)
        if reach > 0:
            self._grow_to(math.frexp(reach)[1] - _HALF_BITS)

    def merge(self, other: StreamingHistogram, weight: int = 1) -> None:
        """Add the values of another histogram, each ``weight`` times."""
        if other.count == 0:
            return
        self.widen(other.minimum, other.maximum)
        self._grow_to(other.exponent)
        self.counts += weight * _merged_bins(other.counts, self.exponent - other.exponent)

    def mapped(self, function: Callable[[F64], F64]) -> StreamingHistogram:
        """Return the distribution of ``function(values)``, from the bins' centres and the extremes."""
        result = StreamingHistogram()
        if self.count == 0:
            return result
        centres, counts = self.occupied()
        images = function(np.append(centres, [self.minimum, self.maximum]))
        result.widen(float(images.min()), float(images.max()))
        index = np.floor(images[:-2] / result.width).astype(np.int64) + _HALF
        result.counts += np.bincount(index, weights=counts, minlength=BINS).astype(np.int64)
        return result

    def occupied(self) -> tuple[F64, F64]:
        """Return centres and counts of the bins that hold something, in ascending order.

        Centres are kept within the extremes, so a constant tensor has its constant as the only centre.
        """
        used = np.flatnonzero(self.counts)
        centres = (used - _HALF + 0.5) * self.width
        return np.clip(centres, self.minimum, self.maximum), self.counts[used].astype(np.float64)

    def magnitudes(self) -> StreamingHistogram:
        """Return the distribution of the absolute values."""
        result = StreamingHistogram()
        if self.count == 0:
            return result
        reach = max(-self.minimum, self.maximum)
        result.widen(max(self.minimum, -self.maximum, 0.0), reach)
        result._grow_to(self.exponent)
        result.counts[_HALF:] = self.counts[_HALF:] + self.counts[_HALF - 1 :: -1]
        return result

    def quantile(self, q: float) -> float:
        """Return the value below which a share ``q`` in [0, 1] of the values lies, to half a bin."""
        if self.count == 0:
            return 0.0
        if q <= 0 or q >= 1:
            return self.minimum if q <= 0 else self.maximum
        centres, counts = self.occupied()
        return float(centres[np.searchsorted(np.cumsum(counts), q * counts.sum())])

    def mean_abs(self) -> float:
        """Return the mean absolute value, to half a bin."""
        centres, counts = self.occupied()
        return float(np.average(np.abs(centres), weights=counts)) if len(counts) else 0.0

    def _grow_to(self, exponent: int) -> None:
        doublings = exponent - self.exponent
        if doublings > 0:
            self.counts = _merged_bins(self.counts, doublings)
            self.exponent = exponent


def _merged_bins(counts: I64, doublings: int) -> I64:
    """Return the counts for bins ``2**doublings`` times as wide."""
    if doublings <= 0:
        return counts
    side = 1 << min(doublings, _HALF_BITS)
    sums = counts.reshape(-1, side).sum(axis=1)
    merged: I64 = np.zeros_like(counts)
    begin = _HALF - len(sums) // 2
    merged[begin : begin + len(sums)] = sums
    return merged
