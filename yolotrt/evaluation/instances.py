"""Reading COCO instances files, with suspicion: what was annotated in which image.

Format: https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from yolotrt.artifacts.documents import read_json
from yolotrt.errors import ArtifactError

Record = Mapping[str, Any]

MAX_SIDE = 20_000
"""Masks are as large as their image; nothing larger than this is one."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of the file.

    Attributes:
        id: Its id.
        name: Its file, relative to the image folder.
        size_wh: Width and height, px.
    """

    id: int
    name: str
    size_wh: tuple[int, int]


@dataclass(frozen=True)
class Instances:
    """A checked COCO instances file.

    Attributes:
        images: All images, by ascending id.
        categories: Class names by category id, by ascending id.
        annotations: The annotations of each image, by image id; every one has an ``id``, a known
            ``category_id``, a ``bbox`` of four finite numbers, a finite ``area``, and ``iscrowd`` 0 or 1 or
            none. Their ``segmentation`` is not checked.
    """

    images: tuple[AnnotatedImage, ...]
    categories: dict[int, str]
    annotations: dict[int, list[Record]]


def read_instances(path: Path) -> Instances:
    """Read and check a COCO instances file.

    Raises:
        InputError: It cannot be read.
        ArtifactError: It is not JSON, not COCO instances, or contradicts itself.
    """
    document = read_json(path)
    try:
        if not isinstance(document, dict):
            raise _Unfit("it is not a JSON object")
        images = sorted(map(_image, _records(document, "images")), key=lambda image: image.id)
        categories = dict(sorted(map(_category, _records(document, "categories"))))
        annotations: dict[int, list[Record]] = {image.id: [] for image in images}
        if len(annotations) != len(images):
            raise _Unfit("an image is there twice")
        for record in _records(document, "annotations"):
            annotations[_checked(record, annotations, categories)].append(record)
    except _Unfit as exc:
        raise ArtifactError(
            f"{path} is not a COCO instances file: {exc}.",
            hint="It should be like instances_val2017.json, with images, annotations and categories.",
        ) from exc
    return Instances(tuple(images), categories, annotations)


class _Unfit(Exception):
    """Why a document is not what it should be; the end of a sentence."""


def _records(document: Record, key: str) -> list[Record]:
    records = document.get(key)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise _Unfit(f"it has no list of {key}")
    return records


def _image(record: Record) -> AnnotatedImage:
    key, name = _whole(record, "id", "an image"), record.get("file_name")
    width, height = (_whole(record, side, f"image {key}") for side in ("width", "height"))
    if not isinstance(name, str) or not name or not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise _Unfit(f"image {key} has no file name or no size from 1 to {MAX_SIDE} px")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        raise _Unfit(f"the file name of image {key} leads out of the image folder")
    return AnnotatedImage(key, name, (width, height))


def _category(record: Record) -> tuple[int, str]:
    key, name = _whole(record, "id", "a category"), record.get("name")
    if not isinstance(name, str):
        raise _Unfit(f"category {key} has no name")
    return key, name


def _checked(record: Record, images: Mapping[int, object], categories: Mapping[int, str]) -> int:
    """Return the image of an annotation that is as it should be."""
    key = _whole(record, "id", "an annotation")
    image, category = (_whole(record, field, f"annotation {key}") for field in ("image_id", "category_id"))
    if image not in images or category not in categories:
        raise _Unfit(f"the image or category of annotation {key} is not there")
    box = record.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_measure, box)):
        raise _Unfit(f"annotation {key} has no bbox of four numbers")
    if not _is_measure(record.get("area")):
        raise _Unfit(f"annotation {key} has no area")
    if record.get("iscrowd", 0) not in (0, 1):
        raise _Unfit(f"iscrowd of annotation {key} is neither 0 nor 1")
    return image


def _whole(record: Record, field: str, what: str) -> int:
    value = record.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
        raise _Unfit(f"{field} of {what} is not a whole number")
    return value


def _is_measure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
