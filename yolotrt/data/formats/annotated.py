"""What every format of annotations is read into, and how a reader says what it left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from yolotrt.geometry.rle import CocoRle

XYWH = tuple[float, float, float, float]
"""A box as COCO writes it: left, top, width and height, px."""

MAX_SIDE = 20_000
"""Masks are as large as their image; nothing larger than this is one."""


MANY_CROWDS = 0.1
"""Share of crowd regions from which it is said; 1.2 % of COCO's objects are."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of an annotated set.

    Attributes:
        id: Its id, a number.
        name: Its file as the annotations call it.
        size_wh: Width and height, px.
        path: Where it is, once that is known.
        given_id: Its id as the annotations write it; only a text that is no number differs from ``id``.
    """

    id: int
    name: str
    size_wh: tuple[int, int]
    path: Path | None = None
    given_id: int | str | None = None


@dataclass(frozen=True)
class Annotation:
    """One annotated object.

    Attributes:
        category_id: Its category.
        box: Its box, px; width and height are above 0, and a part of it lies in the image.
        area: Area of its mask in px, or of its box if it has none.
        crowd: Whether it is a region of many objects, which is never counted as missed.
        mask: Its mask; None if only its box is known.
    """

    category_id: int
    box: XYWH
    area: float
    crowd: bool
    mask: CocoRle | None


@dataclass(frozen=True)
class AnnotatedSet:
    """Annotated images.

    Attributes:
        images: The images, by ascending id.
        categories: Class names by category id, by ascending id.
        objects: The objects of each image, by image id.
        notes: What was left out or looks odd, a line for each reason.
        given_ids: Ids of categories as the annotations write them, where that is as text.
    """

    images: tuple[AnnotatedImage, ...]
    categories: dict[int, str]
    objects: dict[int, tuple[Annotation, ...]]
    notes: tuple[str, ...] = ()
    given_ids: Mapping[int, str] = field(default_factory=dict)


class Read(Protocol):
    """Reads annotations; see :func:`yolotrt.data.formats.reader.read_annotations`."""

    def __call__(self, path: Path, *, split: str, limit: int | None) -> AnnotatedSet:
        """Read a split, or the first images of it; a format without splits reads all."""
        ...


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Attributes:
        what: What one is called in messages, such as ``a data.yaml``.
        fits: Whether a path is one, by its name or by what is in the folder.
        read: Reads it.
        images: Returns the images of a split, if annotations of this format name them; None if they are where
            the user says.
    """

    what: str
    fits: Callable[[Path], bool]
    read: Read
    images: Callable[[Path, str], Sequence[Path]] | None = None


class Tally:
    """Counts, reason by reason, what a reader met on its way."""

    def __init__(self) -> None:
        self._totals: dict[str, int] = {}
        self._met: dict[tuple[str, str], tuple[int, str]] = {}

    def total(self, kind: str, count: int) -> None:
        """Say how many records of a kind, such as ``annotations``, there are."""
        self._totals[kind] = count

    def add(self, kind: str, what: str, first: object) -> None:
        """Count one record.

        Args:
            kind: Its kind.
            what: What was done with it and why, such as ``left out: unknown category``.
            first: What identifies it, if it is the first.
        """
        count, example = self._met.get((kind, what), (0, _shown(first)))
        self._met[kind, what] = (count + 1, example)

    def lines(self) -> tuple[str, ...]:
        """Return a line for each reason, in the order they were met."""
        return tuple(
            f"{count} of {self._totals[kind]} {kind} {what} (the first: {example})"
            for (kind, what), (count, example) in self._met.items()
        )


def plain_name(name: str) -> str:
    """Return a class name without what tools change: case, and how words are parted."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(plain.replace("_", " ").replace("-", " ").split())


def about_names(categories: Mapping[int, str]) -> tuple[str, ...]:
    """Return a note for each class name that several categories have."""
    alike: dict[str, list[str]] = {}
    for key, name in categories.items():
        alike.setdefault(plain_name(name), []).append(f"{key} ({name!a:.60})")
    return tuple(
        f"categories {' and '.join(several)} share a name and count as one class, unless the model has a "
        "class for each"
        for several in alike.values()
        if len(several) > 1
    )


def about_crowds(objects: Mapping[int, Sequence[Annotation]]) -> tuple[str, ...]:
    """Return a note if many objects are crowds, which nobody has to find."""
    every = [one.crowd for found in objects.values() for one in found]
    crowds = sum(every)
    if crowds <= MANY_CROWDS * len(every):
        return ()
    return (
        f"{crowds} of {len(every)} objects are crowds (iscrowd 1), which count neither as found nor as "
        "missed; some tools, such as supervision, mark objects with holes or of several parts so",
    )


def _shown(value: object) -> str:
    text = ascii(value)[:60] if isinstance(value, str) else str(value)[:60]
    return text or "-"
