"""How well an engine agrees with another on the same images, where nothing is annotated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F64, I64
from yolotrt.errors import InputError
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.merge import mask_overlaps

MATCH_IOU = 0.5
"""Box overlap from which two detections of one class are taken for the same object."""


@dataclass(frozen=True)
class Agreement:
    """Detections of one engine held against a reference's on the same images.

    Attributes:
        images: Number of images.
        reference: Detections of the reference.
        detections: Detections of the engine.
        matched: Objects that both found.
        found: Part of the reference's detections that the engine found, in [0, 1].
        confirmed: Part of the engine's detections that the reference has too, in [0, 1].
        box_iou: Mean overlap of the matched boxes; None if nothing matched.
        mask_iou: Mean overlap of the matched masks; None if nothing matched or there are no masks.
        score_drift: Mean score of the matched detections less the reference's; None if nothing matched.
        score_slope: By how much that mean would rise if all logits rose by a little, per unit; None likewise.
    """

    images: int
    reference: int
    detections: int
    matched: int
    found: float
    confirmed: float
    box_iou: float | None
    mask_iou: float | None
    score_drift: float | None
    score_slope: float | None = None


def agreement(pairs: Iterable[tuple[Detections, Detections]]) -> Agreement:
    """Compare detections image by image.

    Args:
        pairs: The reference's and the engine's detections of each image, in the same frame and with the
            same classes, above a confidence at which detections would be used (such as 0.25).

    Raises:
        InputError: There are no images, or the reference found nothing in them.
    """
    images = reference = detections = 0
    boxes: list[F64] = []
    masks: list[F64] = []
    drifts: list[F64] = []
    slopes: list[F64] = []
    for expected, found in pairs:
        images, reference, detections = images + 1, reference + len(expected), detections + len(found)
        first, second, overlaps = _match(expected, found)
        boxes.append(overlaps)
        scores = found.scores[second].astype(np.float64)
        drifts.append(scores - expected.scores[first])
        slopes.append(scores * (1 - scores))
        if expected.masks is not None and found.masks is not None:
            both = (*expected.masks, *found.masks)
            masks.append(mask_overlaps(both, first, second + len(expected), "iou"))
    if not reference:
        raise InputError(
            f"The reference detects nothing in {images} images: there is nothing to agree on.",
            hint="Give images of what the model was trained on.",
        )
    matched = sum(map(len, boxes))
    return Agreement(
        images=images,
        reference=reference,
        detections=detections,
        matched=matched,
        found=matched / reference,
        confirmed=matched / detections if detections else 0.0,
        box_iou=_mean(boxes),
        mask_iou=_mean(masks),
        score_drift=_mean(drifts),
        score_slope=_mean(slopes),
    )


def best_of(found: Sequence[Detections], count: int) -> list[Detections]:
    """Return the ``count`` detections with the best scores of all images together, image by image.

    Two engines are compared by what they find best, as many of each: one that scores everything a little
    higher finds more above a threshold, and is none the worse for it.

    Args:
        found: Detections of each image.
        count: How many to keep; all, if there are no more.
    """
    scores = np.concatenate([each.scores for each in found]) if found else np.zeros(0, np.float32)
    image = np.repeat(np.arange(len(found)), [len(each) for each in found])
    place = np.concatenate([np.arange(len(each)) for each in found]) if found else image
    kept = np.argsort(-scores, kind="stable")[:count]
    return [each.take(np.sort(place[kept[image[kept] == i]])) for i, each in enumerate(found)]


def _match(expected: Detections, found: Detections) -> tuple[I64, I64, F64]:
    """Match one to one within classes, the best overlaps first; return both indices and the overlaps."""
    overlaps = box_overlap(expected.boxes, found.boxes)
    overlaps[expected.classes[:, None] != found.classes[None]] = 0
    first, second = np.nonzero(overlaps >= MATCH_IOU)
    order = np.argsort(-overlaps[first, second], kind="stable")
    free_first, free_second = np.ones(len(expected), np.bool_), np.ones(len(found), np.bool_)
    chosen = []
    for k in order.tolist():
        if free_first[first[k]] and free_second[second[k]]:
            free_first[first[k]] = free_second[second[k]] = False
            chosen.append(k)
    pairs = np.array(chosen, np.int64)
    return first[pairs], second[pairs], overlaps[first[pairs], second[pairs]]


def _mean(parts: list[F64]) -> float | None:
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(values.mean()) if len(values) else None
