"""The records of a COCO instances document: whose they are, which are twice there, which belong to nothing.

Format: https://cocodataset.org/#format-data (object detection). What pycocotools takes is taken; what would
make a figure wrong without a word is left out and counted, and only what has two meanings is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolotrt.data.formats.annotated import MAX_SIDE, AnnotatedImage, Tally
from yolotrt.data.formats.objects import ANNOTATIONS
from yolotrt.data.formats.values import Ids, as_whole
from yolotrt.errors import ArtifactError

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class ImageRecord:
    """An image, and the record it was read from."""

    image: AnnotatedImage
    raw: Raw


@dataclass(frozen=True)
class ObjectRecord:
    """An annotation whose image and category are there.

    Attributes:
        category_id: Its category.
        crowd: Whether ``iscrowd`` is set.
        raw: The record; its box, area and segmentation are not checked.
    """

    category_id: int
    crowd: bool
    raw: Raw


@dataclass(frozen=True)
class Records:
    """What a document holds.

    Attributes:
        images: The images, by ascending id.
        categories: Class names by category id, by ascending id.
        objects: Annotations by image id, in the order of the document.
        tally: What was left out so far.
        given_ids: Ids of categories as the document writes them, where that is as text.
    """

    images: tuple[ImageRecord, ...]
    categories: dict[int, str]
    objects: dict[int, list[ObjectRecord]]
    tally: Tally
    given_ids: Mapping[int, str] = field(default_factory=dict)


def read_records(document: object, *, limit: int | None = None) -> Records:
    """Sort the records of a parsed document.

    Args:
        document: The JSON value.
        limit: Take only the first images by id, and what is annotated in them.

    Raises:
        ArtifactError: It is no COCO instances document, or an id stands for two things. The message is
            a sentence about "it".
    """
    if not isinstance(document, dict):
        looks = " but a list: the results of a detector, perhaps" if isinstance(document, list) else ""
        raise ArtifactError(f"it is not a JSON object{looks}.")
    images, annotations, categories = (
        _list(document, key) for key in ("images", "annotations", "categories")
    )
    tally = Tally()
    names, category_ids, given = _categories(categories, tally)
    read = _Images(images, tally)
    chosen = sorted(read.records.values(), key=lambda record: record.image.id)[:limit]
    objects: dict[int, list[ObjectRecord]] = {record.image.id: [] for record in chosen}
    tally.total(ANNOTATIONS, len(annotations))
    seen: dict[object, Raw] = {}
    usable = 0
    for raw in annotations:
        found = _object(raw, read, names, category_ids, seen, tally)
        usable += found is not None
        if found is not None and found[0] in objects:
            objects[found[0]].append(found[1])
    if annotations and not usable:
        raise ArtifactError(f"none of its annotations can be used: {'; '.join(tally.lines())}.")
    return Records(tuple(chosen), names, objects, tally, given)


def _list(document: Raw, key: str) -> list[Any]:
    records = document.get(key)
    if not isinstance(records, list):
        raise ArtifactError(f"it has no list of {key}.")
    if not records and key != "annotations":
        raise ArtifactError(f"its list of {key} is empty.")
    return records


def _categories(records: list[Any], tally: Tally) -> tuple[dict[int, str], Ids, dict[int, str]]:
    names: dict[int, str] = {}
    given: dict[int, str] = {}
    ids = Ids()
    tally.total("categories", len(records))
    for raw in records:
        key = ids.new(raw.get("id")) if isinstance(raw, dict) else None
        if key is None:
            tally.add("categories", "left out: no id", raw)
            continue
        name = raw.get("name")
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or not name.strip():
            tally.add("categories", "have no name and are called by their id", raw.get("id"))
            name = str(raw.get("id"))
        if names.setdefault(key, name) != name:
            raise ArtifactError(
                f"category {raw.get('id')!s:.40} is both {names[key]!r:.80} and {name!r:.80}."
            )
        if isinstance(raw["id"], str):
            given.setdefault(key, raw["id"])
    if not names:
        raise ArtifactError("its categories have no id.")
    return dict(sorted(names.items())), ids, given


class _Images:
    """The images of a document, and which record stands for which.

    Attributes:
        records: The images by id.
    """

    def __init__(self, records: list[Any], tally: Tally) -> None:
        self.records: dict[int, ImageRecord] = {}
        self._tally = tally
        self._ids = Ids()
        self._same: dict[int, int] = {}
        self._names: dict[str, int] = {}
        self._left_out: set[int] = set()
        tally.total("images", len(records))
        for raw in records:
            self._add(raw)
        if not self.records:
            raise ArtifactError(f"none of its images can be used: {'; '.join(tally.lines())}.")

    def of(self, image_id: object) -> int | None:
        """Return the image that an annotation's ``image_id`` names; None if there is none."""
        key = self._ids.known(image_id)
        key = None if key is None else self._same.get(key, key)
        return key if key in self.records else None

    def left_out(self, image_id: object) -> bool:
        """Whether there is an image of this id that cannot be used."""
        return self._ids.known(image_id) in self._left_out

    def _add(self, raw: object) -> None:
        key = self._ids.new(raw.get("id")) if isinstance(raw, dict) else None
        if key is None or not isinstance(raw, dict):
            self._tally.add("images", "left out: no id", raw)
            return
        name, sides = raw.get("file_name"), (as_whole(raw.get("width")), as_whole(raw.get("height")))
        problem = _image_problem(name, sides)
        if problem:
            self._tally.add("images", f"left out: {problem}", raw.get("id"))
            self._left_out.add(key)
            return
        size_wh = (sides[0] or 0, sides[1] or 0)
        image = AnnotatedImage(key, str(name), size_wh, given_id=raw["id"])
        known = self.records.get(key)
        if known is not None and (known.image.name, known.image.size_wh) != (image.name, size_wh):
            raise ArtifactError(
                f"image id {raw['id']!s:.40} stands for {known.image.name!r:.80} and {image.name!r:.80}."
            )
        first = self._names.setdefault(image.name, key)
        if known is not None or first != key:
            if self.records[first].image.size_wh != size_wh:
                raise ArtifactError(f"image {image.name!r:.80} is there twice, in two sizes.")
            self._tally.add("images", "are there twice and count once, with all annotations", image.name)
            self._same[key] = first
            return
        self.records[key] = ImageRecord(image, raw)


