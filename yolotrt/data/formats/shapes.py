"""Masks from COCO's ``segmentation``: polygons or run lengths, as pycocotools reads them, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolotrt.arrays import F64
from yolotrt.data.formats.annotated import XYWH
from yolotrt.data.formats.values import as_whole
from yolotrt.geometry.rle import CocoRle, decode_rle

MALFORMED = "a segmentation that is neither polygons nor run lengths"
SHORT = "a polygon of fewer than three points"
ODD = "a polygon with an odd number of coordinates"
NOT_FINITE = "a polygon with NaN or infinite coordinates"
FAR = "a polygon far outside of its image"
OTHER_SIZE = "run lengths of another size than their image"
BROKEN = "run lengths that do not fill their image"


@dataclass(frozen=True)
class Shape:
    """What a segmentation says.

    Attributes:
        mask: The mask; None if there is none or it is unusable.
        extent: The box around it, px; None without a mask or around an empty one.
        problems: What is wrong with it or with parts of it.
    """

    mask: CocoRle | None = None
    extent: XYWH | None = None
    problems: tuple[str, ...] = ()


def read_shape(value: object, image_wh: tuple[int, int]) -> Shape:
    """Read the segmentation of an object.

    Polygons are read as pycocotools does (``frPyObjects``): points are x and y by turns, a last single
    coordinate does not count, parts are united. A part that cannot be measured does not spoil the others.
    Points in pairs and a polygon that is not wrapped in a list are understood, too.

    Args:
        value: The segmentation; None or an empty list if there is none.
        image_wh: Width and height of its image, px.
    """
    if value is None or (isinstance(value, list) and not value):
        return Shape()
    if isinstance(value, list):
        return _polygons(_parts(value), image_wh)
    if isinstance(value, dict):
        return _run_lengths(value, image_wh)
    return Shape(problems=(MALFORMED,))


def polygons_shape(parts: Sequence[object], image_wh: tuple[int, int]) -> Shape:
    """Return the shape of polygons, each of x and y by turns in px; see :func:`read_shape`."""
    return _polygons(parts, image_wh)


def _parts(value: list[Any]) -> Sequence[object]:
    """Return the polygons of a list, whatever the nesting."""
    if all(isinstance(v, int | float) for v in value):
        return [value]
    pairs = len(value) >= 3 and all(isinstance(v, list) and len(v) == 2 for v in value)
    if pairs and all(isinstance(v, int | float) for pair in value for v in pair):
        return [value]
    return value


def _polygons(parts: Sequence[object], image_wh: tuple[int, int]) -> Shape:
    from pycocotools import mask

    good: list[F64] = []
    problems: list[str] = []
    for part in parts:
        points, problem = _points(part, max(image_wh))
        if points is not None:
            good.append(points)
        if problem is not None:
            problems.append(problem)
    found = tuple(dict.fromkeys(problems))
    if not good:
        return Shape(problems=found)
    width, height = image_wh
    merged: CocoRle = mask.merge(mask.frPyObjects(good, height, width))
    every = (good[0] if len(good) == 1 else np.concatenate(good)).reshape(-1, 2)
    (left, top), (right, bottom) = every.min(axis=0).tolist(), every.max(axis=0).tolist()
    wide, high = right - left, bottom - top
    return Shape(merged, (left, top, wide, high) if wide > 0 and high > 0 else None, found)


def _points(part: object, side: int) -> tuple[F64 | None, str | None]:
    """Return the coordinates of a polygon that can be measured, and what is wrong with it."""
    try:
        points = np.array(part, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None, MALFORMED
    if points.ndim == 2 and points.shape[1] == 2:
        points = points.ravel()
    if points.ndim != 1:
        return None, MALFORMED
    problem = None
    if len(points) % 2:
        points, problem = points[:-1], ODD
    if len(points) < 6:
        return None, SHORT
    if not np.isfinite(points).all():
        return None, NOT_FINITE
    # pycocotools walks along the edges, however long they are.
    if points.min() < -side or points.max() > 2 * side:
        return None, FAR
    return points, problem


def _run_lengths(value: dict[str, Any], image_wh: tuple[int, int]) -> Shape:
    from pycocotools import mask

    width, height = image_wh
    size = value.get("size")
    if not isinstance(size, list) or [as_whole(v) for v in size] != [height, width]:
        return Shape(problems=(OTHER_SIZE,))
    encoded = _encoded(value.get("counts"), image_wh)
    if encoded is None:
        return Shape(problems=(BROKEN,))
    x, y, wide, high = (float(v) for v in mask.toBbox(encoded))
    return Shape(encoded, (x, y, wide, high) if wide > 0 and high > 0 else None)


def _encoded(counts: object, image_wh: tuple[int, int]) -> CocoRle | None:
    from pycocotools import mask

    width, height = image_wh
    if isinstance(counts, str):
        try:
            encoded: CocoRle = {"size": [height, width], "counts": counts.encode("ascii")}
            decode_rle(encoded)
        except ValueError:
            return None
        return encoded
    if not isinstance(counts, list):
        return None
    lengths = [as_whole(count) for count in counts]
    if any(n is None or n < 0 for n in lengths) or sum(n or 0 for n in lengths) != width * height:
        return None
    plain: CocoRle = mask.frPyObjects({"size": [height, width], "counts": lengths}, height, width)
    return plain
