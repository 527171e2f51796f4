"""Run one GPU's share of frames of one size."""

from __future__ import annotations

import contextlib

import numpy as np

from yolotrt.cuda.device import PinnedBuffer, Scope
from yolotrt.cuda.driver import DeviceLost
from yolotrt.data.colours import Colours
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.dispatch import chosen_dispatch, new_device_dispatcher
from yolotrt.pipeline.device.found import ShareFound
from yolotrt.pipeline.device.jobs import FrameJobs, FramePart, jobs_of
from yolotrt.pipeline.device.merge import DeviceMerger
from yolotrt.pipeline.device.pass_input import PassInput, global_input, tiles_input
from yolotrt.pipeline.device.passes import DevicePass
from yolotrt.pipeline.device.reuse import ReusedMemory
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, Lanes, Share
from yolotrt.pipeline.device.slots import Slot, mark_names
from yolotrt.pipeline.device.yuv import YuvBuffer, reads
from yolotrt.pipeline.merge_methods import METHODS
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import Span


class DeviceWorker:
    """Contexts, memory and streams of one GPU for frames of one size.

    Args:
        gpu: The GPU and the engines on it.
        grid: Where the tiles lie.
        share: What this GPU does.
        settings: How.
        pinned: Page-locked frames to use, one per frame in flight; empty makes its own.
        colours: Of frames that a decoder leaves on the GPU; None for pictures that are uploaded.

    Attributes:
        group_bytes: Device memory that the first group's context took, bytes.

    Raises:
        UsageError: Graphs are asked for and cannot be captured here.
        OutOfDeviceMemory: It does not fit; the message says what would.
    """

    def __init__(
        self,
        gpu: Gpu,
        grid: TileGrid,
        share: Share,
        settings: PipelineSettings,
        pinned: list[PinnedBuffer],
        colours: Colours | None = None,
    ) -> None:
        self._mode = chosen_dispatch(settings.dispatch, gpu)
        device = gpu.device
        self.device, self._gpu, self._grid = device, gpu, grid
        self._share, self._settings = share, settings
        self.group_bytes = 0
        self._slots: list[Slot] = []
        self._jobs: list[FrameJobs] = []
        self._waiting: list[tuple[int, FramePart]] = []
        self._lanes = Lanes()
        self._memory = ReusedMemory()
        device.bind()
        self._scope = device.scope()
        self._main, self._upload = self._scope.stream(), self._scope.stream()
        self._beside = bool(share.groups) and share.runs_global and settings.global_order == "concurrent"
        jobs = len(share.groups) + self._beside
        self._dispatcher = new_device_dispatcher(self._mode, device, self._scope, max(jobs, 1))
        self._tiles: DevicePass | None = None
        self._global_pass: DevicePass | None = None
        self._merger: DeviceMerger | None = None
        try:
            frames = [self._new_frame(colours, pinned[i : i + 1]) for i in range(settings.depth)]
            self._make_passes(frames[0])
            for index, frame in enumerate(frames):
                self._slots.append(self._new_slot(frame))
                self._rehearse(index)
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The frames in flight: their memory, and what is run on them."""
        return tuple(self._slots)

    @property
    def bounds(self) -> list[int]:
        """Rows of the frame behind which work can start, in order; the last are all of them."""
        return sorted({self._grid.frame_wh[1], *(part.rows for part in self._jobs[0].parts)})

    def begin(self, index: int) -> None:
        """Begin a slot's frame: its work comes after that of frames before."""
        self.device.bind()
        self._slots[index].mark("upload_begin", self._upload)
        self._dispatcher.fork(self._main)
        self._waiting = list(enumerate(self._jobs[index].parts))

    def upload(self, index: int, first: int, end: int) -> None:
        """Start the upload of some rows of a slot's page-locked memory, and the jobs that need no more.

        Beside the graphs, not in them: so it overlaps the copies of the rows that are still to come, the
        computation of tiles that are there, and with two frames in flight that of the frame before.

        Raises:
            ExecutionError: The engine refused the work.
        """
        self.device.bind()
        slot = self._slots[index]
        slot.frame.upload(self._upload, first, end)
        ready = [entry for entry in self._waiting if entry[1].rows <= end]
        for number, part in ready:
            self._upload.record(slot.arrived[number])
            self._dispatcher.start(part.lane, part.job, self._main, slot.arrived[number])
        self._waiting = [entry for entry in self._waiting if entry not in ready]

    def submit(self, index: int) -> None:
        """Start what comes after all jobs of a slot's frame, which is uploaded.

        Raises:
            ExecutionError: The engine refused the work.
        """
        slot = self._slots[index]
        self.device.bind()
        slot.mark("upload_end", self._upload)
        self._dispatcher.join(self._main)
        self._upload.record(slot.arrived[-1])
        self._main.wait(slot.arrived[-1])
        jobs = self._jobs[index]
        jobs.draw(self._main)
        self._main.record(slot.drawn)
        if jobs.merge is not None:
            jobs.merge(self._main)
        self._main.record(slot.done)

    def wait(self, index: int) -> None:
        """Wait on the host until all masks of a slot's frame are there; merging may still be on its way."""
        self.device.bind()
        self.device.wait(self._slots[index].drawn)

    def read(self, index: int) -> ShareFound:
        """Return what a slot's frame held, when :meth:`wait` has returned.

        Raises:
            ExecutionError: An output of the engine is broken.
        """
        slot = self._slots[index]
        self.device.bind()
        while any(p.results.missing_words for p in slot.passes):
            self._enlarge(index)
        drawn = [p.results.masks() for p in slot.passes]
        # One copy of both, since the masks of objects come from both.
        bits = np.concatenate(drawn, out=self._memory.take(sum(map(len, drawn))))
        first = len(drawn[0]) if slot.tiles else 0
        tiles = slot.tiles.read(bits[:first]) if slot.tiles else None
        global_pass = slot.global_pass.read(bits[first:]) if slot.global_pass else None
        masks = bits if self._settings.decode.masks else None
        self.device.wait(slot.done)
        return ShareFound(tiles, global_pass, slot.merge.read(masks) if slot.merge else None)

    def device_spans(self, index: int, begin_ns: int) -> list[Span]:
        """Return the device's spans of a frame that is done; none unless they are measured.

        Args:
            index: The slot.
            begin_ns: Host clock at which to put the first of them: the two clocks have no common zero.
        """
        self.device.bind()
        return self._slots[index].spans(self.device, begin_ns)

    def close(self) -> None:
        """Free everything, after what is still running; the device and the engine stay."""
        self.device.bind()
        self._dispatcher.close()
        with contextlib.suppress(DeviceLost):
            self._upload.synchronize()
            self._main.synchronize()
            for stream in self._dispatcher.streams:
                stream.synchronize()
        for owner in (self._tiles, self._global_pass):
            if owner is not None:
                owner.close()
        self._lanes.give_back()
        while self._slots:
            self._slots.pop().scope.close()
        self._scope.close()

    def _new_frame(self, colours: Colours | None, pinned: list[PinnedBuffer]) -> FrameBuffer | YuvBuffer:
        wh = self._grid.frame_wh
        return YuvBuffer(self._scope, wh, colours) if colours else FrameBuffer(self._scope, wh, *pinned)

    def _make_passes(self, frame: FrameBuffer | YuvBuffer) -> None:
        settings, grid = self._settings, self._grid
        if self._share.groups:
            origins = [grid.origins[t] for t in self._share.tiles]
            self._tiles = DevicePass(
                self.device, self._scope, self._gpu.engine, grid.placement, self._share.groups, origins,
                settings.decode, self._lanes, shared=self._mode == "serial",
            )  # fmt: skip
            streams = [self._dispatcher.stream_of(g, self._main) for g in range(len(self._share.groups))]
            source = self._tiles_input(frame, self._tiles).source
            self.group_bytes = self._tiles.warm_up(streams, source)
        if self._share.runs_global:
            placement = Letterbox.fit(grid.frame_wh, self._gpu.for_global.file.spec.input_wh)
            self._global_pass = DevicePass(
                self.device, self._scope, self._gpu.for_global, placement, [range(1)], [(0, 0)],
                settings.decode, self._lanes, shared=False,
            )  # fmt: skip
            beside = (
                self._dispatcher.stream_of(len(self._share.groups), self._main)
                if self._beside
                else self._main
            )
            self._global_pass.warm_up([beside], self._global_input(frame, self._global_pass).source)
        if self._tiles and self._merges():
            self._merger = DeviceMerger(
                self.device, self._scope, grid, self._tiles.decoder,
                self._global_pass.decoder if self._global_pass else None, settings.merge,
                masks=settings.decode.masks,
            )  # fmt: skip

    def _merges(self) -> bool:
        """Whether this GPU sees all that is merged, in a way that it can merge."""
        share, settings = self._share, self._settings
        alone = share.tiles == range(len(self._grid.origins)) and share.runs_global == (
            "global" in settings.mode
        )
        return alone and METHODS[settings.merge.method].on_gpu

    def _new_slot(self, frame: FrameBuffer | YuvBuffer) -> Slot:
        scope = self.device.scope()
        try:
            return self._slot(scope, frame)
        except BaseException:
            scope.close()
            raise

    def _slot(self, scope: Scope, frame: FrameBuffer | YuvBuffer) -> Slot:
        tiles = global_pass = None
        if self._tiles:
            tiles = self._tiles.slot(scope, self._tiles_input(frame, self._tiles))
        if self._global_pass:
            global_pass = self._global_pass.slot(scope, self._global_input(frame, self._global_pass))
        groups = range(self._share.first_group, self._share.first_group + len(self._share.groups))
        events = self._scope.event(), self._scope.event()
        slot = Slot(frame, tiles, global_pass, None, [], *events, groups, scope)
        if self._settings.measure:
            slot.marks = {name: self._scope.event(timing=True) for name in mark_names(groups)}
        self._set_merge(slot)
        return slot

    def _tiles_input(self, frame: FrameBuffer | YuvBuffer, tiles: DevicePass) -> PassInput:
        return tiles_input(
            self.device, self._scope, frame, self._grid, self._share.groups, tiles.buffers,
            bgr=self._settings.bgr, reads=reads(self._gpu.engine, frame),
        )  # fmt: skip

    def _global_input(self, frame: FrameBuffer | YuvBuffer, global_pass: DevicePass) -> PassInput:
        return global_input(
            self.device, self._scope, frame, global_pass.placement, global_pass.buffers,
            bgr=self._settings.bgr, reads=reads(self._gpu.for_global, frame),
        )  # fmt: skip

    def _set_merge(self, slot: Slot) -> None:
        """Let merging read the slot's results."""
        if self._merger:
            slot.merge = self._merger.into(slot.scope, [p.results for p in slot.passes])

    def _rehearse(self, index: int) -> None:
        """Run a slot's work once, and capture it if frames are to be graphs."""
        slot = self._slots[index]
        ahead = self._mode != "threads"  # which would not keep the order of a group's parts
        jobs = jobs_of(slot, self._share, self._grid, beside=self._beside, ahead=ahead)
        slot.arrived = [slot.scope.event() for _ in range(len(jobs.parts) + 1)]
        self._jobs[index : index + 1] = [jobs]
        self.begin(index)
        self.upload(index, 0, self._grid.frame_wh[1])
        self.submit(index)
        self._main.synchronize()
        if self._mode == "graph":
            self._jobs[index] = jobs.captured(slot.scope, self._dispatcher, self._main)

    def _enlarge(self, index: int) -> None:
        """Give a slot's masks the room that they turned out to need, and run its frame again."""
        slot = self._slots[index]
        self._main.synchronize()
        old, slot.scope = slot.scope, self.device.scope()
        slot.tiles = slot.tiles and slot.tiles.enlarged(slot.scope)
        slot.global_pass = slot.global_pass and slot.global_pass.enlarged(slot.scope)
        self._set_merge(slot)
        old.close()
        self._rehearse(index)
