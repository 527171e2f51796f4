"""Match the detections of one image to its annotated objects, by COCO's rules.

The rules are those of pycocotools' ``COCOeval.evaluateImg``: within a class, detections are taken from the
best score down; each gets the unmatched object it overlaps most, if by at least the threshold. An object
that is a crowd or outside the area range is matched only when no other fits; neither it nor what matches
it counts. An unmatched detection outside the area range does not count either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F64, I64, Bits

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Overlaps from which a detection counts as right; the mean over them is "50-95"."""

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Area ranges by name, px, both ends inclusive. Boxes are judged by box area, masks by mask area; an
annotation by its annotated mask area in both cases."""

MAX_DETECTIONS = 100
"""Detections of one class in one image that are considered, the best first."""

_LIMITS = np.array(list(AREAS.values()))


@dataclass(frozen=True)
class ImageMatches:
    """How the detections of one image fared.

    Attributes:
        categories: (d,) COCO category id of each detection.
        scores: (d,) their scores; within a category from high to low.
        matched: (areas, thresholds, d) whether it matched an object.
        ignored: (areas, thresholds, d) whether it does not count.
        truth_categories: (g,) category id of each annotated object.
        truth_ignored: (areas, g) whether the object does not count.
    """

    categories: I64
    scores: F64
    matched: Bits
    ignored: Bits
    truth_categories: I64
    truth_ignored: Bits


def rank(categories: I64, scores: npt.NDArray[np.floating]) -> I64:
    """Return the detections that are considered, by category and from the best score down."""
    order = np.lexsort((-scores, categories))
    grouped = categories[order]
    place = np.arange(len(order)) - np.searchsorted(grouped, grouped, side="left")
    result: I64 = order[place < MAX_DETECTIONS].astype(np.int64, copy=False)
    return result


def match(
    categories: I64,
    scores: F64,
    areas: F64,
    overlaps: dict[int, F64],
    truth_categories: I64,
    truth_areas: F64,
    crowd: Bits,
) -> ImageMatches:
    """Match the detections of one image.

    Args:
        categories: (d,) category ids of detections in the order of :func:`rank`.
        scores: (d,) their scores.
        areas: (d,) their areas, px.
        overlaps: For each category in both, the (detections, objects) overlaps, where a crowd's is the
            part of the detection inside it.
        truth_categories: (g,) category ids of the annotated objects.
        truth_areas: (g,) their areas, px.
        crowd: (g,) whether each is a crowd.
    """
    low, high = _LIMITS[:, :1], _LIMITS[:, 1:]
    truth_ignored = crowd | (truth_areas < low) | (truth_areas > high)
    shape = (len(AREAS), len(IOU_THRESHOLDS), len(categories))
    matched, ignored = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for category, values in overlaps.items():
        mine, objects = np.flatnonzero(categories == category), np.flatnonzero(truth_categories == category)
        hits, unimportant = _match_category(values, truth_ignored[:, objects], crowd[objects])
        matched[:, :, mine], ignored[:, :, mine] = hits, unimportant
    outside = (areas < low) | (areas > high)
    ignored |= ~matched & outside[:, None]
    return ImageMatches(categories, scores, matched, ignored, truth_categories, truth_ignored)


def _match_category(overlaps: F64, unimportant: Bits, crowd: Bits) -> tuple[Bits, Bits]:
    """Match (d, g) overlaps for all areas and thresholds at once; return matched and ignored (a, t, d)."""
    least = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[None, :, None]
    shape = (len(AREAS), len(IOU_THRESHOLDS))
    matched = np.zeros((*shape, len(overlaps)), np.bool_)
    ignored = np.zeros_like(matched)
    taken = np.zeros((*shape, overlaps.shape[1]), np.bool_)
    for d in np.flatnonzero(overlaps.max(axis=1, initial=0) >= IOU_THRESHOLDS[0]):
        fits = (overlaps[d] >= least) & (~taken | crowd)
        counts = fits & ~unimportant[:, None]
        any_counts = counts.any(axis=2, keepdims=True)
        eligible = np.where(any_counts, counts, fits)
        hit = eligible.any(axis=2)
        # Of equally good objects the last one wins, as in COCOeval.
        best = overlaps.shape[1] - 1 - np.argmax(np.where(eligible, overlaps[d], -1)[:, :, ::-1], axis=2)
        matched[:, :, d] = hit
        ignored[:, :, d] = hit & ~any_counts[:, :, 0]
        area, threshold = np.nonzero(hit)
        taken[area, threshold, best[hit]] = True
    return matched, ignored
