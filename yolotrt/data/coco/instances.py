"""COCO instances JSON: read it with suspicion, and cut it down to the images that were chosen.

Format: https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from yolotrt.artifacts.documents import read_json
from yolotrt.data.coco.layout import safe_name
from yolotrt.errors import ArtifactError

Size = Literal["small", "medium", "large"]

SMALL_AREA = 32**2
MEDIUM_AREA = 96**2
"""COCO's limits: small below 32², medium below 96², large from there; areas in px of the mask."""

_MAX_SIDE = 20_000
_MAX_ID = 2**53


@dataclass(frozen=True)
class CocoImage:
    """One image of the dataset.

    Attributes:
        id: COCO's id.
        name: Its file name; a plain name, safe to append to a folder.
        size_wh: Width and height, px.
        objects: Which classes it shows in which sizes, sorted; crowd regions are left out.
    """

    id: int
    name: str
    size_wh: tuple[int, int]
    objects: tuple[tuple[int, Size], ...]


@dataclass(frozen=True)
class Instances:
    """A checked COCO instances file.

    Attributes:
        images: All images, by ascending id.
        categories: Class names by category id, by ascending id.
        document: The JSON it was read from.
    """

    images: tuple[CocoImage, ...]
    categories: dict[int, str]
    document: dict[str, Any]


def size_of(area: float) -> Size:
    """Return COCO's size class of an object's mask area in px."""
    return "small" if area < SMALL_AREA else "medium" if area < MEDIUM_AREA else "large"


def read_instances(path: Path, label: str | None = None) -> Instances:
    """Read and check a COCO instances file.

    Args:
        path: The file.
        label: What to call it in messages; the path if None.

    Raises:
        InputError: It cannot be read.
        ArtifactError: It is not JSON, not COCO instances, or contradicts itself.
    """
    try:
        return parse_instances(read_json(path, "it"))
    except ArtifactError as exc:
        raise ArtifactError(
            f"{label or path} is not a COCO instances file: {exc.message}",
            hint="It should be like instances_val2017.json, with images, annotations and categories.",
        ) from exc


def parse_instances(document: Any) -> Instances:
    """Check a parsed COCO instances document.

    Raises:
        ArtifactError: Something is missing, of the wrong type, twice there, or refers to nothing.
    """
    if not isinstance(document, dict):
        raise ArtifactError("it is not a JSON object.")
    images, annotations, categories = (
        _records(document, key) for key in ("images", "annotations", "categories")
    )
    names: dict[int, str] = {}
    for record in categories:
        key = _integer(record, "id", 0, _MAX_ID, "a category")
        if key in names or not isinstance(record.get("name"), str):
            raise ArtifactError(f"category {key} is there twice or has no name.")
        names[key] = record["name"]
    sizes: dict[int, tuple[str, tuple[int, int]]] = {}
    for record in images:
        key = _integer(record, "id", 0, _MAX_ID, "an image")
        wide, high = (_integer(record, side, 1, _MAX_SIDE, f"image {key}") for side in ("width", "height"))
        if key in sizes:
            raise ArtifactError(f"image {key} is there twice.")
        sizes[key] = (safe_name(record.get("file_name")), (wide, high))
    if len({name.lower() for name, _ in sizes.values()}) != len(sizes):
        raise ArtifactError("two images have the same file name.")
    objects = _objects(annotations, sizes, names)
    ordered = tuple(CocoImage(key, *sizes[key], tuple(sorted(objects[key]))) for key in sorted(sizes))
    return Instances(ordered, {key: names[key] for key in sorted(names)}, document)


def prune(instances: Instances, chosen: Collection[CocoImage]) -> dict[str, Any]:
    """Return the COCO document of the chosen images only, by ascending id.

    All their annotations stay, crowds included, and so do all categories: class indices keep their
    meaning, and detections of a class that was not asked for are still judged rightly.
    """
    ids = {image.id for image in chosen}
    document = instances.document
    kept: dict[str, Any] = {key: document[key] for key in ("info", "licenses") if key in document}
    images = sorted((i for i in document["images"] if i["id"] in ids), key=lambda i: int(i["id"]))
    annotations = [a for a in document["annotations"] if a["image_id"] in ids]
    return {**kept, "images": images, "annotations": annotations, "categories": document["categories"]}


def _objects(
    annotations: list[dict[str, Any]],
    images: dict[int, tuple[str, tuple[int, int]]],
    categories: dict[int, str],
) -> dict[int, set[tuple[int, Size]]]:
    objects: dict[int, set[tuple[int, Size]]] = {key: set() for key in images}
    seen: set[int] = set()
    for record in annotations:
        if "category_id" not in record:
            raise ArtifactError("its annotations have no category_id (captions, perhaps?).")
        key = _integer(record, "id", 0, _MAX_ID, "an annotation")
        image = _integer(record, "image_id", 0, _MAX_ID, f"annotation {key}")
        category = _integer(record, "category_id", 0, _MAX_ID, f"annotation {key}")
        crowd = _integer(record, "iscrowd", 0, 1, f"annotation {key}") if "iscrowd" in record else 0
        if key in seen or image not in images or category not in categories:
            raise ArtifactError(f"annotation {key} is there twice, or its image or category is not there.")
        seen.add(key)
        box = record.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_measure, box)):
            raise ArtifactError(f"annotation {key} has no bbox of four numbers.")
        if not _measure(record.get("area")) or record["area"] < 0:
            raise ArtifactError(f"annotation {key} has no area.")
        if not isinstance(record.get("segmentation", []), list | dict):
            raise ArtifactError(f"annotation {key} has no segmentation of polygons or run lengths.")
        if not crowd:
            objects[image].add((category, size_of(record["area"])))
    return objects


def _records(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ArtifactError(f"it has no list of {key}.")
    if not records and key != "annotations":
        raise ArtifactError(f"its list of {key} is empty.")
    return records


def _integer(record: dict[str, Any], key: str, low: int, high: int, what: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ArtifactError(f"{key} of {what} is {str(value)[:40]!r}, not a whole number in range.")
    return value


def _measure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
