"""What became of a frame's tiles where not all of them run, and of what is told about many frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np

from yolotrt.arrays import Bits
from yolotrt.artifacts.fields import Count
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.choosing import Chosen


@dataclass(frozen=True)
class TileUse:
    """How tiles were chosen in many frames.

    Attributes:
        bound: Frames after which every tile has been looked at again: a new object is looked at by then at
            the latest.
        waited: The longest that a tile has waited, frames; never more than the bound.
        tiles: Tiles of a frame.
        frames: Frames that were chosen for.
        run: Tiles that were looked at, of all frames together.
        all: Frames in which all tiles were.
        reasons: Tiles that were looked at, by reason; see :mod:`yolotrt.pipeline.choosing`.
        carried: Detections that were carried from an earlier frame, of all frames together.
    """

    bound: Count
    waited: Count
    tiles: Count
    frames: Count
    run: Count
    all: Count
    reasons: dict[str, int]
    carried: Count

    @property
    def on_average(self) -> float:
        """Tiles that a frame ran on average."""
        return self.run / max(self.frames, 1)


@dataclass(frozen=True)
class FrameTiles:
    """How the tiles of one frame were chosen.

    Attributes:
        chosen: Which were looked at, and why.
        find_carried: Finds :attr:`carried`; most applications do not ask.
        bound: Frames after which every tile is looked at again.
    """

    chosen: Chosen
    find_carried: Callable[[], Bits]
    bound: int

    @cached_property
    def carried(self) -> Bits:
        """(n,) which of the frame's detections no tile and no pass looked at in this frame."""
        return self.find_carried()


@dataclass
class UseTally:
    """Counts frame by frame, for one thread or several."""

    _bound: int = 0
    _frames: int = 0
    _run: int = 0
    _all: int = 0
    _tiles: int = 0
    _waited: int = 0
    _carried: int = 0
    _reasons: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def add(self, seen: FrameTiles) -> None:
        """Count a frame."""
        with self._lock:
            self._bound = max(self._bound, seen.bound)
            self._frames += 1
            self._run += len(seen.chosen.reasons)
            self._all += seen.chosen.all
            self._tiles = max(self._tiles, seen.chosen.tiles)
            self._waited = max(self._waited, seen.chosen.waited)
            self._carried += int(seen.carried.sum())
            self._reasons.update(seen.chosen.reasons.values())

    def include(self, use: TileUse) -> None:
        """Count frames that were counted elsewhere."""
        with self._lock:
            self._bound = max(self._bound, use.bound)
            self._frames += use.frames
            self._run += use.run
            self._all += use.all
            self._tiles = max(self._tiles, use.tiles)
            self._waited = max(self._waited, use.waited)
            self._carried += use.carried
            self._reasons.update(use.reasons)

    def report(self) -> TileUse | None:
        """Return everything so far; None without a frame."""
        if not self._frames:
            return None
        return TileUse(
            self._bound,
            self._waited,
            self._tiles,
            self._frames,
            self._run,
            self._all,
            dict(self._reasons.most_common()),
            self._carried,
        )


def carried_of(found: Detections, grid: TileGrid, chosen: Chosen, global_pass: Detections | None) -> Bits:
    """Return which detections (n,) nothing looked at in this frame.

    Those whose centre no tile shows that ran, unless they are the global pass's own.
    """
    if chosen.all or not len(found):
        return np.zeros(len(found), np.bool_)
    low = np.array([grid.origins[tile] for tile in chosen.reasons], np.float32).reshape(-1, 1, 2)
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    inside = (low <= centre) & (centre <= low + np.array(grid.content_wh, np.float32))
    carried: Bits = np.logical_not(np.all(inside, axis=2).any(axis=0))
    if global_pass is not None and len(global_pass):
        own: Bits = np.all(found.boxes[:, None] == global_pass.boxes[None], axis=2)
        own &= found.classes[:, None] == global_pass.classes[None]
        carried &= np.logical_not(own.any(axis=1))
    return carried
