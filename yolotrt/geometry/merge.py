"""Keep one detection per object: non-maximum suppression and greedy merging.

Both walk the detections from best to worst. The best one left owns every later one of its class that
overlaps it enough; suppression drops what is owned, merging joins it to its owner.

Results do not depend on the order of the input: equal scores are told apart by class and box.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from yolotrt.geometry.boxes import F64, Metric, overlap, overlapping_pairs
from yolotrt.geometry.detections import F32, I64, Detections, Mask
from yolotrt.geometry.masks import join_masks, shared_pixels

Shape = Literal["boxes", "masks"]
"""What is compared: the boxes, or the masks (pixel by pixel, for detections that have them)."""

_AT_ONCE = 512
"""Boxes suppressed together. Bounds the pairs that a broken engine with thousands of equal boxes can
make, and lets suppression stop once it has kept enough."""


def best_first(boxes: F32, scores: F32, classes: I64) -> I64:
    """Return the order from highest score to lowest; ties by class, then by box."""
    order: I64 = np.argsort(-scores, kind="stable").astype(np.int64, copy=False)
    equal = scores[order[1:]] == scores[order[:-1]]
    if equal.any():  # only ties are worth a slow sort by everything
        tied = np.append(equal, False) | np.append(False, equal)
        ties = order[tied]
        order[tied] = ties[np.lexsort((*boxes[ties].T[::-1], classes[ties], -scores[ties]))]
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


def owners(
    found: Detections,
    threshold: float,
    *,
    metric: Metric = "ios",
    shape: Shape = "boxes",
    source: I64 | None = None,
) -> I64:
    """Find, for each detection, the better one that it is a duplicate or a fragment of.

    Args:
        found: Detections of one frame.
        threshold: Overlap above which a better detection of the same class owns a worse one.
        metric: How overlap is measured.
        shape: What is compared; detections without masks are compared by their boxes.
        source: (n,) where each comes from. Detections of one source are different objects already and
            never own each other.

    Returns:
        (n,) index of the owner; a detection that is kept owns itself, and an owner is always kept.
    """
    order = best_first(found.boxes, found.scores, found.classes)
    ranked = found.take(order)
    masks = ranked.masks if shape == "masks" else None
    least = threshold if masks is None else 0
    better, worse, _ = overlapping_pairs(ranked.boxes, ranked.classes, least, metric)
    if source is not None:
        matches = source[order[better]] != source[order[worse]]
        better, worse = better[matches], worse[matches]
    if masks is not None:
        matches = mask_overlaps(masks, better, worse, metric) > threshold
        better, worse = better[matches], worse[matches]
    result = np.empty_like(order)
    result[order] = order[_own(len(order), better, worse)]
    return result


def suppress(
    found: Detections, threshold: float, *, metric: Metric = "iou", shape: Shape = "boxes"
) -> Detections:
    """Drop every detection that a better one owns; see :func:`owners`. Returns the rest, best first."""
    owner = owners(found, threshold, metric=metric, shape=shape)
    return sort(found.take(owner == np.arange(len(found))))


def merge(
    found: Detections, threshold: float, *, metric: Metric = "ios", shape: Shape = "boxes"
) -> Detections:
    """Join every detection to the better one that owns it; see :func:`owners`. Returns them best first."""
    return sort(join(found, owners(found, threshold, metric=metric, shape=shape)))


def join(found: Detections, owner: I64) -> Detections:
    """Join detections to their owners.

    Args:
        found: Detections of one frame.
        owner: (n,) index of each one's owner; owners own themselves.

    Returns:
        The owners, in the order of ``found``, with their own score and class, the box around all they
        own, and the union of the masks.
    """
    boxes = found.boxes.copy()
    np.minimum.at(boxes[:, :2], owner, found.boxes[:, :2])
    np.maximum.at(boxes[:, 2:], owner, found.boxes[:, 2:])
    masks = None if found.masks is None else list(found.masks)
    if masks is not None and found.masks is not None:
        by_owner = np.argsort(owner, kind="stable")
        leaders, starts, counts = np.unique(owner[by_owner], return_index=True, return_counts=True)
        for leader, start, count in zip(leaders.tolist(), starts.tolist(), counts.tolist(), strict=True):
            if count > 1:
                masks[leader] = join_masks([found.masks[i] for i in by_owner[start : start + count]])
    kept = owner == np.arange(len(found))
    joined = Detections(boxes, found.scores, found.classes, None if masks is None else tuple(masks))
    return joined.take(kept)


def sort(found: Detections) -> Detections:
    """Return the detections best first."""
    return found.take(best_first(found.boxes, found.scores, found.classes))


def mask_overlaps(masks: tuple[Mask, ...], first: I64, second: I64, metric: Metric) -> F64:
    """Return the overlaps of the pairs ``masks[first[k]], masks[second[k]]``, counted in pixels."""
    used = np.unique(np.concatenate([first, second]))
    size = np.zeros(len(masks))
    size[used] = [masks[i].area for i in used]
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    shared = np.array([shared_pixels(masks[i], masks[j]) for i, j in pairs], np.float64)
    return overlap(shared, size[first], size[second], metric)


def _own(n: int, better: I64, worse: I64) -> I64:
    """Return who owns each of ``n`` detections, given as ranks, when the pairs ``better < worse`` match."""
    owner = np.arange(n)
    if not len(better):
        return owner
    by_better = np.argsort(better, kind="stable")
    worse = worse[by_better]
    leaders, starts = np.unique(better[by_better], return_index=True)
    bounds = [*starts.tolist(), len(worse)]
    free = np.ones(n, np.bool_)
    for k, leader in enumerate(leaders.tolist()):
        if free[leader]:
            matches = worse[bounds[k] : bounds[k + 1]]
            mine = matches[free[matches]]
            owner[mine] = leader
            free[mine] = False
    return owner
