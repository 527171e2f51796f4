"""Bring images from a source into a folder, several at a time; only checked ones get their final name.

Images get their name by a rename, so a killed process leaves a whole file or none. They are not flushed to
disk one by one, which takes longer than fetching them; what a power cut damages, the next run and
``--verify`` find by its SHA-256.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.files import mapped_os_errors
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.data.coco.check import Proof, checked_by, image_problem
from yolotrt.data.coco.layout import MAX_IMAGE
from yolotrt.data.coco.manifest import Entry
from yolotrt.data.coco.source import TRIES, CocoSource
from yolotrt.data.fetch.partial import Partial
from yolotrt.data.fetch.pool import in_parallel
from yolotrt.data.fetch.response import TransferFailed, Why
from yolotrt.errors import InputError
from yolotrt.timing.trace import now

_REPORT_NS = 100_000_000


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
        why: As in :class:`yolotrt.data.fetch.response.TransferFailed`.
        reason: A sentence for the user.
    """

    entry: Entry
    why: Why
    reason: str


Event = Arrived | Missing | int
"""A number is bytes that arrived, or (negative) bytes that were thrown away."""


def bring_images(
    source: CocoSource,
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
        entries: The images; folders for them are made.
        proofs: Sizes and checksums, as far as they are known.
        connections: How many at the same time.
        stop: Calls the transfer off.

    Raises:
        StorageError: An image cannot be written; the transfer is over.
    """
    for parent in sorted({(folder / entry.file).parent for entry in entries}):
        with mapped_os_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)

    def one(entry: Entry, emit: Callable[[Event], None]) -> None:
        partial = Partial(work / f"{entry.name}.part")
        meter = _Meter(emit)
        meter.moved(partial.size)
        try:
            outcome = _bring(source, folder / entry.file, entry, proofs.get(entry.name), partial, meter.moved)
        except TransferFailed as exc:
            outcome = Missing(entry, exc.why, exc.message)
        except InputError as exc:
            outcome = Missing(entry, "refused", exc.message)
        meter.flush()
        emit(outcome)

    return in_parallel(entries, one, connections, stop)


class _Meter:
    """Reports bytes ten times a second at most: each report costs a change of threads."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._count = 0
        self._reported = now()

    def moved(self, count: int) -> None:
        self._count += count
        if now() - self._reported > _REPORT_NS:
            self.flush()

    def flush(self) -> None:
        if self._count:
            self._emit(self._count)
        self._count, self._reported = 0, now()


def _bring(
    source: CocoSource,
    target: Path,
    entry: Entry,
    proof: Proof | None,
    partial: Partial,
    moved: Callable[[int], None],
) -> Arrived | Missing:
    assert entry.size_wh is not None
    problem: str | None = None
    for _ in range(TRIES if source.remote else 1):
        md5 = source.image(entry.name, proof.size if proof else MAX_IMAGE, partial, moved)
        data = partial.path.read_bytes()
        problem = image_problem(data, entry.size_wh, proof, md5)
        if problem is None:
            partial.settle(target)
            return Arrived(entry.arrived(len(data), sha256_bytes(data), checked_by(proof, md5)))
        moved(-partial.size)
        partial.discard()
    return Missing(entry, "broken", f"{source.url(entry.name)} is damaged: {problem}.")
