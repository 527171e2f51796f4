"""A file that is still arriving, and what is needed to continue it safely.

Beside ``NAME.part`` lies ``NAME.mark``, which says where the bytes come from and which version of the
remote file they belong to. Without a matching mark the bytes are thrown away: a file is never put
together from two versions or two servers.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import mapped_os_errors

_MARK_LIMIT = 8192
_MANY = 256 << 10
"""A killed process leaves this many bytes to start again with, at most."""


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

    @contextlib.contextmanager
    def appending(self, origin: dict[str, Any], expected: int | None) -> Iterator[Callable[[bytes], int]]:
        """Collect more bytes with the function that is given; it returns how many there are in all.

        What they belong to is noted once there are many, or when the block ends without all of them. A
        small file that arrives at once, as nearly all do, costs one open, one write and one close.

        Args:
            origin: The remote file and its version; the mark of the bytes.
            expected: How many bytes there will be in all, if it is known.
        """
        size = self.size
        noted = size > 0
        if not noted:
            self.discard()

        def append(chunk: bytes) -> int:
            nonlocal size, noted
            stream.write(chunk)
            size += len(chunk)
            if not noted and size >= _MANY:
                self._mark.write_text(json.dumps(origin))
                noted = True
            return size

        with self.path.open("ab", buffering=_MANY) as stream:
            try:
                yield append
            finally:
                if not noted and size != expected:
                    self._mark.write_text(json.dumps(origin))

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
        with contextlib.suppress(FileNotFoundError):
            self._mark.unlink()
