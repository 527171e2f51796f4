"""Overlaps between detections and annotated objects, by pycocotools' measure, and the matches they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from yolotrt.arrays import F64, I64, Bits
from yolotrt.evaluation.groundtruth import Objects
from yolotrt.evaluation.matching import IOU_THRESHOLDS, ImageMatches, match
from yolotrt.geometry.boxes import intersection_areas
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.mask import shared_pixels
from yolotrt.geometry.rle import decode_rle


def match_boxes(found: Detections, categories: I64, objects: Objects) -> ImageMatches:
    """Match by boxes.

    Args:
        found: Detections of one image in the order of :func:`yolotrt.evaluation.matching.rank`.
        categories: (d,) their COCO category ids.
        objects: The annotated objects of that image.
    """
    boxes = found.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]  # COCO's boxes are x, y, width, height
    overlaps = {
        key: _box_iou(boxes[d], objects.boxes[g], objects.crowd[g])
        for key, d, g in _shared(categories, objects)
    }
    return _match(found, categories, boxes[:, 2] * boxes[:, 3], overlaps, objects)


def match_masks(found: Detections, categories: I64, objects: Objects) -> ImageMatches:
    """Match by masks; arguments as for :func:`match_boxes`, with masks inside the image.

    An object without a mask is neither missed nor found: detections in its box do not count.
    """
    masks = found.masks or ()
    crowd = objects.crowd | ~objects.has_mask
    areas = np.array([mask.area for mask in masks], np.float64)
    overlaps = {
        key: _mask_iou([masks[i] for i in d], areas[d], [decode_rle(objects.masks[i]) for i in g], crowd[g])
        for key, d, g in _shared(categories, objects)
    }
    return _match(found, categories, areas, overlaps, replace(objects, crowd=crowd))


def _mask_iou(found: Sequence[Mask], areas: F64, objects: Sequence[Mask], crowd: Bits) -> F64:
    """Return the (d, g) overlaps; those that cannot reach the least threshold are left 0, unseen."""
    sizes = np.array([o.area for o in objects], np.float64)
    room = intersection_areas(_extents(found)[:, None], _extents(objects)[None])
    most = np.minimum(np.minimum(room, areas[:, None]), sizes)
    least_whole = np.where(crowd, areas[:, None], np.maximum(areas[:, None], sizes))
    overlaps = np.zeros(most.shape)
    for d, g in np.argwhere((most > 0) & (most >= IOU_THRESHOLDS[0] * least_whole)).tolist():
        shared = shared_pixels(found[d], objects[g])
        overlaps[d, g] = shared / (areas[d] if crowd[g] else areas[d] + sizes[g] - shared)
    return overlaps


def _extents(masks: Sequence[Mask]) -> F64:
    """Return the (n, 4) xyxy rectangles that the masks' arrays cover."""
    corners = [(m.x, m.y, m.x + m.bits.shape[1], m.y + m.bits.shape[0]) for m in masks]
    return np.array(corners, np.float64).reshape(-1, 4)


def _shared(categories: I64, objects: Objects) -> Iterator[tuple[int, I64, I64]]:
    """Yield each category in both, and the indices of its detections and objects."""
    for key in np.intersect1d(categories, objects.categories).tolist():
        yield key, np.flatnonzero(categories == key), np.flatnonzero(objects.categories == key)


def _match(
    found: Detections, categories: I64, areas: F64, overlaps: dict[int, F64], objects: Objects
) -> ImageMatches:
    scores = found.scores.astype(np.float64)
    return match(categories, scores, areas, overlaps, objects.categories, objects.areas, objects.crowd)


def _box_iou(found: F64, objects: F64, crowd: Bits) -> F64:
    """Return the (detections, objects) overlaps; a crowd's is the part of the detection inside it."""
    from pycocotools import mask

    overlaps: F64 = mask.iou(found, objects, crowd.astype(np.uint8))
    return overlaps
