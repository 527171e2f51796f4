"""Read annotations of any format that is known."""

from __future__ import annotations

import os
from pathlib import Path

from yolotrt.data.formats.annotated import AnnotatedSet
from yolotrt.data.formats.coco import read_coco
from yolotrt.data.formats.yolo import read_yolo
from yolotrt.data.formats.yolo_files import find_split, is_description
from yolotrt.data.images import list_images
from yolotrt.errors import UsageError

SPLITS = ("val", "train", "test")
"""Parts of a YOLO dataset; accuracy is measured on the first, ranges are calibrated on the second."""


def read_annotations(path: Path, *, split: str = "val", limit: int | None = None) -> AnnotatedSet:
    """Read annotations.

    Args:
        path: A COCO instances file, or the ``data.yaml`` of a YOLO dataset or its folder.
        split: Which images of a YOLO dataset: ``train``, ``val`` or ``test``.
        limit: Take only the first images.

    Raises:
        InputError: The file cannot be read.
        ArtifactError: It is not of a known format.
    """
    return read_yolo(path, split=split, limit=limit) if names_images(path) else read_coco(path, limit=limit)


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
        raise UsageError(
            f"{path} needs {option}, the folder of its images.",
            hint=f"Add {option} DIR; only a data.yaml names its images itself.",
        )


def names_images(path: Path) -> bool:
    """Whether annotations say where their images are."""
    return is_description(path)


def images_of(source: Path, split: str = "train") -> list[Path]:
    """Return the images of a file or folder, or those of a split of a ``data.yaml``.

    Raises:
        ImageError: Nothing is there, or the folder holds no image file.
        InputError: The description cannot be read, or has no such images.
    """
    if os.path.isdir(source) or not is_description(source):
        return list_images(source)
    return list(find_split(source, split).images)
