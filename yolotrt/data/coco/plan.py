"""What has to be done so that a folder holds a subset: decided here, done elsewhere.

A file that an earlier run recorded is kept if its SHA-256 still agrees. One without a record (the process
died before it could write one) is kept if it passes every check that a fetched image has to. Files move
between the calibration and evaluation parts instead of being fetched again. Only files that a manifest
lists are ever removed; anything else in the image folders is left alone and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.data.coco.check import Proof, checked_by, image_problem
from yolotrt.data.coco.layout import MAX_IMAGE
from yolotrt.data.coco.manifest import SPLITS, Entry, Manifest, image_file
from yolotrt.errors import StorageError


@dataclass(frozen=True)
class Move:
    """A whole image that lies under the path of another part.

    Attributes:
        origin: Where it is, relative to the subset's folder.
        entry: Where it belongs, with its size and hash.
    """

    origin: str
    entry: Entry


@dataclass(frozen=True)
class Plan:
    """The way from what a folder holds to what it should hold.

    Attributes:
        keep: Images that are there and whole, with size and hash.
        adopted: How many of them no earlier run had recorded.
        moves: Images that only lie in the wrong part.
        fetch: Images that are missing or damaged.
        damaged: Files among ``fetch`` that exist, but are not what they should be.
        stale: Entries of earlier files that are no part of the subset, or not any more under that path.
    """

    keep: tuple[Entry, ...]
    adopted: int
    moves: tuple[Move, ...]
    fetch: tuple[Entry, ...]
    damaged: tuple[str, ...]
    stale: tuple[Entry, ...]


def make_plan(
    folder: Path,
    wanted: Sequence[Entry],
    earlier: Manifest | None,
    proofs: Mapping[str, Proof],
    watch: Callable[[int, int], None],
) -> Plan:
    """Compare what a folder holds with what it should hold; nothing is changed.

    Args:
        folder: The subset's folder.
        wanted: The files it should hold, without size and hash; annotation files are not looked at.
        earlier: The manifest that was found in the folder, if any.
        proofs: Sizes and checksums by image name, as far as they are known.
        watch: Told how many of how many images have been looked at.
    """
    images = [entry for entry in wanted if entry.size_wh]
    records = {entry.name: entry for entry in earlier.files if entry.sha256} if earlier else {}
    keep: list[Entry] = []
    moves: list[Move] = []
    fetch: list[Entry] = []
    for index, entry in enumerate(images):
        places = [entry.file, *(image_file(s, entry.name) for s in SPLITS if s != entry.split)]
        for place in places:
            found = _whole(folder / place, entry, records.get(entry.name), proofs.get(entry.name))
            if found:
                break
        if found is None:
            fetch.append(entry)
        elif place == entry.file:
            keep.append(found)
        else:
            moves.append(Move(place, found))
        watch(index + 1, len(images))
    belongs = {entry.file for entry in wanted}
    return Plan(
        keep=tuple(keep),
        adopted=sum(entry.name not in records for entry in keep),
        moves=tuple(moves),
        fetch=tuple(fetch),
        damaged=tuple(entry.file for entry in fetch if (folder / entry.file).exists()),
        stale=tuple(entry for entry in earlier.files if entry.file not in belongs) if earlier else (),
    )


def problem_of(path: Path, entry: Entry, proof: Proof | None = None) -> str | None:
    """Say in which way a file is not what its entry says, or return None.

    Recorded files are compared by length and SHA-256; other images have to pass
    :func:`yolotrt.data.coco.check.image_problem`.
    """
    try:
        if not path.is_file():
            return "it is missing"
        length = path.stat().st_size
        if length != (length if entry.bytes is None else entry.bytes):
            return f"it has {length:,} bytes instead of {entry.bytes:,}"
        if entry.bytes is None and length > MAX_IMAGE:
            return f"it has {length:,} bytes, too many for an image"
        data = path.read_bytes()
    except OSError as exc:
        return f"it cannot be read ({exc.strerror})"
    if entry.sha256 is not None:
        return None if sha256_bytes(data) == entry.sha256 else "its content has changed (SHA-256)"
    return image_problem(data, entry.size_wh, proof) if entry.size_wh else "it was never completed"


def foreign_files(folder: Path, files: Sequence[Entry]) -> tuple[str, ...]:
    """Return files in the image folders that are no part of the subset, sorted."""
    known = {entry.file for entry in files}
    found: list[str] = []
    for split in SPLITS:
        images = folder / image_file(split, "")
        names = sorted(p.name for p in images.iterdir()) if images.is_dir() else []
        found += [image_file(split, name) for name in names if not name.startswith(".")]
    return tuple(file for file in found if file not in known)


def _whole(path: Path, entry: Entry, record: Entry | None, proof: Proof | None) -> Entry | None:
    """Return the entry with length and hash if the file is whole, else None."""
    if record and record.size_wh == entry.size_wh:
        expected = replace(record, file=entry.file, split=entry.split)
        return expected if problem_of(path, expected) is None else None
    if problem_of(path, entry, proof) is not None:
        return None
    data = path.read_bytes()
    return entry.arrived(len(data), sha256_bytes(data), checked_by(proof))


def require_own(folder: Path, earlier: Manifest | None, plan: Plan, annotations: Mapping[str, bytes]) -> None:
    """Refuse to replace files that no manifest lists and that are not what would be written anyway.

    Args:
        folder: The subset's folder.
        earlier: The manifest that was found in it, if any.
        plan: What is to be done.
        annotations: What the annotation files will hold.

    Raises:
        StorageError: There are such.
    """
    listed = {entry.file for entry in earlier.files} if earlier else set()
    foreign = [file for file in plan.damaged if file not in listed]
    for file, data in annotations.items():
        path = folder / file
        if file not in listed and path.is_file() and path.read_bytes() != data:
            foreign.append(file)
    if foreign:
        raise StorageError(
            f"Cannot write to {folder}: it holds files that no download of yolotrt wrote, such as "
            f"{foreign[0]}.",
            hint="Name another folder with --out; or add --overwrite if what is there may be replaced.",
        )
