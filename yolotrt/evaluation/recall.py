"""Recall of small objects, at the confidence at which detections are used: what tiles are there for.

COCO's precision of small objects is taken over all confidences, and its "small" knows nothing of a frame that
is letterboxed. Here an object is small up to :data:`SMALL_PX`, and counts as found or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import I64, Bits
from yolotrt.evaluation.classes import map_classes
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import CONFIDENT, Detections
from yolotrt.geometry.merge import sort

SMALL_PX = 96
"""Longest side of an object that counts as small: 16 px or less in a letterboxed 4K frame."""

FOUND_IOU = 0.5
"""Overlap of boxes from which a detection finds an object of its class."""


def are_small(boxes: npt.NDArray[np.floating]) -> Bits:
    """Return for each of (n, 4) xyxy boxes, px, whether its longer side is at most :data:`SMALL_PX`."""
    small: Bits = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) <= SMALL_PX
    return small


def are_found(boxes: npt.NDArray[np.floating], classes: I64, found: Detections) -> Bits:
    """Return which objects a detection finds.

    Args:
        boxes: (n, 4) xyxy of the objects, px.
        classes: (n,) their classes.
        found: Detections of the same frame and with the same classes. Of several with one box, as an
            evaluation of mAP decodes them, the best counts.
    """
    sure = sort(found.take(found.scores >= CONFIDENT))
    sure = sure.take(np.unique(sure.boxes, axis=0, return_index=True)[1])
    hits = box_overlap(boxes.astype(np.float32), sure.boxes) >= FOUND_IOU
    result: Bits = (hits & (classes[:, None] == sure.classes[None])).any(axis=1)
    return result


class SmallRecall:
    """Counts the small objects of one image after the other.

    Crowds and objects of classes that the model does not know do not count.

    Args:
        truth: The annotated images.
        names: Class names of the model, by index.
    """

    def __init__(self, truth: GroundTruth, names: Sequence[str]) -> None:
        self._truth = truth
        self._classes = map_classes(truth.categories, names)
        self._found = self._objects = 0

    def add(self, image_id: int, found: Detections) -> None:
        """Count what was found in an image, in px of that image."""
        objects = self._truth.objects[image_id]
        corners = np.concatenate([objects.boxes[:, :2], objects.boxes[:, :2] + objects.boxes[:, 2:]], axis=1)
        known = self._classes.category
        own = self._classes.joined(objects.categories)
        counts = are_small(corners) & ~objects.crowd & np.isin(own, known)
        categories = Detections(found.boxes, found.scores, known[found.classes])
        self._found += int(are_found(corners[counts], own[counts], categories).sum())
        self._objects += int(counts.sum())

    def part(self) -> tuple[int, int]:
        """Return how many small objects were found, and how many there are, in the images that were added."""
        return self._found, self._objects

    def absorb(self, part: tuple[int, int]) -> None:
        """Count images that were looked at elsewhere."""
        self._found += part[0]
        self._objects += part[1]

    def result(self) -> float | None:
        """Return the part that was found, in [0, 1]; None if there is no small object."""
        return self._found / self._objects if self._objects else None
