"""COCO's own instances JSON: cut it down to the images that were chosen.

Format: https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from yolotrt.data.coco.layout import safe_name
from yolotrt.data.formats.coco import parse_json
from yolotrt.data.formats.coco_records import ObjectRecord, Records, read_records
from yolotrt.data.formats.values import as_measure
from yolotrt.errors import ArtifactError

Size = Literal["small", "medium", "large"]

SMALL_AREA = 32**2
MEDIUM_AREA = 96**2
"""COCO's limits: small below 32², medium below 96², large from there; areas in px of the mask."""


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
        records: The records that belong to them.
        document: The JSON it was read from.
    """

    images: tuple[CocoImage, ...]
    records: Records
    document: dict[str, Any]

    @property
    def categories(self) -> dict[int, str]:
        """Class names by category id, by ascending id."""
        return self.records.categories

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, a line for each reason."""
        return self.records.tally.lines()


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
        return parse_instances(parse_json(path, "it", compact=False))
    except ArtifactError as exc:
        raise ArtifactError(
            f"{label or path} is not a COCO instances file: {exc.message}",
            hint="It should be like instances_val2017.json, with images, annotations and categories.",
        ) from exc


def parse_instances(document: Any) -> Instances:
    """Check a parsed COCO instances document.

    Raises:
        ArtifactError: Something is missing, an id stands for two things, or an image is not called as
            COCO calls its images.
    """
    records = read_records(document)
    names = [safe_name(record.image.name) for record in records.images]
    if len({name.lower() for name in names}) != len(names):
        raise ArtifactError("two images have the same file name.")
    images = tuple(
        CocoImage(record.image.id, name, record.image.size_wh, _shows(records.objects[record.image.id]))
        for record, name in zip(records.images, names, strict=True)
    )
    return Instances(images, records, document)


def _shows(objects: Sequence[ObjectRecord]) -> tuple[tuple[int, Size], ...]:
    """Return the classes of an image's objects and their sizes, crowds left out."""
    found: set[tuple[int, Size]] = set()
    for one in objects:
        area = as_measure(one.raw.get("area"))
        if not one.crowd and area is not None and area >= 0:
            found.add((one.category_id, size_of(area)))
    return tuple(sorted(found))


def prune(instances: Instances, chosen: Collection[CocoImage]) -> dict[str, Any]:
    """Return the COCO document of the chosen images only, by ascending id.

    All their annotations stay, crowds included, and so do all categories: class indices keep their
    meaning, and detections of a class that was not asked for are still judged rightly.
    """
    document, records = instances.document, instances.records
    kept: dict[str, Any] = {key: document[key] for key in ("info", "licenses") if key in document}
    ids = {image.id for image in chosen}
    images = [record for record in records.images if record.image.id in ids]
    owner = {id(one.raw): image.raw["id"] for image in images for one in records.objects[image.image.id]}
    annotations = [{**a, "image_id": owner[id(a)]} for a in document["annotations"] if id(a) in owner]
    return {
        **kept,
        "images": [i.raw for i in images],
        "annotations": annotations,
        "categories": document["categories"],
    }
