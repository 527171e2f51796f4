"""Where a tile's pixels are no longer those that the network saw, whatever light, noise and weather do.

Each tile is held against what it looked like when it was *last looked at*, not against the frame before:
what creeps adds up until it shows. Light that changes for a whole tile is divided out. Of the last three
thumbnails the median is taken, cell by cell: a streak of rain is gone, and an object shows one frame later.

The threshold is learned. How much each cell varies from frame to frame by itself is noise, or a tree; slowly
enough that a passing object hardly counts. What half of all tiles reach at their strongest cell is weather,
and no object. Where the threshold gets so high that it would hide an object of little contrast, a cell is
*blind*; a tile with blind cells cannot be judged, and is looked at. A camera has moved if most tiles have
shifted alike (:mod:`yolotrt.pipeline.shifts`).

A GPU does the same with each cell (``kernels/motion.cu``); what it counts is judged here, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from yolotrt.arrays import F32, I64, Bits
from yolotrt.geometry.thumbnail import CellSpan, cells_of
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.shifts import camera_moved, slopes

LEAST_CHANGE = 5.0
"""Grey levels by which a cell must differ, however calm it is."""

TIMES_NOISE = 4.0
"""The same as a multiple of how much the cell varies by itself (mean absolute difference of two frames)."""

TIMES_WEATHER = 1.25
"""The same as a multiple of the strongest change in the median tile: one of many exceeds that by chance."""

HIDES = 32.0
"""Threshold, grey levels, above which a cell is blind: objects of less contrast would pass unseen."""

BLIND_PART = 0.01
"""Part of a tile's cells that may be blind."""

CHANGED_CELLS = 1
"""Cells that must have changed. Specks last for one frame, and are gone from the median of three."""

CAMERA_PART = 0.25
"""Part of the tiles that a moving camera changes at least: a large object may look like a shift, too."""

LEARN = 0.08
"""How fast the variation of a cell is learned, a frame; the weather twice as fast."""

FIRST_NOISE = 1.5
LIGHT = 4.0
"""Added to both brightnesses before their ratio says how the light changed: black says nothing."""

MOST_SAMPLES = 512
"""Cells from which the change of light is told: as many as a block of the GPU's kernel has threads."""

_SAMPLES = 400


@dataclass(frozen=True)
class Motion:
    """What can be told of each tile.

    Attributes:
        changed: (tiles,) where pixels differ from those that were looked at.
        blind: (tiles,) where the scene's own unrest would hide an object.
        camera: Whether the camera has moved since the tiles were looked at.
    """

    changed: Bits
    blind: Bits
    camera: bool


@dataclass(frozen=True)
class TileSigns:
    """What was counted in each tile of a frame.

    Attributes:
        changed: (tiles,) cells that differ by more than their threshold; all of them where nothing was seen.
        blind: (tiles,) cells whose threshold is too high.
        cells: (tiles,) cells there are.
        peak: (tiles,) strongest change since the frame before, grey levels.
        slopes: (tiles, 5); see :func:`yolotrt.pipeline.shifts.slopes`.
    """

    changed: I64
    blind: I64
    cells: I64
    peak: F32
    slopes: F32


