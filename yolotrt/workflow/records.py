"""What was found, as COCO records that stream into files while it is found."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from yolotrt.artifacts.files import atomic_target, mapped_os_errors
from yolotrt.pipeline.adapters import Record, coco_objects
from yolotrt.workflow.identity import RecordIds
from yolotrt.workflow.predict import Found

Take = Callable[[Found], None]

IN_MEMORY = 1 << 20
"""Bytes of image entries that are held in memory; more go to a temporary file."""


def result_records(found: Found, ids: RecordIds) -> list[Record]:
    """Return the objects of one frame in COCO's results format, with our names beside the ids.

    Each has ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in px), ``score`` and, with masks,
    ``segmentation`` (run lengths, ``counts`` as text); further ``image`` and ``category``, the names, and of
    a video ``frame``, ``time_s`` and ``stamp_s`` (see :class:`yolotrt.data.video_file.Moment`). With tracking
    each has its ``track_id``, None before it has one; where tiles are chosen, whether it was ``carried``.
    Format: https://cocodataset.org/#format-results.
    """
    about = _about(found, ids)
    return [{**about, **thing} for thing, _area in _objects(found, ids)]


def frame_record(found: Found, ids: RecordIds) -> Record:
    """Return one frame with all its objects, also one without any: a line of JSON Lines."""
    width, height = found.frame_wh
    things = [thing for thing, _area in _objects(found, ids)]
    return {**_about(found, ids), "width": width, "height": height, "objects": things}


@contextmanager
def result_file(target: str, ids: RecordIds) -> Iterator[Take]:
    """Give a function that adds a frame's records to a JSON list, which ``COCO.loadRes`` reads.

    What the annotations do not know is left out: ``loadRes`` refuses such pictures.

    Args:
        target: The file, complete when the block ends, or ``-`` for stdout, frame by frame.
        ids: The ids.

    Raises:
        StorageError: It cannot be written.
    """
    with _text(target) as out, _list(out) as append:

        def take(found: Found) -> None:
            for record in result_records(found, ids):
                if record["image_id"] is not None and record["category_id"] is not None:
                    append(record)
            out.flush()

        yield take


@contextmanager
def line_file(target: str, ids: RecordIds) -> Iterator[Take]:
    """Give a function that adds a frame as one line of JSON (https://jsonlines.org), at once.

    Args:
        target: The file, complete when the block ends, or ``-`` for stdout.
        ids: The ids; None stands for what the annotations do not know.

    Raises:
        StorageError: It cannot be written.
    """
    with _text(target) as out:

        def take(found: Found) -> None:
            out.write(_json(frame_record(found, ids)) + "\n")
            out.flush()

        yield take


@contextmanager
def dataset_file(target: str, ids: RecordIds) -> Iterator[Take]:
    """Give a function that adds a frame to a COCO dataset: images, annotations and categories in one file.

    ``pycocotools.coco.COCO`` and tools for labelling read it. Memory does not grow with its length.

    Args:
        target: The file, complete when the block ends, or ``-`` for stdout.
        ids: The ids; what the annotations do not know is left out.

    Raises:
        StorageError: It cannot be written.
    """
    with (
        _text(target) as out,
        mapped_os_errors(Path(target)),
        tempfile.SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8") as images,
    ):
        categories = [{"id": key, "name": name} for key, name in ids.categories.items()]
        info = {"description": "Objects found by yolotrt predict"}
        out.write(f'{{"info": {_json(info)},\n"categories": {_json(categories)},\n"annotations": ')
        count = 0
        with _list(images) as append_image, _list(out) as append:  # type: ignore[arg-type]

            def take(found: Found) -> None:
                nonlocal count
                width, height = found.frame_wh
                about = _about(found, ids)
                key = about.pop("image_id")
                if key is None:
                    return
                name = about.pop("image")
                append_image({"id": key, "file_name": name, "width": width, "height": height, **about})
                for thing, area in _objects(found, ids):
                    if thing["category_id"] is None:
                        continue
                    count += 1
                    del thing["category"]
                    append({"id": count, "image_id": key, **thing, "area": area, "iscrowd": 0})

            yield take
        images.seek(0)
        out.write(',\n"images": ')
        shutil.copyfileobj(images, out)
        out.write("}\n")


def _about(found: Found, ids: RecordIds) -> Record:
    moment = found.moment
    record: Record = {
        "image_id": ids.image_id(found.name, None if moment is None else moment.index),
        "image": found.name,
    }
    if moment is not None:
        stamp_s = None if moment.stamp_s is None else round(moment.stamp_s, 6)
        record |= {"frame": moment.index, "time_s": round(moment.time_s, 6), "stamp_s": stamp_s}
    return record


def _objects(found: Found, ids: RecordIds) -> list[tuple[Record, float]]:
    """Return the record of each object and its area, px."""
    objects = coco_objects(found.detections, found.frame_wh, ids.classes, found.names)
    for i, (record, _) in enumerate(objects):
        if found.ids is not None:
            number = int(found.ids[i])
            record["track_id"] = None if number < 0 else number
        if found.looked is not None:
            record["carried"] = bool(found.looked.carried[i])
    return objects


@contextmanager
def _text(target: str) -> Iterator[TextIO]:
    if target == "-":
        yield sys.stdout
        return
    path = Path(target)
    with atomic_target(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        yield out


@contextmanager
def _list(out: TextIO) -> Iterator[Callable[[Record], None]]:
    """Write a JSON list item by item, each on a line of its own."""
    before = "["

    def append(record: Record) -> None:
        nonlocal before
        out.write(f"{before}\n{_json(record)}")
        before = ","

    yield append
    out.write("[]" if before == "[" else "\n]")


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
