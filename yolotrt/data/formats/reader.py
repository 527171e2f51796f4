"""Read annotations of any format that is known."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import cast

from yolotrt.data.formats.annotated import AnnotatedSet, Format
from yolotrt.data.formats.names import FORMATS
from yolotrt.data.images import list_images
from yolotrt.errors import UsageError

SPLITS = ("val", "train", "test")
"""Parts of a dataset; accuracy is measured on the first, ranges are calibrated on the second."""


def read_annotations(path: Path, *, split: str = "val", limit: int | None = None) -> AnnotatedSet:
    """Read annotations.

    Args:
        path: Annotations of any of :data:`yolotrt.data.formats.names.FORMATS`.
        split: Which images of a dataset that has splits: ``train``, ``val`` or ``test``.
        limit: Take only the first images.

    Raises:
        InputError: The file cannot be read.
        ArtifactError: It is not of a known format.
    """
    return _format_of(path).read(path, split=split, limit=limit)


def require_images(path: Path, folder: Path | None, *, option: str = "--images") -> None:
    """Refuse annotations without their images, before anything is read.

    Args:
        path: The annotations.
        folder: Where their images are, as the user said.
        option: How the user says it.

    Raises:
        UsageError: A folder was named for annotations that name their images, or none for others.
    """
    if names_images(path) and folder is not None:
        raise UsageError(f"{path} says itself where its images are.", hint=f"Leave {option} out.")
    if not names_images(path) and folder is None:
        known = " or ".join(each.what for each in _formats() if each.images is not None)
        raise UsageError(
            f"{path} needs {option}, the folder of its images.",
            hint=f"Add {option} DIR; only {known} names its images itself.",
        )


def names_images(path: Path) -> bool:
    """Whether annotations say where their images are."""
    return _format_of(path).images is not None


def images_of(source: Path, split: str = "train") -> list[Path]:
    """Return the images of a file or folder, or those of a split of annotations that name their images.

    Raises:
        ImageError: Nothing is there, or the folder holds no image file.
        InputError: The annotations cannot be read, or have no such images.
    """
    named = None if os.path.isdir(source) else _format_of(source).images
    return list_images(source) if named is None else list(named(source, split))


def _format_of(path: Path) -> Format:
    return next(each for each in _formats() if each.fits(path))


@cache
def _formats() -> tuple[Format, ...]:
    places = [where.partition(":") for where in FORMATS]
    return tuple(cast(Format, getattr(import_module(module), name)) for module, _, name in places)
