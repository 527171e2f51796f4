"""Where a tile's pixels are no longer those that the network saw, whatever light and noise do.

Each tile is held against the thumbnail of the frame in which it was *last looked at*, not against the frame
before: what creeps adds up until it shows. Light that changes for a whole tile is divided out.

The threshold is learned. How much each cell varies from frame to frame by itself is noise, or a tree; slowly
enough that a passing object hardly counts. What half of all tiles reach at their strongest cell is weather,
and no object. Where the threshold gets so high that it would hide an object of little contrast, a cell is
*blind*; a tile with blind cells cannot be judged, and is looked at. A camera that moves shows by phase
correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from yolotrt.arrays import F32, Bits
from yolotrt.geometry.thumbnail import cells_of
from yolotrt.geometry.tiles import TileGrid

LEAST_CHANGE = 7.0
"""Grey levels by which a cell must differ, however calm it is."""

TIMES_NOISE = 4.0
"""The same as a multiple of how much the cell varies by itself (mean absolute difference of two frames)."""

TIMES_WEATHER = 1.5
"""The same as a multiple of the strongest change in the median tile: one of many exceeds that by chance."""

HIDES = 32.0
"""Threshold, grey levels, above which a cell is blind: objects of less contrast would pass unseen."""

BLIND_PART = 0.01
"""Part of a tile's cells that may be blind."""

CHANGED_CELLS = 2
"""Cells that must have changed: fewer are a speck."""

CAMERA_PART = 0.25
"""Part of the tiles that a moving camera changes at least: a large object may look like a shift, too."""

MOVES = 0.15
"""Cells by which the whole picture must have shifted for the camera to have moved: 1.2 px."""

_SURE = 0.08
"""Response of the phase correlation below which a shift means nothing: no texture, or a cut."""

_LEARN = 0.08
"""How fast the variation of a cell is learned, a frame."""

_FIRST_NOISE = 1.5
_SAMPLE = 5
"""Every so many cells along both sides are looked at to find how the light changed."""


@dataclass(frozen=True)
class Motion:
    """What can be told of each tile.

    Attributes:
        changed: (tiles,) where pixels differ from those that were looked at.
        blind: (tiles,) where the scene's own unrest would hide an object.
        camera: Whether the camera has moved since all tiles were looked at.
    """

    changed: Bits
    blind: Bits
    camera: bool


class MotionWatch:
    """Watches the thumbnails of one camera's frames.

    Args:
        grid: The tiles.
    """

    def __init__(self, grid: TileGrid) -> None:
        self._cells = cells_of(grid)
        self._seen: list[F32 | None] = [None] * len(self._cells)
        self._before: F32 | None = None
        self._anchor: F32 | None = None
        self._noise: F32 | None = None
        self._weather = 0.0

    def look(self, small: F32) -> Motion:
        """Compare a frame's thumbnail with what each tile was last looked at with, and learn its noise."""
        if self._before is None or self._noise is None:
            self._noise = np.full_like(small, _FIRST_NOISE)
        else:
            self._learn(small, self._before, self._noise)
        self._before = small
        limit = cv2.dilate(self._noise, np.ones((3, 3), np.uint8)) * np.float32(TIMES_NOISE)
        limit = np.maximum(limit, np.float32(max(LEAST_CHANGE, TIMES_WEATHER * self._weather)))
        count = len(self._cells)
        changed, blind = np.ones(count, np.bool_), np.zeros(count, np.bool_)
        for tile, (cells, seen) in enumerate(zip(self._cells, self._seen, strict=True)):
            mine = limit[cells]
            blind[tile] = np.count_nonzero(mine > HIDES) > BLIND_PART * mine.size
            if seen is not None:
                off = _difference(small[cells], seen)
                changed[tile] = np.count_nonzero(np.abs(off) > mine) >= CHANGED_CELLS
        many, anchor = bool(changed.sum() >= CAMERA_PART * count), self._anchor
        return Motion(changed, blind, many and anchor is not None and _moved(small, anchor))

    def looked_at(self, tiles: list[int], small: F32) -> None:
        """Remember what the network sees in these tiles."""
        if len(tiles) == len(self._cells):
            self._anchor = small
        for tile in tiles:
            self._seen[tile] = small[self._cells[tile]]

    def _learn(self, small: F32, before: F32, noise: F32) -> None:
        step = np.abs(_difference(small, before))
        peak = float(np.median([step[cells].max() for cells in self._cells]))
        self._weather += _LEARN * 2 * (peak - self._weather)
        # A passing object counts as three times the usual: its cells are calm again soon after it has left.
        np.minimum(step, 3 * noise + 1, out=step)
        noise += np.float32(_LEARN) * (step - noise)


def _difference(now: F32, then: F32) -> F32:
    """Return the difference in grey levels that light does not explain, averaged over 2x2 cells."""
    a, b = now[::_SAMPLE, ::_SAMPLE] + 4, then[::_SAMPLE, ::_SAMPLE] + 4
    gain = np.float32(np.median(a / b))
    off: F32 = cv2.blur(now - then * gain, (2, 2))
    return off


def _moved(now: F32, then: F32) -> bool:
    """Return whether the whole picture has shifted (:func:`cv2.phaseCorrelate`)."""
    high, wide = (_transformable(side) for side in now.shape)
    (dx, dy), response = cv2.phaseCorrelate(now[:high, :wide], then[:high, :wide])
    return response > _SURE and max(abs(dx), abs(dy)) > MOVES


@lru_cache(maxsize=16)
def _transformable(side: int) -> int:
    """Return the largest even length up to ``side`` that needs no padding, which would look like a shift."""
    fits = (n for n in range(side, 1, -1) if n % 2 == 0 and cv2.getOptimalDFTSize(n) == n)
    return next(fits, side)
