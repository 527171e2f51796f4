"""The files of a subset while they arrive, saved now and then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolotrt.data.coco.manifest import Entry, Manifest, write_manifest
from yolotrt.data.coco.plan import Plan
from yolotrt.timing.trace import now

_PATIENCE_NS = 5_000_000_000
"""Time between two saves. What a killed process did not save only has to be checked again."""


class Ledger:
    """Keeps the manifest on disk close to the truth while a download runs.

    Args:
        folder: The subset's folder.
        draft: The manifest without its files.
        wanted: Every file the subset will have, in its order.
        plan: What is known of them, and which earlier files are still there.
    """

    def __init__(self, folder: Path, draft: Manifest, wanted: Sequence[Entry], plan: Plan) -> None:
        self._folder = folder
        self._draft = draft
        self._wanted = {entry.file: entry for entry in wanted}
        self._wanted.update((entry.file, entry) for entry in plan.keep)
        self._wanted.update((move.entry.file, move.entry) for move in plan.moves)
        self._stale = plan.stale
        self._saved = now()

    def record(self, entry: Entry) -> None:
        """Note a file that has arrived; every so often, save."""
        self._wanted[entry.file] = entry
        if now() - self._saved > _PATIENCE_NS:
            self.save()

    def save(self) -> None:
        """Write the manifest of an unfinished subset: its own files and the earlier ones.

        Raises:
            StorageError: It cannot be written.
        """
        self._write(complete=False, files=(*self._wanted.values(), *self._stale))

    def finish(self) -> Manifest:
        """Write the manifest of the complete subset and return it.

        Raises:
            StorageError: It cannot be written.
        """
        return self._write(complete=True, files=tuple(self._wanted.values()))

    def _write(self, *, complete: bool, files: tuple[Entry, ...]) -> Manifest:
        self._saved = now()
        draft = self._draft
        manifest = Manifest(draft.request, draft.source, draft.annotations_sha256, complete, files)
        write_manifest(self._folder, manifest)
        return manifest
