"""Timings of kernels that earlier builds took, by GPU and compiler: a document beside the timing cache.

Builds may run side by side: each adds what it timed to what is in the file by then. No trouble with the file
is worth losing a build; what is no such document is left alone, with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.files import exclusive
from yolotrt.artifacts.kinds import Kind, either
from yolotrt.backends.fused.tiles import Tile
from yolotrt.backends.timings_file import DOCUMENT, KernelTime, KernelTimings
from yolotrt.errors import CacheWarning, StorageError, YoloTrtError
from yolotrt.progress import Say


@dataclass(frozen=True)
class Timed:
    """A tile and how long its kernel takes, microseconds."""

    tile: Tile
    us: float


def _of_first(found: Any) -> Any:
    """Return the document of a file of the first builds, which held nothing but the timings."""
    if isinstance(found, dict) and found and "format" not in found:
        inner = [entry for known in found.values() if isinstance(known, dict) for entry in known.values()]
        if all(isinstance(known, dict) for known in found.values()) and all(
            isinstance(entry, dict) and entry.keys() == {"tile", "us"} for entry in inner
        ):
            return {"format": DOCUMENT.format, "version": DOCUMENT.version, "timings": found}
    return found


def _is_of_first(path: Path) -> bool:
    try:
        return DOCUMENT.is_in(_of_first(read_json(path)))
    except YoloTrtError:
        return False


KIND = either(DOCUMENT.kind, Kind(DOCUMENT.what, _is_of_first))


def timings_beside(cache: Path) -> Path:
    """Return where the timings are for what ``--timing-cache`` names."""
    return cache.with_suffix(".fused.json")


class Timings:
    """Timings of one GPU and compiler.

    Args:
        path: The file; None keeps nothing.
        owner: What identifies GPU and compiler.
    """

    def __init__(self, path: Path | None, owner: str) -> None:
        self._path, self._owner = path, owner
        self._known = dict(self._read(_warn).get(owner, {}))
        self._added: dict[str, KernelTime] = {}

    def get(self, key: str) -> Timed | None:
        """Return the fastest tile that was found before."""
        found = self._known.get(key)
        try:
            return None if found is None else Timed(Tile(**found.tile), found.us)  # type: ignore[arg-type]
        except TypeError:  # a tile of another version
            return None

    def put(self, key: str, timed: Timed) -> None:
        """Remember the fastest tile."""
        self._known[key] = self._added[key] = KernelTime(timed.tile.as_dict(), timed.us)

    def write(self) -> None:
        """Add what was timed to what is in the file by now."""
        if self._path is None or not self._added:
            return
        try:
            with exclusive(self._path, _warn):
                require_own(self._path, KIND)
                known = self._read(lambda _: None)
                mine = {**known.get(self._owner, {}), **self._added}
                DOCUMENT.write(self._path, KernelTimings({**known, self._owner: mine}))
        except StorageError as exc:
            _warn(f"The timings of this build are not kept: {exc.message}")

    def _read(self, warn: Say) -> Mapping[str, dict[str, KernelTime]]:
        """Return all timings; none where the file is missing, damaged, or something else."""
        if self._path is None or not self._path.is_file():
            return {}
        try:
            return DOCUMENT.parse(self._path, _of_first(read_json(self._path))).timings
        except YoloTrtError as exc:
            warn(f"The timings of earlier builds are not used: {exc.message}")
            return {}


def _warn(message: str) -> None:
    warnings.warn(CacheWarning(message), stacklevel=3)
