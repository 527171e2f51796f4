"""The manifest of a subset: what was asked for, which files that gave, and what each must be.

Document ``yolotrt-coco-subset``, version 1. It is written before the first image, listing every file that
is there or going to be, and again as files arrive (with their size and SHA-256), so that whenever a
process dies, the next one knows which files are the subset's own. Paths in it are relative to its folder,
with forward slashes, and are checked on reading: a manifest cannot name a file anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count, Sha256
from yolotrt.data.coco.check import CheckedBy
from yolotrt.data.coco.layout import safe_name
from yolotrt.data.coco.select import Split
from yolotrt.data.formats.coco import FILE_NAME
from yolotrt.errors import ArtifactError

NAME = "manifest.json"

SPLITS: tuple[Split, ...] = ("all", "calib", "eval")


@dataclass(frozen=True)
class Entry:
    """One image, or (without a size in px) the annotations of one part.

    Attributes:
        file: Path relative to the manifest's folder.
        split: The part it belongs to.
        source: URL or path it comes from.
        size_wh: Width and height of an image, px; None for annotations.
        bytes: Its length, or None as long as it has not arrived.
        sha256: Hash of its bytes, likewise.
        checked_by: The strongest check that an image has passed.
    """

    file: str
    split: Split
    source: str
    size_wh: tuple[Count, Count] | None
    bytes: Count | None = None
    sha256: Sha256 | None = None
    checked_by: CheckedBy | None = None

    @property
    def name(self) -> str:
        """The file name without folders."""
        return self.file.rpartition("/")[2]

    def arrived(self, length: int, sha256: str, checked_by: CheckedBy | None) -> Entry:
        """Return the entry of the file once it is there."""
        return replace(self, bytes=length, sha256=sha256, checked_by=checked_by)


@dataclass(frozen=True)
class Manifest:
    """Everything known of a subset.

    Attributes:
        request: The options that decide which files there are.
        source: URL or path of the data.
        annotations_sha256: Hash of the complete annotations that the choice was made from.
        complete: Whether every file has arrived.
        files: Images and annotation files.
    """

    request: Mapping[str, Any]
    source: str
    annotations_sha256: str
    complete: bool
    files: tuple[Entry, ...]


def image_file(split: Split, name: str) -> str:
    """Return the path of an image, relative to the subset's folder."""
    return f"images/{name}" if split == "all" else f"{split}/images/{name}"


def instances_file(split: Split) -> str:
    """Return the path of a part's annotations, relative to the subset's folder."""
    return FILE_NAME if split == "all" else f"{split}/{FILE_NAME}"


def _check(manifest: Manifest) -> None:
    for entry in manifest.files:
        _check_entry(entry)
    if len({entry.file for entry in manifest.files}) != len(manifest.files):
        raise ValueError("a file is listed twice")


def _check_entry(entry: Entry) -> None:
    try:
        place = (
            image_file(entry.split, safe_name(entry.name)) if entry.size_wh else instances_file(entry.split)
        )
    except ArtifactError as exc:
        raise ValueError(exc.message) from exc
    if entry.file != place:
        raise ValueError(f"{entry.file[:80]!r} is no place for a file of a subset")
    if (entry.bytes is None) != (entry.sha256 is None):
        raise ValueError(f"{entry.file} is described half")


DOCUMENT = Document(
    "yolotrt-coco-subset",
    1,
    Manifest,
    "the manifest of a subset",
    again="Delete it and run the download again; images stay.",
    check=_check,
)


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest of a subset, atomically.

    Raises:
        StorageError: It cannot be written.
    """
    return DOCUMENT.write(folder / NAME, manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a subset.

    Raises:
        InputError: There is none.
        ArtifactError: It is damaged, of another version, or names files that are not a subset's.
    """
    return DOCUMENT.read(folder / NAME)
