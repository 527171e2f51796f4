"""Do the calibration images show anything? What FP32 finds in them, which is computed anyway, tells.

Ranges of black or noisy pictures fit no real one: engines made from them lose 5 to 9 % of mAP, while the
number and kind of real pictures hardly matters. In real ones FP32 finds something nearly always.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from yolotrt.arrays import F32
from yolotrt.errors import CalibrationError
from yolotrt.geometry.detections import CONFIDENT
from yolotrt.geometry.merge import nms
from yolotrt.model.spec import ModelSpec
from yolotrt.quantization.ranges import CalibrationRanges, Seen

SAME = 0.7
"""Overlap above which two boxes are of one object."""

FEW_IMAGES = 10
MOST = 0.5
MOST_TILES = 0.95
"""Parts of the pictures in which nothing may be found; many tiles of a large image show only sky or road."""


class Witness:
    """Counts the pictures in which a network finds something.

    Args:
        spec: The network's interface.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._pictures, self._found, self._objects = 0, 0, 0

    def look(self, outputs: Mapping[str, F32]) -> None:
        """Take note of one batch.

        Args:
            outputs: The network's outputs by name; of a head of unknown shape nothing is noted.
        """
        pictures = object_scores(outputs.get(self._spec.head_output), self._spec)
        if pictures is not None:
            self._pictures += len(pictures)
            self._found += sum(len(scores) > 0 for scores in pictures)
            self._objects += sum(map(len, pictures))

    def seen(
        self, images: int, blank: int, noise: int = 0, lights: tuple[int, float, float] | None = None
    ) -> Seen:
        """Return what was seen.

        Args:
            images: Number of images read.
            blank: How many of them are of one colour.
            noise: How many of them are nothing but noise.
            lights: Number of images, sum of their brightness and of its squares; None if not measured.

        Raises:
            CalibrationError: All of them are one or the other.
        """
        if images and blank + noise == images:
            what = " or ".join(["of one colour"] * (blank > 0) + ["nothing but noise"] * (noise > 0))
            raise CalibrationError(
                f"Every image ({images} of {images}) is {what}: there are no ranges to be found.",
                hint="Give about 100 pictures like those of your camera, with what the model looks for.",
            )
        if lights is None or not lights[0]:
            return Seen(images, blank, self._pictures, self._found, noise, objects=self._objects)
        count, total, squares = lights
        mean = total / count
        spread = math.sqrt(max(0.0, squares / count - mean**2))
        known = (self._pictures, self._found, noise, round(mean, 4), round(spread, 4), self._objects)
        return Seen(images, blank, *known)


def object_scores(head: F32 | None, spec: ModelSpec, least: float = CONFIDENT) -> list[F32] | None:
    """Return the scores of the objects that each picture shows, a 1-D array for each.

    Args:
        head: The network's head output, of a batch of pictures; None if there is none.
        spec: Its interface. For a head of another shape None is returned.
        least: The least score.
    """
    classes = len(spec.names)
    if head is None or head.ndim != 3:
        return None
    if spec.head == "raw" and head.shape[1] == 4 + classes + spec.mask_coeffs:
        return [_without_doubles(rows[:4], rows[4 : 4 + classes], least) for rows in head]
    if spec.head == "end2end" and head.shape[2] == 6 + spec.mask_coeffs:
        return [rows[rows[:, 4] >= least, 4] for rows in head]
    return None


def _without_doubles(boxes: F32, classes: F32, least: float) -> F32:
    """Return the scores of (4, n) boxes, centre and size, by their (k, n) scores for each class."""
    scores = classes.max(axis=0)
    sure = scores >= least
    centre, size = boxes[:2, sure].T, boxes[2:, sure].T
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    kept: F32 = scores[sure][nms(corners, scores[sure], classes[:, sure].argmax(axis=0), SAME)]
    return kept


def saw(ranges: CalibrationRanges) -> str | None:
    """Return what the images showed, in a sentence; None for caches of earlier versions."""
    seen = ranges.seen
    if seen is None:
        return None
    copies = len(ranges.key.images) - len({digest for _, digest in ranges.key.images})
    parts = [f"{seen.images} image{'s' * (seen.images != 1)}"]
    if copies:
        parts.append(f"{copies} of them copies")
    if seen.pictures:
        objects = "something" if seen.objects is None else f"{seen.objects} objects"
        parts.append(f"FP32 finds {objects} in {seen.found} of {seen.pictures} pictures made of them")
    if seen.brightness is not None:
        spread = "" if seen.spread is None else f" (± {seen.spread:.0%})"
        parts.append(f"brightness {seen.brightness:.0%}{spread}")
    return ", ".join(parts)


CALIBRATED_ON = "calibrated on"
"""How the doubt begins that there were few images."""


def doubts(ranges: CalibrationRanges) -> tuple[str, ...]:
    """Return what makes ranges doubtful, a sentence each; nothing is known of caches of earlier versions."""
    key, seen = ranges.key, ranges.seen
    distinct = len({digest for _, digest in key.images})
    used = distinct if seen is None else min(distinct, seen.images)
    found = []
    if used < FEW_IMAGES:
        same = f" ({len(key.images) - distinct} more are copies)" if distinct < len(key.images) else ""
        found.append(
            f"{CALIBRATED_ON} {used} image{'s' * (used != 1)}{same}: give {FEW_IMAGES} or more, better 100, "
            "like those of your camera"
        )
    if seen is None:
        return tuple(found)
    if seen.blank:
        found.append(f"{seen.blank} of {seen.images} calibration images are of one colour")
    if seen.noise:
        found.append(f"{seen.noise} of {seen.images} calibration images are nothing but noise")
    nothing = seen.pictures - seen.found
    if seen.pictures and nothing > seen.pictures * (MOST_TILES if _of_tiles(ranges) else MOST):
        found.append(
            f"FP32 finds nothing in {nothing} of {seen.pictures} calibration pictures (confidence "
            f"{CONFIDENT}): if they are dark, empty or noise, the ranges fit no real picture"
        )
    return tuple(found)


def _of_tiles(ranges: CalibrationRanges) -> bool:
    return ranges.key.preprocessing.get("tile_overlap") is not None
