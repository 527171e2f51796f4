"""COCO instances JSON: the format of cocodataset.org, as many tools write it."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_json_text
from yolotrt.data.formats.annotated import (
    AnnotatedImage,
    AnnotatedSet,
    Annotation,
    Format,
    Tally,
    about_crowds,
    about_names,
)
from yolotrt.data.formats.coco_records import ObjectRecord, Records, read_records
from yolotrt.data.formats.objects import ANNOTATIONS, Draft, checked
from yolotrt.data.formats.shapes import read_shape
from yolotrt.errors import ArtifactError

FILE_NAME = "instances.json"
"""What our own folders of annotated pictures call them."""

MAX_BYTES = 2 << 30
"""Largest file that is read, four times COCO's train2017."""

_HINT = "It should be like instances_val2017.json, with images, annotations and categories."


def read_coco(path: Path, *, limit: int | None = None) -> AnnotatedSet:
    """Read a COCO instances file.

    Takes four to five times the file's size in memory: 2.1 GiB for one of COCO's train2017's size.

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
        drafts = (_draft(own, image) for own in _distinct(records.objects[image.id], tally))
        found = (checked(draft, image.size_wh, tally) for draft in drafts)
        objects[image.id] = tuple(one for one in found if one is not None)
    images = tuple(record.image for record in records.images)
    notes = (*tally.lines(), *about_names(records.categories), *about_crowds(objects))
    return AnnotatedSet(images, records.categories, objects, notes, records.given_ids)


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
                tally.add(ANNOTATIONS, "left out: copies of those of the same image", raw.get("id"))
                continue
            tally.add(ANNOTATIONS, "equal another but for their id, and both count", raw.get("id"))
        kept.append(record)
    return kept


def _draft(record: ObjectRecord, image: AnnotatedImage) -> Draft:
    raw = record.raw
    shape = read_shape(raw.get("segmentation"), image.size_wh)
    return Draft(raw.get("id"), record.category_id, shape, raw.get("bbox"), raw.get("area"), record.crowd)


def _read(path: Path, *, split: str, limit: int | None) -> AnnotatedSet:
    return read_coco(path, limit=limit)


COCO = Format("a COCO instances file", lambda path: True, _read)
