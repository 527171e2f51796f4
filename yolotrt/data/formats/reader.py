"""Read annotations of any format that is known."""

from __future__ import annotations

from pathlib import Path

from yolotrt.data.formats.annotated import AnnotatedSet
from yolotrt.data.formats.coco import read_coco


def read_annotations(path: Path, *, limit: int | None = None) -> AnnotatedSet:
    """Read annotations.

    Args:
        path: A COCO instances file.
        limit: Take only the first images by id.

    Raises:
        InputError: The file cannot be read.
        ArtifactError: It is not of a known format.
    """
    return read_coco(path, limit=limit)
