"""A camera on one GPU of which only chosen tiles are looked at.

First come the rows that the letterboxed frame is made of; from them a kernel tells which tiles have changed,
and the host chooses. Then the global pass starts, and the pixels of the chosen tiles follow. What those give
takes its place among what all tiles gave when they were last looked at; all is decoded and merged as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.cuda.device import Launch, Stream
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.chosen import ChosenRun, ChosenTiles, OneLane, TileTable, fetch_rows, fetch_tiles
from yolotrt.pipeline.device.dispatch import Job
from yolotrt.pipeline.device.found import FrameFound
from yolotrt.pipeline.device.jobs import FramePart
from yolotrt.pipeline.device.motion import DeviceMotion, Rows
from yolotrt.pipeline.device.settling import DeviceSettling
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, Share
from yolotrt.pipeline.device.staging import Staging
from yolotrt.pipeline.device.worker import DeviceWorker
from yolotrt.pipeline.motion import Motion
from yolotrt.pipeline.settings import PipelineSettings

_VECTOR = 16
"""Bytes that the kernels copy at once; rows of other lengths are uploaded as a whole."""

_LANE = 2
"""Lane of the chosen tiles' contexts: the first two may belong to all tiles and to the global pass."""

_SLOT = 0


class ChoosingWorker(DeviceWorker):
    """One GPU with everything for all tiles of a frame, and for some of them.

    Args:
        gpu: The GPU and its engines.
        grid: The tiles.
        settings: How frames are run.
        staging: Copies frames into page-locked memory.
    """

    def __init__(self, gpu: Gpu, grid: TileGrid, settings: PipelineSettings, staging: Staging) -> None:
        share = Share(tuple(settings.tile_groups(grid)), runs_global="global" in settings.mode)
        super().__init__(gpu, grid, share, replace(settings, measure=False), [])
        self._staging = staging
        self._runs: dict[int, ChosenRun] = {}
        self._remember_all: Launch
        try:
            self._prepare_choosing()
        except BaseException:
            self.close()
            raise

    @property
    def frame(self) -> FrameBuffer:
        """The frame, on the host and on the GPU."""
        frame = self._slots[_SLOT].frame
        assert isinstance(frame, FrameBuffer), "pictures are uploaded"
        return frame

    def look(self, frame: Frame) -> None:
        """Upload the rows that tell what has changed, and start counting it."""
        self.device.bind()
        self._upload.wait(self._learned)
        if not self._is_there(frame):
            rows, count = self._rows_seen, self._staging.threads
            self._staging.copy_parts(
                list(zip(rows.parts(self.frame.array, count), rows.parts(frame, count), strict=True))
            )
        if self._fetch_rows is None:
            self.frame.upload(self._upload)
        else:
            self._fetch_rows(self._upload)
        self._upload.record(self._seen)
        self._motion.look(self._upload)

    def arrived(self) -> None:
        """Wait until the rows are there that tell."""
        self.device.wait(self._seen)

    def motion(self) -> Motion:
        """Wait for what has changed."""
        return self._motion.wait()

    def start_all(self, frame: Frame) -> None:
        """Start all tiles of the frame."""
        self.begin(_SLOT)
        self._staging.run(frame, self.frame.array, self.bounds, partial(self.upload, _SLOT))
        self._remember_all(self._upload)
        self.submit(_SLOT)

    def start(self, frame: Frame, tiles: Sequence[int]) -> None:
        """Start some tiles of the frame, whose other rows are there."""
        run = self._runs.get(len(tiles))
        new = run is None
        run = run or self._new_run(len(tiles))
        beside = [part for part in self._jobs[_SLOT].parts if part.lane == len(self._share.groups)]
        high = self._grid.frame_wh[1]
        self.begin(_SLOT)
        self._waiting = list(
            enumerate([*(replace(part, rows=1) for part in beside), FramePart(0, high, run.job)])
        )
        self.upload(_SLOT, high, 1)  # the global pass, if it runs beside the tiles: its rows are there
        run.tiles.table.say(tiles, self._corners)
        if self._fetch_rows is not None and not self._is_there(frame):
            wide, tall = self._grid.tile_wh
            places = [
                (slice(y, y + tall), slice(x, x + wide))
                for x, y in map(self._grid.origins.__getitem__, tiles)
            ]
            self._staging.copy_parts([(self.frame.array[place], frame[place]) for place in places])
        self.upload(_SLOT, high, high)
        self.submit(_SLOT)
        if new and self.mode == "graph":
            self.main.synchronize()
            run.job = self._scope.capture(self._lane, partial(run.work, self._lane)).launch

    def drawn(self) -> None:
        """Wait until all masks are there; what only the next frame needs comes behind them."""
        self._learn(self.main)
        self.main.record(self._learned)
        self.wait(_SLOT)

    def told(self) -> tuple[list[int], list[int]]:
        """Return the tiles where something came, went or moved, and those with news of the global pass."""
        return self._settling.wait()

    def found(self, frame: Frame) -> tuple[FrameFound, bool]:
        """Return what all tiles showed when they were looked at; and whether all had to be looked at now."""
        short = any(one.results.missing_words for one in self._slots[_SLOT].passes)
        if short:  # the frame runs again, as a whole, when masks have more room
            self._staging.run(frame, self.frame.array, [len(frame)], lambda _first, _end: None)
            self._remember_all(self._upload)
        return FrameFound([self.read(_SLOT)]), short

    def close(self) -> None:
        """Free everything."""
        self.device.bind()
        self.main.synchronize()
        for run in getattr(self, "_runs", {}).values():
            run.tiles.close()
        super().close()

    def _prepare_choosing(self) -> None:
        placement = self._global_pass.placement if self._global_pass else None
        uneven = self._grid.frame_wh[0] * 3 % _VECTOR
        self._rows_seen = rows = Rows() if uneven else Rows.looked_at(placement)
        self._same_lane = OneLane(_LANE)
        self._lane, self._seen = self._dispatcher.stream_of(0, self.main), self._scope.event()
        self._motion = DeviceMotion(self.device, self._scope, self._grid, self.frame.device.address, rows)
        self._fetch_rows = (
            None if rows.all else fetch_rows(self.device, self.frame, rows.every, rows.first, rows.count)
        )
        self._corners = np.array(self._grid.origins, np.int32)
        count = len(self._corners)
        every = TileTable.make(self._scope, count)
        every.say(range(count), self._corners)
        every.upload(self._upload)
        self._upload.synchronize()
        self._remember_all = self._motion.remember(every.tiles, count)
        assert self._tiles is not None, "tiles are chosen"
        whole = self._global_pass.decoder if self._global_pass else None
        self._settling = DeviceSettling(
            self.device, self._scope, self._grid, every.corners, self._tiles.decoder, whole
        )
        self._learned = self._scope.event()
        self._learn: Job = self._learning

    def _learning(self, stream: Stream) -> None:
        """Start what only the next frame needs."""
        self._settling.start(stream)
        self._motion.learn(stream)

    def _new_run(self, count: int) -> ChosenRun:
        assert self._tiles is not None, "tiles are chosen"
        chosen = ChosenTiles(
            self._gpu, self._scope, self._grid, self.frame, self._tiles, count, self._same_lane,
            self._settings, self._lane,
        )  # fmt: skip
        remember = self._motion.remember(chosen.table.tiles, count)
        there = self._rows_seen
        fetch = fetch_tiles(
            self.device, self.frame, self._grid, chosen.table, there.every, there.first, there.count
        )

        def work(stream: Stream) -> None:
            chosen.table.upload(stream)
            if self._fetch_rows is not None:
                fetch(stream)
            chosen.run(stream)
            tiles = self._slots[_SLOT].tiles
            assert tiles is not None, "tiles are chosen"
            for part in range(len(self._share.groups)):
                tiles.decode.find(part, stream)
            remember(stream)

        self._runs[count] = run = ChosenRun(chosen, work, work)
        return run

    def _is_there(self, frame: Frame) -> bool:
        """Whether a frame lies in the page-locked memory already."""
        into = self.frame.array
        return frame.ctypes.data == into.ctypes.data and frame.strides == into.strides
