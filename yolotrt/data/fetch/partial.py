"""A file that is still arriving, and what is needed to continue it safely.

Beside ``NAME.part`` lies ``NAME.mark``, which says where the bytes come from and which version of the
remote file they belong to. Without a matching mark the bytes are thrown away: a file is never put
together from two versions or two servers.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import mapped_os_errors

_MARK_LIMIT = 8192


@dataclass(frozen=True)
class Partial:
    """A transfer's bytes on disk, under a temporary name.

    Attributes:
        path: Where they are collected; its folder must exist.
    """

    path: Path

    @property
    def size(self) -> int:
        """Bytes collected so far."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".mark")

    def begin(self, mark: dict[str, Any]) -> None:
        """Start from nothing, for the version that ``mark`` describes."""
        self.discard()
        self._mark.write_text(json.dumps(mark))

    def mark(self) -> dict[str, Any]:
        """Return what the collected bytes belong to; empty when that is unknown."""
        try:
            with self._mark.open("rb") as stream:
                found = json.loads(stream.read(_MARK_LIMIT))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def discard(self) -> None:
        """Throw away what was collected; the bytes go first, so no mark ever describes foreign ones."""
        for path in (self.path, self._mark):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def settle(self, target: Path) -> None:
        """Give the complete and checked bytes another name, and forget the mark.

        The name changes at once, so a process that dies leaves a whole file or none. Nothing is flushed
        to disk here; whoever has to rely on it after a power cut flushes it.

        Raises:
            StorageError: The file cannot be moved there.
        """
        with mapped_os_errors(target):
            self.path.replace(target)
        self.discard()
