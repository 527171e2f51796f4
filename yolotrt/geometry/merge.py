"""Keep one detection per object: non-maximum suppression and greedy merging.

Both walk the detections from best to worst. The best one left owns every later one of its class that
overlaps it enough; suppression drops what is owned, merging joins it to its owner.

Results do not depend on the order of the input: equal scores are told apart by class and box.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from yolotrt.arrays import F32, F64, I64, Bits
from yolotrt.geometry.boxes import Metric, areas, intersection_areas, overlap, overlapping_pairs
from yolotrt.geometry.detections import Detections, Masks
from yolotrt.geometry.mask import join_masks
from yolotrt.geometry.packed import PackedMasks, mask_areas, shared_areas

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
        owner = _owned(len(chunk), first, second)
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
    order, ranked = _ranked(found)
    result = np.empty_like(order)
    result[order] = order[_own(ranked, threshold, metric, shape, None if source is None else source[order])]
    return result


def suppress(
    found: Detections,
    threshold: float,
    *,
    metric: Metric = "iou",
    shape: Shape = "boxes",
    source: I64 | None = None,
) -> Detections:
    """Drop every detection that a better one owns; see :func:`owners`. Returns the rest, best first."""
    order, ranked = _ranked(found)
    owner = _own(ranked, threshold, metric, shape, None if source is None else source[order])
    return ranked.take(owner == np.arange(len(order)))


def merge(
    found: Detections, threshold: float, *, metric: Metric = "ios", shape: Shape = "boxes"
) -> Detections:
    """Join every detection to the better one that owns it; see :func:`owners`. Returns them best first.

    An owner compared by its box grows with each that it takes, from the best down. One that it owns and has
    outgrown, so that they no longer overlap enough, is dropped: it would stretch the box over two objects.
    """
    owner = owners(found, threshold, metric=metric, shape=shape)
    if shape == "boxes" or found.masks is None:
        left = ~_outgrown(found, owner, threshold, metric)
        found, owner = found.take(left), (np.cumsum(left) - 1)[owner[left]]
    return sort(join(found, owner))


def _outgrown(found: Detections, owner: I64, threshold: float, metric: Metric) -> Bits:
    """Return which owned detections (n,) their owner does not take, since it has grown away from them."""
    order = best_first(found.boxes, found.scores, found.classes)
    order = order[np.argsort(owner[order], kind="stable")]  # by owner, then from the best down
    part = order[owner[order] != order]
    whole = owner[part]
    turn = np.arange(len(part)) - np.searchsorted(whole, whole, side="left")
    boxes = found.boxes.copy()
    outgrown = np.zeros(len(found), np.bool_)
    for now in range(turn.max(initial=-1) + 1):  # every owner looks at its next one at once
        p, w = part[turn == now], whole[turn == now]
        shared = intersection_areas(boxes[p], boxes[w])
        takes = overlap(shared, areas(boxes[p]), areas(boxes[w]), metric) > threshold
        outgrown[p[~takes]] = True
        p, w = p[takes], w[takes]
        boxes[w, :2] = np.minimum(boxes[w, :2], boxes[p, :2])
        boxes[w, 2:] = np.maximum(boxes[w, 2:], boxes[p, 2:])
    return outgrown


def join(found: Detections, owner: I64) -> Detections:
    """Join detections to their owners.

    Args:
        found: Detections of one frame.
        owner: (n,) index of each one's owner; owners own themselves.

    Returns:
        The owners, in the order of ``found``, with their own score and class, the box around all they
        own, and the union of the masks.
    """
    own = owner == np.arange(len(owner))
    others = np.flatnonzero(~own)
    boxes = found.boxes.copy()
    np.minimum.at(boxes[:, :2], owner[others], found.boxes[others, :2])
    np.maximum.at(boxes[:, 2:], owner[others], found.boxes[others, 2:])
    masks = None if found.masks is None else _joined(found.masks, others, owner[others])
    return Detections(boxes, found.scores, found.classes, masks).take(own)


def _joined(masks: Masks, others: I64, leaders: I64) -> Masks:
    """Return the masks, each leader's replaced by the union with all others that it leads."""
    groups: dict[int, list[int]] = {}
    for other, leader in zip(others.tolist(), leaders.tolist(), strict=True):
        groups.setdefault(leader, [leader]).append(other)
    groups = {leader: sorted(group) for leader, group in groups.items()}
    if isinstance(masks, PackedMasks):
        return masks.joined(groups)
    result = list(masks)
    for leader, group in groups.items():
        result[leader] = join_masks([masks[i] for i in group])
    return tuple(result)


def sort(found: Detections) -> Detections:
    """Return the detections best first."""
    return found.take(best_first(found.boxes, found.scores, found.classes))


def mask_overlaps(masks: Masks, first: I64, second: I64, metric: Metric) -> F64:
    """Return the overlaps of the pairs ``masks[first[k]], masks[second[k]]``, counted in pixels."""
    used = np.unique(np.concatenate([first, second]))
    size = np.zeros(len(masks))
    size[used] = mask_areas(masks, used)
    shared = shared_areas(masks, first, second).astype(np.float64)
    return overlap(shared, size[first], size[second], metric)


def _ranked(found: Detections) -> tuple[I64, Detections]:
    """Return the order from best to worst, and the detections in it."""
    order = best_first(found.boxes, found.scores, found.classes)
    return order, found.take(order)


def _own(ranked: Detections, threshold: float, metric: Metric, shape: Shape, source: I64 | None) -> I64:
    """Return who owns each of the detections, which come best first; see :func:`owners`."""
    masks = ranked.masks if shape == "masks" else None
    least = threshold if masks is None else 0
    better, worse, _ = overlapping_pairs(ranked.boxes, ranked.classes, least, metric)
    if source is not None:
        matches = source[better] != source[worse]
        better, worse = better[matches], worse[matches]
    if masks is not None:
        matches = mask_overlaps(masks, better, worse, metric) > threshold
        better, worse = better[matches], worse[matches]
    return _owned(len(ranked), better, worse)


def _owned(n: int, better: I64, worse: I64) -> I64:
    """Return who owns each of ``n`` detections, given as ranks, when the pairs ``better < worse`` match."""
    by_better = np.argsort(better, kind="stable")
    better, worse = better[by_better], worse[by_better]
    begins = np.flatnonzero(np.diff(better, prepend=-1))
    bounds = [*begins.tolist(), len(worse)]
    others, owner = worse.tolist(), list(range(n))
    for leader, begin, end in zip(better[begins].tolist(), bounds, bounds[1:], strict=False):
        if owner[leader] == leader:
            for other in others[begin:end]:
                if owner[other] == other:
                    owner[other] = leader
    return np.array(owner, np.int64)
