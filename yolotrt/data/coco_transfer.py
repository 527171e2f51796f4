"""Bring images from a source into a folder, several at a time; only checked ones get their final name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.files import atomic_target
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.data.coco_check import Proof, checked_by, image_problem
from yolotrt.data.coco_layout import MAX_IMAGE
from yolotrt.data.coco_manifest import Entry
from yolotrt.data.coco_source import Source
from yolotrt.data.fetch_partial import Partial
from yolotrt.data.fetch_pool import in_parallel
from yolotrt.data.fetch_response import TransferFailed, Why
from yolotrt.errors import InputError

_TRIES = 3


@dataclass(frozen=True)
class Arrived:
    """An image is there, checked, under its final name.

    Attributes:
        entry: With its size and hash.
    """

    entry: Entry


@dataclass(frozen=True)
class Missing:
    """An image could not be had.

    Attributes:
        entry: The image.
        why: As in :class:`yolotrt.data.fetch_response.TransferFailed`.
        reason: A sentence for the user.
    """

    entry: Entry
    why: Why
    reason: str


Event = Arrived | Missing | int
"""A number is bytes that arrived, or (negative) bytes that were thrown away."""


def bring_images(
    source: Source,
    folder: Path,
    work: Path,
    entries: Sequence[Entry],
    proofs: Mapping[str, Proof],
    connections: int,
    stop: threading.Event,
) -> Generator[Event, None, None]:
    """Fetch images in parallel; yield bytes and outcomes in the order in which they happen.

    Args:
        source: Where they come from.
        folder: The subset's folder.
        work: Folder for partial files; they stay there when the transfer is called off.
        entries: The images.
        proofs: Sizes and checksums, as far as they are known.
        connections: How many at the same time.
        stop: Calls the transfer off.

    Raises:
        StorageError: An image cannot be written; the transfer is over.
    """

    def one(entry: Entry, emit: Callable[[Event], None]) -> None:
        partial = Partial(work / f"{entry.name}.part")
        emit(partial.size)
        try:
            emit(_bring(source, folder / entry.file, entry, proofs.get(entry.name), partial, emit))
        except TransferFailed as exc:
            emit(Missing(entry, exc.why, exc.message))
        except InputError as exc:
            emit(Missing(entry, "refused", exc.message))

    return in_parallel(entries, one, connections, stop)


def _bring(
    source: Source,
    target: Path,
    entry: Entry,
    proof: Proof | None,
    partial: Partial,
    emit: Callable[[Event], None],
) -> Event:
    assert entry.size_wh is not None
    problem: str | None = None
    for _ in range(_TRIES if source.remote else 1):
        md5 = source.image(entry.name, proof.size if proof else MAX_IMAGE, partial, emit)
        data = partial.path.read_bytes()
        problem = image_problem(data, entry.size_wh, proof, md5)
        if problem is None:
            with atomic_target(target) as temporary:
                partial.settle(temporary)
            return Arrived(entry.arrived(len(data), sha256_bytes(data), checked_by(proof, md5)))
        emit(-partial.size)
        partial.discard()
    return Missing(entry, "broken", f"{source.url(entry.name)} is damaged: {problem}.")
