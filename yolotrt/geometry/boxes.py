"""Boxes: areas, overlap measures, and which pairs of many boxes overlap enough to matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32, F64, I64

Metric = Literal["iou", "ios"]
"""``iou``: intersection over union. ``ios``: intersection over the smaller of the two, which stays high
when one is a fragment of the other."""

_PAIRS_AT_ONCE = 1 << 19
"""Candidate pairs examined together, so that memory stays flat however many boxes there are."""

_FEW = 8
"""Candidate pairs per box that are not worth looking for a better axis."""

_NONE = np.zeros(0, np.int64)


def areas(boxes: F32) -> F64:
    """Return the areas of (n, 4) xyxy boxes in square px; 0 for a box turned inside out."""
    sides = np.maximum(boxes[:, 2:].astype(np.float64) - boxes[:, :2], 0)
    result: F64 = sides[:, 0] * sides[:, 1]
    return result


def intersection_areas(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> F64:
    """Return the shared areas in square px of xyxy boxes (..., 4), broadcast against each other."""
    low = np.maximum(a[..., :2], b[..., :2]).astype(np.float64)
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - low, 0)
    result: F64 = sides[..., 0] * sides[..., 1]
    return result


def overlap(intersection: F64, area_a: F64, area_b: F64, metric: Metric) -> F64:
    """Return the overlap in [0, 1] from broadcastable areas; 0 where both are empty."""
    whole = np.minimum(area_a, area_b) if metric == "ios" else area_a + area_b - intersection
    return np.divide(intersection, whole, out=np.zeros_like(intersection), where=whole > 0)


def box_overlap(a: F32, b: F32, metric: Metric = "iou") -> F64:
    """Return the (n, m) overlaps between (n, 4) and (m, 4) xyxy boxes."""
    shared = intersection_areas(a[:, None], b[None])
    return overlap(shared, areas(a)[:, None], areas(b)[None], metric)


def overlapping_pairs(
    boxes: F32, classes: I64, threshold: float, metric: Metric = "iou"
) -> tuple[I64, I64, F64]:
    """Find all pairs of boxes of one class that overlap by more than ``threshold``.

    A sweep along the sparser axis instead of all n² pairs: boxes are sorted by class and by their near
    edge, and each is compared only with those that begin before it can no longer overlap enough.

    Args:
        boxes: (n, 4) xyxy, px, finite.
        classes: (n,) class of each box; boxes of different classes never pair.
        threshold: Least overlap, exclusive, in [0, 1).
        metric: How overlap is measured.

    Returns:
        Indices ``i < j`` of the pairs and their overlaps, in no particular order.
    """
    reach = 1.0 if metric == "ios" or threshold <= 0 else min(1.0, 1 / threshold - 1)
    size = areas(boxes)
    found = [(_NONE, _NONE, np.zeros(0))]
    for i, j, shared in _meetings(boxes, classes, reach):
        value = overlap(shared, size[i], size[j], metric)
        good = value > threshold
        found.append((i[good], j[good], value[good]))
    first, second, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return np.minimum(first, second), np.maximum(first, second), values


def meeting_pairs(boxes: F32, classes: I64) -> tuple[I64, I64]:
    """Find all pairs of boxes of one class that share an area.

    Args:
        boxes: (n, 4) xyxy, px, finite.
        classes: (n,) class of each box.

    Returns:
        Indices ``i < j`` of the pairs, in no particular order.
    """
    found = [(_NONE, _NONE)]
    found += [(i[shared > 0], j[shared > 0]) for i, j, shared in _meetings(boxes, classes, 1.0)]
    first, second = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return np.minimum(first, second), np.maximum(first, second)


def _meetings(boxes: F32, classes: I64, reach: float) -> Iterator[tuple[I64, I64, F64]]:
    """Yield, at least once, pairs of one class that may meet, and their shared areas."""
    exact = boxes.astype(np.float64)
    sweep = _Sweep(exact, classes, 0, reach)
    if sweep.pairs > _FEW * len(boxes):
        sweep = min(sweep, _Sweep(exact, classes, 1, reach), key=lambda s: s.pairs)
    columns = np.ascontiguousarray(exact.T)
    along, across = columns[sweep.axis :: 2], columns[1 - sweep.axis :: 2]
    for i, j in sweep.chunks():
        side = _shared_side(across, i, j)
        meets = (side > 0).nonzero()[0]
        i, j = i[meets], j[meets]
        yield i, j, side[meets] * np.maximum(_shared_side(along, i, j), 0)


def _shared_side(side: F64, i: I64, j: I64) -> F64:
    """Return how long a side the boxes share, px, negative if none; ``side`` (2, n) is its two ends."""
    near, far = side
    shared: F64 = np.minimum(far.take(i), far.take(j)) - np.maximum(near.take(i), near.take(j))
    return shared


class _Sweep:
    """Boxes sorted by class and near edge, and how many successors each has to be compared with."""

    def __init__(self, boxes: F64, classes: I64, axis: int, reach: float) -> None:
        begin, end = boxes[:, axis], boxes[:, axis + 2]
        self.axis = axis
        # Classes are laid side by side on one line, far enough apart that no box reaches the next.
        spread = (np.max(end, initial=0) - np.min(begin, initial=0)) + 1
        line = begin + classes * (2 * spread)
        self.order = np.argsort(line)
        line = line[self.order]
        # For IoU > t the near edges differ by less than (1/t - 1) of the shared side, hence of either.
        length = (end - begin)[self.order] * reach
        limit = np.searchsorted(line, line + np.maximum(length, 0), side="right")
        self.counts = np.maximum(limit - np.arange(1, len(line) + 1), 0)
        self.pairs = int(self.counts.sum())

    def chunks(self) -> Iterator[tuple[I64, I64]]:
        """Yield the pairs to compare, as indices into the boxes."""
        totals = np.cumsum(self.counts)
        begin = 0
        while begin < len(totals):
            done = totals[begin - 1] if begin else 0
            end = max(int(np.searchsorted(totals, done + _PAIRS_AT_ONCE, side="right")), begin + 1)
            counts = self.counts[begin:end]
            first = np.repeat(np.arange(begin, end), counts)
            steps = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
            yield self.order[first], self.order[first + 1 + steps]
            begin = end
