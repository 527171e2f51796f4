"""Keep one detection per object: non-maximum suppression and greedy merging.

Both walk the detections from best to worst. The best one left owns every later one of its class that
overlaps it enough; suppression drops what is owned, merging joins it to its owner.

Results do not depend on the order of the input: equal scores are told apart by class and box.
"""

from __future__ import annotations

import numpy as np

from yolotrt.geometry.boxes import Metric, overlapping_pairs
from yolotrt.geometry.detections import F32, I64

_AT_ONCE = 512
"""Detections examined together. Bounds the pairs that a broken engine with thousands of equal boxes can
make, and lets suppression stop once it has kept enough."""


def best_first(boxes: F32, scores: F32, classes: I64) -> I64:
    """Return the order from highest score to lowest; ties by class, then by box."""
    order: I64 = np.lexsort((*boxes.T[::-1], classes, -scores)).astype(np.int64, copy=False)
    return order


def nms(
    boxes: F32,
    scores: F32,
    classes: I64,
    threshold: float,
    *,
    metric: Metric = "iou",
    limit: int | None = None,
) -> I64:
    """Suppress, within each class, boxes that overlap a better one by more than ``threshold``.

    Args:
        boxes: (n, 4) xyxy, px, finite.
        scores: (n,).
        classes: (n,); give equal classes for suppression across classes.
        threshold: Overlap above which the worse box is dropped.
        metric: How overlap is measured.
        limit: Stop after this many kept boxes.

    Returns:
        Indices of the kept boxes, best first.
    """
    order = best_first(boxes, scores, classes)
    kept: I64 = order[:0]
    for begin in range(0, len(order), _AT_ONCE):
        # Those kept so far are mutually compatible and come first, so they stay kept.
        chunk = np.concatenate([kept, order[begin : begin + _AT_ONCE]])
        first, second, _ = overlapping_pairs(boxes[chunk], classes[chunk], threshold, metric)
        owner = _own(len(chunk), first, second)
        kept = chunk[owner == np.arange(len(chunk))]
        if limit is not None and len(kept) >= limit:
            return kept[:limit]
    return kept


def _own(n: int, better: I64, worse: I64) -> I64:
    """Return who owns each of ``n`` detections, given as ranks, when the pairs ``better < worse`` match."""
    owner = np.arange(n)
    by_better = np.argsort(better, kind="stable")
    worse = worse[by_better]
    leaders, starts = np.unique(better[by_better], return_index=True)
    stops = [*starts[1:].tolist(), len(worse)]
    free = np.ones(n, np.bool_)
    for leader, start, stop in zip(leaders.tolist(), starts.tolist(), stops, strict=True):
        if free[leader]:
            matches = worse[start:stop]
            mine = matches[free[matches]]
            owner[mine] = leader
            free[mine] = False
    return owner