class MotionJudge:
    """Says what the counts of each frame mean, and learns the weather from them."""

    def __init__(self) -> None:
        self._weather = 0.0

    @property
    def least(self) -> float:
        """The least threshold of the next frame's cells, grey levels."""
        return max(LEAST_CHANGE, TIMES_WEATHER * self._weather)

    def motion(self, signs: TileSigns) -> Motion:
        """Return what a frame's counts say."""
        changed: Bits = signs.changed >= CHANGED_CELLS
        blind: Bits = signs.blind > BLIND_PART * signs.cells
        count = len(changed)
        middle = np.sort(signs.peak)[(count - 1) // 2] if count else 0.0
        self._weather += LEARN * 2 * (float(middle) - self._weather)
        many = np.count_nonzero(changed) >= CAMERA_PART * count
        return Motion(changed, blind, bool(many) and camera_moved(signs.slopes, signs.cells))


class MotionWatch:
    """Watches the thumbnails of one camera's frames.

    Args:
        grid: The tiles.
    """

    def __init__(self, grid: TileGrid) -> None:
        self._cells = cells_of(grid)
        self._seen: list[F32 | None] = [None] * len(self._cells)
        self._last: list[F32] = []
        self._still: F32 | None = None
        self._noise: F32 | None = None
        self._judge = MotionJudge()

    def look(self, small: F32) -> Motion:
        """Compare a frame's thumbnail with what each tile was last looked at with, and learn its noise."""
        self._last = [*self._last[-2:], small]
        still, before = median_of(self._last), self._still
        if self._noise is None or before is None:
            self._noise, before = np.full_like(small, FIRST_NOISE), still
        signs = self._signs(still, before, self._noise)
        self._still = still
        return self._judge.motion(signs)

    def looked_at(self, tiles: Sequence[int]) -> None:
        """Remember what the network sees in these tiles of the frame."""
        assert self._still is not None, "a frame is looked at first"
        for tile in tiles:
            self._seen[tile] = self._still[self._cells[tile]]

    def _signs(self, still: F32, before: F32, noise: F32) -> TileSigns:
        step = np.abs(difference(still, before)[0])
        limit = cv2.dilate(noise, np.ones((3, 3), np.uint8)) * np.float32(TIMES_NOISE)
        limit = np.maximum(limit, np.float32(self._judge.least))
        count = len(self._cells)
        changed, blind, sizes = (np.zeros(count, np.int64) for _ in range(3))
        shifts = np.zeros((count, 5), np.float32)
        for tile, (cells, seen) in enumerate(zip(self._cells, self._seen, strict=True)):
            mine = limit[cells]
            sizes[tile] = changed[tile] = mine.size
            blind[tile] = np.count_nonzero(mine > HIDES)
            if seen is not None:
                off, gain = difference(still[cells], seen)
                changed[tile] = np.count_nonzero(np.abs(off) > mine)
                shifts[tile] = slopes(still[cells], seen, gain)
        peak = np.array([step[cells].max() for cells in self._cells], np.float32)
        # A passing object counts as three times the usual: its cells are calm again soon after it has left.
        np.minimum(step, 3 * noise + 1, out=step)
        noise += np.float32(LEARN) * (step - noise)
        return TileSigns(changed, blind, sizes, peak, shifts)


def median_of(last: Sequence[F32]) -> F32:
    """Return the median of the last three thumbnails, cell by cell; of fewer the newest."""
    if len(last) < 3:
        return last[-1]
    a, b, c = last
    still: F32 = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return still


def difference(now: F32, then: F32) -> tuple[F32, np.float32]:
    """Return the grey levels that light does not explain, averaged over 2x2 cells, and the gain of light."""
    by = sample_step(now.shape)
    gain = np.float32(
        np.median((now[::by, ::by] + np.float32(LIGHT)) / (then[::by, ::by] + np.float32(LIGHT)))
    )
    off: F32 = cv2.blur(now - then * gain, (2, 2))
    return off, gain


def sample_step(shape: tuple[int, ...]) -> int:
    """Return which cells of an area tell how its light changed: every so many along both sides."""
    rows, columns = shape
    step = max(1, round(math.sqrt(rows * columns / _SAMPLES)))
    while -(-rows // step) * -(-columns // step) > MOST_SAMPLES:
        step += 1
    return step


def spans_of(cells: Sequence[CellSpan]) -> I64:
    """Return the cells of each tile as numbers: (tiles, 4) first column, first row, columns, rows."""
    return np.array(
        [[x.start, y.start, x.stop - x.start, y.stop - y.start] for y, x in cells], np.int64
    ).reshape(-1, 4)
