"""Polygons in a picture, from JSON: our own plain form, LabelMe's or COCO's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from yolotrt.arrays import F64
from yolotrt.data.formats.coco import parse_json
from yolotrt.errors import ArtifactError
from yolotrt.geometry.regions import Regions

_HINT = (
    "Like this: [[[100, 200], [900, 200], [900, 700]]], one list of corners x, y for each polygon, px; "
    'or {"size": [3840, 2160], "polygons": [...]}; or a file of LabelMe, or of COCO with one picture.'
)

MOST_CORNERS = 10_000
"""Corners that all polygons together may have."""


def read_regions(path: Path) -> Regions:
    """Read the polygons of a file.

    Args:
        path: A list of polygons, each a list of corners x, y in px; an object with such ``polygons`` and
            perhaps a ``size`` (width and height, px); LabelMe's JSON (polygons and rectangles); or COCO's
            with polygons of one picture.

    Raises:
        InputError: It cannot be read.
        ArtifactError: It is none of these, or holds no polygon.
    """
    found = parse_json(path)
    try:
        size, parts = _parts(found)
        polygons = tuple(_polygon(part) for part in parts)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as exc:
        raise ArtifactError(f"{path} holds no polygons as expected ({exc}).", hint=_HINT) from exc
    if not polygons or sum(map(len, polygons)) > MOST_CORNERS:
        raise ArtifactError(
            f"{path} holds {len(polygons)} polygons with {sum(map(len, polygons))} corners; from 3 to "
            f"{MOST_CORNERS} are good.",
            hint=_HINT,
        )
    return Regions(polygons, size, path.name)


def _parts(found: Any) -> tuple[tuple[int, int] | None, list[Any]]:
    """Return the picture's size and the polygons."""
    if isinstance(found, list):
        return None, found
    if not isinstance(found, dict):
        raise ValueError("neither a list nor an object")
    if "polygons" in found:
        return _size(*found["size"]) if "size" in found else None, found["polygons"]
    if "shapes" in found:
        width, height = found.get("imageWidth"), found.get("imageHeight")
        size = _size(width, height) if width and height else None
        return size, [_labelme(shape) for shape in found["shapes"]]
    (image,) = _one(found["images"])
    parts = [part for one in found["annotations"] for part in one["segmentation"]]
    return _size(image["width"], image["height"]), parts


def _one(images: list[Any]) -> list[Any]:
    if len(images) != 1:
        raise ValueError(f"{len(images)} pictures instead of one")
    return images


def _labelme(shape: dict[str, Any]) -> Any:
    points = shape["points"]
    if shape.get("shape_type", "polygon") == "rectangle":
        (x0, y0), (x1, y1) = points
        return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    return points


def _size(width: Any, height: Any) -> tuple[int, int]:
    if not (int(width) > 0 and int(height) > 0):
        raise ValueError(f"a picture of {width}x{height} px")
    return int(width), int(height)


def _polygon(part: Any) -> F64:
    """Return corners given as pairs, or as x and y by turns."""
    corners = np.array(part, np.float64)
    if corners.ndim == 1:
        corners = corners.reshape(-1, 2)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("a polygon needs three corners x, y")
    return corners