def _image_problem(name: object, sides: tuple[int | None, ...]) -> str | None:
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        return "no file name"
    if not all(side is not None and 0 < side <= MAX_SIDE for side in sides):
        return f"no width and height from 1 to {MAX_SIDE} px"
    return None


def _object(
    raw: object,
    images: _Images,
    categories: Mapping[int, str],
    category_ids: Ids,
    seen: dict[object, Raw],
    tally: Tally,
) -> tuple[int, ObjectRecord] | None:
    """Return an annotation and its image, or None and a word about it."""
    if not isinstance(raw, dict):
        tally.add(ANNOTATIONS, "left out: not an object of JSON", raw)
        return None
    own = raw.get("id")
    if "category_id" not in raw:
        tally.add(ANNOTATIONS, "left out: no category_id (captions or results, perhaps)", own)
        return None
    image, category = images.of(raw.get("image_id")), category_ids.known(raw["category_id"])
    if image is None:
        why = "their image is left out" if images.left_out(raw.get("image_id")) else "of an unknown image"
        tally.add(ANNOTATIONS, f"left out: {why}", own)
        return None
    if category not in categories or category is None:
        tally.add(ANNOTATIONS, "left out: of an unknown category", own)
        return None
    crowd = raw.get("iscrowd", 0)
    crowd = 0 if crowd is None else as_whole(int(crowd) if isinstance(crowd, bool) else crowd)
    if crowd is None:
        tally.add(ANNOTATIONS, "left out: iscrowd is neither 0 nor 1", own)
        return None
    if own is not None:
        key: object = as_whole(own)
        key = str(own) if key is None else key
        if key in seen and _content(seen[key]) == _content(raw):
            tally.add(ANNOTATIONS, "left out: there twice, with the same id", own)
            return None
        if key in seen:
            tally.add(ANNOTATIONS, "share their id with another object and all count", own)
        seen.setdefault(key, raw)
    return image, ObjectRecord(category, bool(crowd), raw)


def _content(raw: Raw) -> tuple[Any, ...]:
    return tuple(raw.get(key) for key in ("image_id", "category_id", "bbox", "segmentation"))
