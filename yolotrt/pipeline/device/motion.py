"""Watches for motion on the GPU, in the frame that lies there; see :mod:`yolotrt.pipeline.motion`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

from yolotrt.arrays import F32, Frame
from yolotrt.cuda.device import Buffer, Device, Launch, Scope, Stream
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.thumbnail import CELL, cells_of
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.decode import THREADS
from yolotrt.pipeline.motion import (
    FIRST_NOISE,
    HIDES,
    LEARN,
    MOST_SAMPLES,
    TIMES_NOISE,
    Motion,
    MotionJudge,
    TileSigns,
    sample_step,
    spans_of,
)

SIGNS = 8
"""Numbers for each tile, as in motion.cu."""

_BLOCKS_OF_A_TILE = 8


@dataclass(frozen=True)
class Rows:
    """Some rows of a frame: those with ``first <= y % every < first + count``."""

    every: int = 1
    first: int = 0
    count: int = 1

    @property
    def all(self) -> bool:
        """Whether it is all of them."""
        return self.count == self.every

    def parts(self, frame: Frame, count: int) -> list[Frame]:
        """Return these rows of a frame in about so many parts: (n, count, w, 3) views, and the rest."""
        whole = len(frame) // self.every
        bounds = [whole * i // count * self.every for i in range(count + 1)]
        strides = frame.strides[0] * self.every, *frame.strides
        found = [
            as_strided(
                frame[a + self.first :], ((b - a) // self.every, self.count, *frame.shape[1:]), strides
            )
            for a, b in pairwise(bounds)
            if b > a
        ]
        rest = frame[bounds[-1] + self.first : bounds[-1] + self.first + self.count]
        return [*found, rest] if len(rest) else found

    @classmethod
    def looked_at(cls, placement: Letterbox | None) -> Rows:
        """Return the rows that a letterboxed frame is made of, if they are few and each cell has some.

        Args:
            placement: The letterbox; None without one, where every second row will do.
        """
        if placement is None:
            return cls(2, 0, 1)
        high, small = placement.image_wh[1], placement.resized_wh[1]
        every = high // small
        if high % small or not 3 <= every <= CELL:
            return cls()
        even = every % 2 == 0  # an odd number of rows has one in its middle
        return cls(every, every // 2 - even, 1 + even)


class DeviceMotion:
    """What is known of one camera's frames, on the GPU.

    Args:
        device: The GPU.
        scope: Owns the memory.
        grid: The tiles.
        frame: Address of the frame on the GPU.
        rows: Which of its rows are there when it is looked at.
    """

    def __init__(self, device: Device, scope: Scope, grid: TileGrid, frame: int, rows: Rows) -> None:
        width, height = grid.frame_wh
        columns, lines = max(-(-width // CELL), 1), max(-(-height // CELL), 1)
        spans = spans_of(cells_of(grid))
        sizes = spans[:, 2] * spans[:, 3]
        table = np.column_stack([spans, [sample_step((high, wide)) for *_, wide, high in spans.tolist()]])
        self._sizes, self._pitch = sizes, int(sizes.max())
        self._tiles, self._judge = len(spans), MotionJudge()
        self._device, self._columns = device, columns
        self._spans = scope.constant(table.astype(np.int32))
        last, still, before, noise, limit, steps, seen, gain, frames = (
            scope.constant(np.full(count, value, dtype))
            for count, value, dtype in (
                (2 * columns * lines, 0, np.float32), (columns * lines, 0, np.float32),
                (columns * lines, 0, np.float32), (columns * lines, FIRST_NOISE, np.float32),
                (columns * lines, 0, np.float32), (columns * lines, 0, np.float32),
                (self._tiles * self._pitch, 0, np.float32), (1, 1, np.float32), (1, 0, np.int32),
            )
        )  # fmt: skip
        self._still, self._seen = still, seen
        self._least, self._signs = scope.pinned(4), scope.pinned(self._tiles * SIGNS * 4)
        self._peaks, self._counted = scope.pinned(self._tiles * 4), scope.event()
        blocks = (-(-columns * lines // THREADS), 1, 1)
        self._thumbnail = device.launch(
            "motion", "thumbnail", grid=blocks, block=(THREADS, 1, 1), defines={},
            arguments=[
                ("pointer", frame), ("int", width), ("int", height), ("int", rows.every), ("int", rows.first),
                ("int", rows.count), ("int", columns), ("int", lines), ("pointer", last.address),
                ("pointer", still.address), ("pointer", before.address), ("pointer", noise.address),
                ("float", TIMES_NOISE), ("pointer", limit.address), ("pointer", frames.address),
            ],
        )  # fmt: skip
        self._watch = device.launch(
            "motion", "watch", grid=(self._tiles, 1, 1), block=(MOST_SAMPLES, 1, 1), defines={},
            arguments=[
                ("pointer", still.address), ("pointer", before.address), ("pointer", limit.address),
                ("pointer", seen.address), ("int", self._pitch), ("pointer", self._spans.address),
                ("int", columns), ("int", lines), ("pointer", self._least.address), ("float", HIDES),
                ("int", sample_step((lines, columns))), ("pointer", gain.address),
                ("pointer", self._signs.address),
            ],
        )  # fmt: skip
        self._learn = device.launch(
            "motion", "learn", grid=blocks, block=(THREADS, 1, 1), defines={},
            arguments=[
                ("pointer", still.address), ("pointer", before.address), ("pointer", noise.address),
                ("pointer", steps.address), ("pointer", gain.address), ("int", columns), ("int", lines),
                ("float", LEARN), ("pointer", frames.address),
            ],
        )  # fmt: skip
        self._find_peaks = device.launch(
            "motion", "peaks", grid=(self._tiles, 1, 1), block=(MOST_SAMPLES, 1, 1), defines={},
            arguments=[
                ("pointer", steps.address), ("int", columns), ("pointer", self._spans.address),
                ("pointer", self._peaks.address),
            ],
        )  # fmt: skip

    def look(self, stream: Stream) -> None:
        """Start counting what has changed, in a frame whose rows are there."""
        self._least.array.view(np.float32)[0] = self._judge.least
        self._thumbnail(stream)
        self._watch(stream)
        stream.record(self._counted)

    def learn(self, stream: Stream) -> None:
        """Start learning from the frame; the next one must not be looked at before it has ended."""
        self._learn(stream)
        self._find_peaks(stream)

    def wait(self) -> Motion:
        """Wait for the counts and return what they say; the weather is that of the frame before."""
        self._device.wait(self._counted)
        found: F32 = self._signs.array.view(np.float32).reshape(self._tiles, SIGNS)
        changed, blind = found[:, 0].astype(np.int64), found[:, 1].astype(np.int64)
        return self._judge.motion(
            TileSigns(
                changed, blind, self._sizes, self._peaks.array.view(np.float32).copy(), found[:, 3:].copy()
            )
        )

    def remember(self, tiles: Buffer, count: int) -> Launch:
        """Return what remembers how tiles look.

        Args:
            tiles: Which, (count,) int32 on the GPU.
            count: How many.
        """
        return self._device.launch(
            "motion", "remember", grid=(_BLOCKS_OF_A_TILE, count, 1), block=(THREADS, 1, 1), defines={},
            arguments=[
                ("pointer", self._still.address), ("int", self._columns), ("pointer", self._spans.address),
                ("pointer", tiles.address), ("int", self._pitch), ("pointer", self._seen.address),
            ],
        )  # fmt: skip
