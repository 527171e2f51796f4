"""Some tiles of a frame on a GPU: what they give takes its place among what all tiles gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import I32
from yolotrt.backends.base import DeviceEngine
from yolotrt.cuda.device import Buffer, Device, Launch, PinnedBuffer, Scope, Stream
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.decode import THREADS
from yolotrt.pipeline.device.dispatch import Job
from yolotrt.pipeline.device.pass_input import PassInput
from yolotrt.pipeline.device.passes import DevicePass
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, Lanes, cut_tiles
from yolotrt.pipeline.device.sources import Tiles
from yolotrt.pipeline.device.yuv import reads
from yolotrt.pipeline.settings import PipelineSettings

_BLOCKS_OF_A_TILE = 32


class OneLane(Lanes):
    """Gives one lane again and again: passes of different numbers of tiles never run at the same time."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def take(self, engine: DeviceEngine) -> int:
        """Return the lane."""
        return self._number


@dataclass(frozen=True)
class TileTable:
    """Which tiles run, on the host and on the GPU: corners (count, 2) int32, then indices (count,) int32."""

    host: PinnedBuffer
    device: Buffer
    count: int

    @classmethod
    def make(cls, scope: Scope, count: int) -> TileTable:
        """Make one for so many tiles."""
        return cls(scope.pinned(12 * count), scope.buffer(12 * count), count)

    @property
    def corners(self) -> Buffer:
        """Upper left corners (x, y), px."""
        return Buffer(self.device.address, 8 * self.count)

    @property
    def tiles(self) -> Buffer:
        """Indices among all tiles."""
        return Buffer(self.device.address + 8 * self.count, 4 * self.count)

    def say(self, tiles: Sequence[int], corners: I32) -> None:
        """Say which of the tiles with these corners (tiles, 2) run, on the host."""
        numbers = self.host.array.view(np.int32)
        numbers[2 * self.count :] = tiles
        numbers[: 2 * self.count] = corners[numbers[2 * self.count :]].ravel()

    def upload(self, stream: Stream) -> None:
        """Start the copy to the GPU."""
        stream.copy(self.device.address, self.host.address, 12 * self.count)


class ChosenTiles:
    """Runs so many tiles of a frame, whichever.

    Args:
        gpu: The GPU and its engine.
        scope: Owns the memory.
        grid: All tiles.
        frame: The frame on the GPU.
        all_tiles: The pass over all of them, whose outputs keep what each tile gave last.
        count: How many.
        lane: Where the engine's contexts are.
        settings: How.
        stream: In which they will run.

    Attributes:
        table: Which run.
    """

    def __init__(
        self,
        gpu: Gpu,
        scope: Scope,
        grid: TileGrid,
        frame: FrameBuffer,
        all_tiles: DevicePass,
        count: int,
        lane: OneLane,
        settings: PipelineSettings,
        stream: Stream,
    ) -> None:
        self.table = TileTable.make(scope, count)
        self._pass = DevicePass(
            gpu.device, scope, gpu.engine, grid.placement, [range(count)], [(0, 0)] * count, settings.decode,
            lane, shared=False,
        )  # fmt: skip
        self._input = self._given(gpu, scope, grid, frame, settings)
        self.table.say([0] * count, np.array(grid.origins[:1], np.int32))
        self.table.upload(stream)
        self._pass.warm_up([stream], self._input.source)
        some, every = self._pass.buffers.outputs, all_tiles.buffers.outputs
        self._spread = [
            spread(gpu.device, some.head, every.head, every.head_type.item_nbytes, self.table),
            spread(
                gpu.device, some.prototypes, every.prototypes, every.prototypes_type.item_nbytes, self.table
            ),
        ]

    def run(self, stream: Stream) -> None:
        """Start them; the search for detections comes behind."""
        for launch in self._input.prepare:
            launch(stream)
        self._pass.infer(0, stream, self._input.source)
        for launch in self._spread:
            launch(stream)

    def close(self) -> None:
        """Let the contexts go."""
        self._pass.close()

    def _given(
        self, gpu: Gpu, scope: Scope, grid: TileGrid, frame: FrameBuffer, settings: PipelineSettings
    ) -> PassInput:
        if reads(gpu.engine, frame):
            return PassInput(Tiles(frame.read_as(bgr=settings.bgr), self.table.corners.address))
        cut = cut_tiles(
            gpu.device, scope, frame, grid, range(self.table.count), self._pass.buffers, bgr=settings.bgr,
            corners=self.table.corners,
        )  # fmt: skip
        return PassInput(None, (cut,))


@dataclass
class ChosenRun:
    """Chosen tiles, and how their work is started.

    Attributes:
        tiles: They.
        work: Enqueues all of it, kernel by kernel.
        job: Starts it: the same, or a graph of it.
    """

    tiles: ChosenTiles
    work: Job
    job: Job


def fetch_tiles(
    device: Device, frame: FrameBuffer, grid: TileGrid, table: TileTable, every: int, first: int, count: int
) -> Launch:
    """Return what copies the pixels of the tiles in a table from the host, but for rows that are there."""
    high, wide, _ = frame.array.shape
    return device.launch(
        "chosen", "fetch_tiles", grid=(_BLOCKS_OF_A_TILE, table.count, 1), block=(THREADS, 1, 1), defines={},
        arguments=[
            ("pointer", frame.pinned.address), ("pointer", frame.device.address), ("int", wide * 3),
            ("int", high), ("pointer", table.corners.address), ("int", grid.tile_wh[0]),
            ("int", grid.tile_wh[1]), ("int", every), ("int", first), ("int", count),
        ],
    )  # fmt: skip


def fetch_rows(device: Device, frame: FrameBuffer, every: int, first: int, count: int) -> Launch:
    """Return what copies some rows of a frame from the host."""
    high, wide, _ = frame.array.shape
    return device.launch(
        "chosen", "fetch_rows", grid=(4 * device.info.multiprocessors, 1, 1), block=(THREADS, 1, 1),
        defines={},
        arguments=[
            ("pointer", frame.pinned.address), ("pointer", frame.device.address), ("int", high),
            ("int", wide * 3), ("int", every), ("int", first), ("int", count),
        ],
    )  # fmt: skip


def spread(device: Device, source: int, target: int, nbytes: int, table: TileTable) -> Launch:
    """Return what puts the bytes of each tile in a table where they belong among those of all tiles."""
    return device.launch(
        "chosen", "spread", grid=(_BLOCKS_OF_A_TILE, table.count, 1), block=(THREADS, 1, 1), defines={},
        arguments=[
            ("pointer", source), ("pointer", target), ("int", nbytes), ("pointer", table.tiles.address),
        ],
    )  # fmt: skip
