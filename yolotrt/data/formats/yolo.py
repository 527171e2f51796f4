"""YOLO datasets: a ``data.yaml``, images, and a text file of labels for each image.

A line is a class number and, in parts of the image's width and height, a polygon (x and y by turns) or a box
(centre x and y, width, height): https://docs.ultralytics.com/datasets/segment/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from yolotrt.data.formats.annotated import (
    AnnotatedImage,
    AnnotatedSet,
    Annotation,
    Format,
    Tally,
    about_names,
)
from yolotrt.data.formats.objects import ANNOTATIONS, Draft, checked
from yolotrt.data.formats.pictures import upright_size
from yolotrt.data.formats.shapes import Shape, polygons_shape
from yolotrt.data.formats.values import as_whole
from yolotrt.data.formats.yolo_files import YoloFiles, find_split, is_description, label_files
from yolotrt.errors import InputError

SLACK = 0.01
"""How far out of 0 to 1 a coordinate may be, by rounding."""

_LABEL_BYTES = 64 << 20


def read_yolo(path: Path, *, split: str = "val", limit: int | None = None) -> AnnotatedSet:
    """Read a split of a YOLO dataset. An image without a label file shows nothing.

    Args:
        path: Its ``data.yaml``, or the folder of it.
        split: ``train``, ``val`` or ``test``.
        limit: Take only the first images, by the order of their names.

    Raises:
        InputError: It cannot be read, or images or all label files are not there.
        ImageError: An image is not one.
    """
    files = find_split(path, split)
    paths = files.images[:limit]
    tally = Tally()
    tally.total("images", len(files.images))
    images, objects, lines = [], {}, 0
    for key, (image_path, label) in enumerate(zip(paths, label_files(paths), strict=True), 1):
        image = AnnotatedImage(key, _name(image_path, files), upright_size(image_path), image_path)
        images.append(image)
        rows = _rows(label)
        if rows is None:
            tally.add("images", "have no label file and count as empty", image.name)
        lines += len(rows or ())
        objects[key] = tuple(_objects(rows or [], label.name, image, files.names, tally))
    tally.total(ANNOTATIONS, lines)
    notes = (*_about_files(files), *tally.lines(), *about_names(files.names))
    return AnnotatedSet(tuple(images), dict(sorted(files.names.items())), objects, notes)


def _name(path: Path, files: YoloFiles) -> str:
    home = files.description.parent.absolute()
    return str(path.relative_to(home)) if home in path.parents else str(path)


def _about_files(files: YoloFiles) -> Iterator[str]:
    if files.outside is not None:
        yield (f"{files.description} names images outside of its folder (the first: {str(files.outside)!a})")
    if files.repeated:
        yield f"{files.repeated} images are named more than once in {files.description} and count once"


def _rows(label: Path) -> list[list[str]] | None:
    """Return the words of each line; None if there is no such file."""
    if not label.is_file():
        return None
    if label.stat().st_size > _LABEL_BYTES:
        raise InputError(f"{label} is larger than {_LABEL_BYTES >> 20} MiB.", hint="Is it a label file?")
    try:
        text = label.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise InputError(f"{label} cannot be read ({exc.strerror}).", hint="Check the file.") from exc
    except UnicodeDecodeError as exc:
        raise InputError(
            f"{label} is not UTF-8 text ({exc.reason} at byte {exc.start}).", hint="Replace or remove it."
        ) from exc
    return [words for line in text.splitlines() if (words := line.split())]


def _objects(
    rows: list[list[str]], label: str, image: AnnotatedImage, names: dict[int, str], tally: Tally
) -> Iterator[Annotation]:
    seen: set[tuple[str, ...]] = set()
    for number, words in enumerate(rows, 1):
        key = f"{label}, object {number}"
        if tuple(words) in seen:
            tally.add(ANNOTATIONS, "left out: there twice in one label file", key)
            continue
        seen.add(tuple(words))
        draft = _draft(words, key, image.size_wh, names)
        if isinstance(draft, str):
            tally.add(ANNOTATIONS, f"left out: {draft}", key)
        elif (found := checked(draft, image.size_wh, tally)) is not None:
            yield found


def _draft(words: list[str], key: str, image_wh: tuple[int, int], names: dict[int, str]) -> Draft | str:
    """Return the object of a line, or what is wrong with it."""
    category = as_whole(words[0])
    if category is None or category not in names:
        return "of an unknown class"
    try:
        values = np.array([float(word) for word in words[1:]], np.float64)
    except ValueError:
        return "not numbers"
    if len(values) < 4 or len(values) == 5:
        return "neither a box of four numbers nor a polygon"
    if (np.isfinite(values) & ((values < -SLACK) | (values > 1 + SLACK))).any():
        return "coordinates that are not parts of the image, from 0 to 1"
    scale = np.resize(np.array(image_wh, np.float64), len(values))
    if len(values) == 4:
        x, y, wide, high = (values * scale).tolist()
        return Draft(key, category, Shape(), [x - wide / 2, y - high / 2, wide, high])
    shape = polygons_shape([values * scale], image_wh)
    return Draft(key, category, shape, None if shape.extent is None else list(shape.extent))


YOLO = Format("a data.yaml", is_description, read_yolo, lambda path, split: find_split(path, split).images)
