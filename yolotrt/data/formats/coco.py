"""COCO instances JSON: the format of cocodataset.org, as many tools write it."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_json_text
from yolotrt.data.formats.annotated import (
    XYWH,
    AnnotatedImage,
    AnnotatedSet,
    Annotation,
    Tally,
    about_crowds,
    about_names,
)
from yolotrt.data.formats.coco_records import ObjectRecord, Records, read_records
from yolotrt.data.formats.shapes import Shape, read_shape
from yolotrt.data.formats.values import as_measure
from yolotrt.errors import ArtifactError

MAX_BYTES = 2 << 30
"""Largest file that is read, four times COCO's train2017."""

_HINT = "It should be like instances_val2017.json, with images, annotations and categories."
_KIND = "annotations"


def read_coco(path: Path, *, limit: int | None = None) -> AnnotatedSet:
    """Read a COCO instances file.

    Takes twice the file's size in memory while it is parsed.

    Args:
        path: The file.
        limit: Take only the first images by id.

    Raises:
        InputError: It cannot be read.
        ArtifactError: It is not COCO instances, or an id stands for two things.
    """
    document = parse_json(path)
    try:
        return annotated_set(read_records(document, limit=limit))
    except ArtifactError as exc:
        raise ArtifactError(f"{path} is not a COCO instances file: {exc.message}", hint=_HINT) from exc


def parse_json(path: Path, label: str | None = None, *, compact: bool = True) -> Any:
    """Parse a JSON file of someone else's: up to :data:`MAX_BYTES`, NaN included.

    Args:
        path: The file.
        label: What to call it where its content is at fault; the path if None.
        compact: Make arrays of the polygons in each ``segmentation`` as they are met, a third of the memory.

    Raises:
        InputError: It is missing or unreadable.
        ArtifactError: It is too large, not UTF-8, not JSON, or nested too deeply.
    """
    text = read_json_text(path, label, max_bytes=MAX_BYTES)
    try:
        return json.loads(text, object_hook=_compact if compact else None)
    except (ValueError, RecursionError) as exc:
        raise ArtifactError(
            f"{label or path} is not valid JSON ({exc}).", hint="It may be truncated; make it again."
        ) from exc


def _compact(record: dict[str, Any]) -> dict[str, Any]:
    parts = record.get("segmentation")
    if isinstance(parts, list):
        for k, part in enumerate(parts):
            if isinstance(part, list) and len(part) > 2:
                try:
                    parts[k] = array("d", part)
                except (TypeError, OverflowError):
                    continue  # it is judged where it is read
    return record


def annotated_set(records: Records) -> AnnotatedSet:
    """Turn records into objects with boxes and masks; what cannot be measured is left out and counted."""
    objects: dict[int, tuple[Annotation, ...]] = {}
    tally = records.tally
    for record in records.images:
        image = record.image
        found = (_annotation(own, image, tally) for own in _distinct(records.objects[image.id], tally))
        objects[image.id] = tuple(one for one in found if one is not None)
    images = tuple(record.image for record in records.images)
    notes = (*tally.lines(), *about_names(records.categories), *about_crowds(objects))
    return AnnotatedSet(images, records.categories, objects, notes)


def _distinct(records: Sequence[ObjectRecord], tally: Tally) -> list[ObjectRecord]:
    """Return the objects of one image; of those copied from an image that was there twice, one each."""
    met: dict[tuple[object, ...], ObjectRecord] = {}
    kept: list[ObjectRecord] = []
    for record in records:
        raw = record.raw
        key = (record.category_id, record.crowd, repr(raw.get("bbox")))
        other = met.setdefault(key, record)
        if other is not record and other.raw.get("segmentation") == raw.get("segmentation"):
            if other.raw.get("image_id") != raw.get("image_id"):
                tally.add(_KIND, "left out: copies of those of the same image", raw.get("id"))
                continue
            tally.add(_KIND, "equal another but for their id, and both count", raw.get("id"))
        kept.append(record)
    return kept


def _annotation(record: ObjectRecord, image: AnnotatedImage, tally: Tally) -> Annotation | None:
    raw = record.raw
    key = raw.get("id")
    shape = read_shape(raw.get("segmentation"), image.size_wh)
    box, problem = _box(raw.get("bbox"))
    if box is None and shape.extent is None:
        tally.add(_KIND, f"left out: {problem}", key)
        return None
    if box is None or shape.extent is None:
        box = box or shape.extent
        assert box is not None
    elif _overlap(box, shape.extent) < 0.1:
        tally.add(_KIND, "have a box that is far from their segmentation, and count", key)
    if _shared(box, (0, 0, *image.size_wh)) <= 0:
        tally.add(_KIND, "left out: boxes outside of their image", key)
        return None
    if problem:
        tally.add(_KIND, f"get their box from their segmentation: {problem}", key)
    elif _reaches_out(box, image.size_wh):
        tally.add(_KIND, "have boxes that reach out of their image, and count", key)
    _say_shape(shape, key, tally)
    return Annotation(record.category_id, box, _area(raw.get("area"), shape, box), record.crowd, shape.mask)


def _say_shape(shape: Shape, key: object, tally: Tally) -> None:
    if not shape.problems and shape.mask is None:
        tally.add(_KIND, "have no segmentation: their masks are not measured", key)
    for problem in shape.problems:
        if shape.mask is None:
            tally.add(_KIND, f"have {problem}: their masks are not measured", key)
        else:
            tally.add(_KIND, f"have {problem}, which is left out of their mask", key)


def _box(value: object) -> tuple[XYWH | None, str]:
    """Return a box, or None and what is wrong with it."""
    if value is None or value == []:
        return None, "no box"
    numbers = [as_measure(v) for v in value] if isinstance(value, list) and len(value) == 4 else [None]
    if any(number is None for number in numbers):
        return None, "a box that is not four finite numbers"
    x, y, wide, high = (number or 0.0 for number in numbers)
    if wide < 0 or high < 0:
        return None, "a box of negative size"
    if wide == 0 or high == 0:
        return None, "a box without area"
    return (x, y, wide, high), ""


def _overlap(one: XYWH, other: XYWH) -> float:
    """Return the overlap of two boxes, intersection over union."""
    shared = _shared(one, other)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _shared(one: XYWH, other: XYWH) -> float:
    """Return the area that two boxes share, px."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)


def _reaches_out(box: XYWH, image_wh: tuple[int, int]) -> bool:
    """Whether a box leaves its image by more than rounding."""
    slack = max(2.0, 0.02 * max(image_wh))
    x, y, wide, high = box
    return min(x, y) < -slack or x + wide > image_wh[0] + slack or y + high > image_wh[1] + slack


def _area(value: object, shape: Shape, box: XYWH) -> float:
    from pycocotools import mask

    area = as_measure(value)
    if area is not None and area >= 0:
        return area
    return float(mask.area(shape.mask)) if shape.mask is not None else box[2] * box[3]
