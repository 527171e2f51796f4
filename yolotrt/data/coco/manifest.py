"""The manifest of a subset: what was asked for, which files that gave, and what each must be.

Document ``yolotrt-coco-subset``, version 1. It is written before the first image, listing every file that
is there or going to be, and again as files arrive (with their size and SHA-256), so that whenever a
process dies, the next one knows which files are the subset's own. Paths in it are relative to its folder,
with forward slashes, and are checked on reading: a manifest cannot name a file anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_document, write_document
from yolotrt.artifacts.hashing import is_sha256
from yolotrt.data.coco.check import CheckedBy
from yolotrt.data.coco.layout import safe_name
from yolotrt.data.coco.select import Split
from yolotrt.data.formats.coco import FILE_NAME
from yolotrt.errors import ArtifactError

FORMAT = "yolotrt-coco-subset"
VERSION = 1
NAME = "manifest.json"

SPLITS: tuple[Split, ...] = ("all", "calib", "eval")
_CHECKS: tuple[CheckedBy | None, ...] = ("crc32", "md5", "structure", None)


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
    size_wh: tuple[int, int] | None
    bytes: int | None = None
    sha256: str | None = None
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


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write the manifest of a subset, atomically.

    Raises:
        StorageError: It cannot be written.
    """
    return write_document(folder / NAME, format=FORMAT, version=VERSION, body=asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a subset.

    Raises:
        InputError: There is none.
        ArtifactError: It is damaged, of another version, or names files that are not a subset's.
    """
    path = folder / NAME
    body = read_document(path, format=FORMAT, version=VERSION)
    try:
        files = tuple(_entry(record) for record in body["files"])
        if len({entry.file for entry in files}) != len(files):
            raise ValueError("a file is listed twice")
        request, complete = body["request"], body["complete"]
        source, sha256 = body["source"], body["annotations_sha256"]
        if not isinstance(request, dict) or not isinstance(complete, bool):
            raise ValueError("request or complete has the wrong type")
        if not isinstance(source, str) or not isinstance(sha256, str):
            raise ValueError("source or annotations_sha256 has the wrong type")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArtifactError) as exc:
        raise ArtifactError(
            f"{path} is damaged ({exc}).", hint="Delete it and run the download again; images stay."
        ) from exc
    return Manifest(request, source, sha256, complete, files)


def _entry(record: Mapping[str, Any]) -> Entry:
    file, source, size_wh = record["file"], record["source"], record["size_wh"]
    part = next((split for split in SPLITS if split == record["split"]), None)
    if part is None or not isinstance(file, str) or not isinstance(source, str):
        raise ValueError(f"{str(file)[:80]!r} has a wrong part or source")
    if size_wh is not None:
        size_wh = (_count(size_wh[0]), _count(size_wh[1]))
    name = file.rpartition("/")[2]
    if file != (image_file(part, safe_name(name)) if size_wh else instances_file(part)):
        raise ValueError(f"{file[:80]!r} is no place for a file of a subset")
    length, sha256, checked_by = record["bytes"], record["sha256"], record["checked_by"]
    if checked_by not in _CHECKS or (length is None) != (sha256 is None):
        raise ValueError(f"{file} is described half")
    if sha256 is not None and not is_sha256(sha256):
        raise ValueError(f"{file} has no proper sha256")
    return Entry(file, part, source, size_wh, None if length is None else _count(length), sha256, checked_by)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return value
