"""Run one GPU's share of frames of one size."""

from __future__ import annotations

import contextlib

from yolotrt.cuda.device import PinnedBuffer
from yolotrt.cuda.driver import DeviceLost
from yolotrt.data.colours import Colours
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.dispatch import chosen_dispatch, new_device_dispatcher
from yolotrt.pipeline.device.found import ShareFound
from yolotrt.pipeline.device.jobs import FrameJobs, FramePart, Numbered, jobs_of, rows_of
from yolotrt.pipeline.device.mask_memory import MaskMemory
from yolotrt.pipeline.device.merge import DeviceMerger, merges_alone
from yolotrt.pipeline.device.pass_input import PassInput, global_input, tiles_input
from yolotrt.pipeline.device.passes import DevicePass
from yolotrt.pipeline.device.reuse import LockedMemory, ReusedMemory
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, Lanes, Share
from yolotrt.pipeline.device.slots import Slot, mark_names
from yolotrt.pipeline.device.yuv import YuvBuffer, reads
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import Span

HELD = 4
"""Results that may keep page-locked memory with their masks at once; the masks of others are copied."""


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
        mode: How its groups run.
        main: The stream in which everything begins and ends.
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
        self.mode = chosen_dispatch(settings.dispatch, gpu)
        device = gpu.device
        self.device, self._gpu, self._grid = device, gpu, grid
        self._share, self._settings, self._rows = share, settings, rows_of(share, grid)
        self.group_bytes = 0
        self._slots: list[Slot] = []
        self._jobs: list[FrameJobs] = []
        self._waiting: list[tuple[int, FramePart]] = []
        self._lanes = Lanes()
        self._copies = ReusedMemory()
        self._locked = LockedMemory(device, settings.depth + HELD)
        device.bind()
        self._scope = device.scope()
        self.main, self._upload = self._scope.stream(), self._scope.stream()
        self._beside = bool(share.groups) and share.runs_global and settings.global_order == "concurrent"
        jobs = len(share.groups) + self._beside
        self._dispatcher = new_device_dispatcher(self.mode, device, self._scope, max(jobs, 1))
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
    def jobs(self) -> tuple[FrameJobs, ...]:
        """The work on each of them."""
        return tuple(self._jobs)

    @property
    def bounds(self) -> list[int]:
        """Rows of the frame behind which work can start, in order; the last are all of them."""
        return sorted({self._grid.frame_wh[1], *(part.rows for part in self._jobs[0].parts)})

    def begin(self, index: int) -> None:
        """Begin a slot's frame: its work comes after that of frames before."""
        self.device.bind()
        self._slots[index].mark("upload_begin", self._upload)
        self._dispatcher.fork(self.main)
        self._waiting = list(enumerate(self._jobs[index].parts))

    def upload(self, index: int, first: int, end: int) -> None:
        """Start the upload of some rows of a slot's page-locked memory, and the jobs that need no more.

        Beside the graphs, not in them: so it overlaps copies of rows that are still to come, the computation
        of tiles, and with two frames in flight that of the frame before.
        """
        rows = range(max(first, self._rows.start), min(end, self._rows.stop))
        ready = [entry for entry in self._waiting if entry[1].rows <= end]
        self.copy(index, rows, ready)
        self.launch(index, ready)
        self._waiting = [entry for entry in self._waiting if entry not in ready]

    def copy(self, index: int, rows: range, ready: Numbered) -> None:
        """Start the upload of some rows, behind which :meth:`launch` may start these jobs."""
        self.device.bind()
        slot = self._slots[index]
        if rows:
            slot.frame.upload(self._upload, rows.start, rows.stop)
        for number, _ in ready:
            self._upload.record(slot.arrived[number])

    def launch(self, index: int, ready: Numbered) -> None:
        """Start jobs behind the rows that they need."""
        self.device.bind()
        for number, part in ready:
            self._dispatcher.start(part.lane, part.job, self.main, self._slots[index].arrived[number])

    def submit(self, index: int) -> None:
        """Start what comes after all jobs of a slot's frame, which is uploaded.

        Raises:
            ExecutionError: The engine refused the work.
        """
        slot = self._slots[index]
        self.device.bind()
        slot.mark("upload_end", self._upload)
        self._dispatcher.join(self.main)
        self._upload.record(slot.arrived[-1])
        self.main.wait(slot.arrived[-1])
        jobs = self._jobs[index]
        jobs.draw(self.main)
        self.main.record(slot.drawn)
        if jobs.merge is not None:
            jobs.merge(self.main)
        self.main.record(slot.done)

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
            self.enlarge(index)
        drawn = slot.masks.read()
        tiles = slot.tiles.read(drawn.of(0)) if slot.tiles else None
        global_pass = slot.global_pass.read(drawn.of(-1)) if slot.global_pass else None
        self.device.wait(slot.done)
        masks = drawn if self._settings.decode.masks else None
        return ShareFound(tiles, global_pass, slot.merge.read(masks) if slot.merge else None)

    def run(self, index: int) -> None:
        """Run a slot's frame, which is in page-locked memory, and wait."""
        self.begin(index)
        self.upload(index, 0, self._grid.frame_wh[1])
        self.submit(index)
        self.main.synchronize()

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
            self.main.synchronize()
            for stream in self._dispatcher.streams:
                stream.synchronize()
        for owner in (self._tiles, self._global_pass):
            if owner is not None:
                owner.close()
        self._lanes.give_back()
        while self._slots:
            self._slots.pop().scope.close()
        self._locked.close()
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
                settings.decode, self._lanes, shared=self.mode == "serial",
            )  # fmt: skip
            streams = [self._dispatcher.stream_of(g, self.main) for g in range(len(self._share.groups))]
            source = self._tiles_input(frame, self._tiles).source
            self.group_bytes = self._tiles.warm_up(streams, source)
        if self._share.runs_global:
            placement = Letterbox.fit(grid.frame_wh, self._gpu.for_global.file.spec.input_wh)
            self._global_pass = DevicePass(
                self.device, self._scope, self._gpu.for_global, placement, [range(1)], [(0, 0)],
                settings.decode, self._lanes, shared=False,
            )  # fmt: skip
            beside = (
                self._dispatcher.stream_of(len(self._share.groups), self.main) if self._beside else self.main
            )
            self._global_pass.warm_up([beside], self._global_input(frame, self._global_pass).source)
        if self._tiles and merges_alone(self._share, grid, settings):
            decoders = [p.decoder for p in (self._tiles, self._global_pass) if p]
            self._merger = DeviceMerger(
                self.device, self._scope, grid, decoders, settings.merge,
                conf=settings.decode.conf, masks=settings.decode.masks,
            )  # fmt: skip

    def _new_slot(self, frame: FrameBuffer | YuvBuffer) -> Slot:
        with contextlib.ExitStack() as unless_made:
            unless_made.callback((scope := self.device.scope()).close)
            tiles = global_pass = None
            if self._tiles:
                tiles = self._tiles.slot(scope, self._tiles_input(frame, self._tiles))
            if self._global_pass:
                global_pass = self._global_pass.slot(scope, self._global_input(frame, self._global_pass))
            groups = range(self._share.first_group, self._share.first_group + len(self._share.groups))
            events = self._scope.event(), self._scope.event()
            results = [p.results for p in (tiles, global_pass) if p]
            masks = MaskMemory(self._locked, self._copies, results)
            merge = self._merger.into(scope, results) if self._merger else None
            slot = Slot(frame, tiles, global_pass, masks, merge, [], *events, groups, scope)
            if self._settings.measure:
                slot.marks = {name: self._scope.event(timing=True) for name in mark_names(groups)}
            unless_made.pop_all()
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

    def _rehearse(self, index: int) -> None:
        """Run a slot's work once, and capture it if frames are to be graphs."""
        slot = self._slots[index]
        ahead = self.mode != "threads"  # which would not keep the order of a group's parts
        jobs = jobs_of(slot, self._share, self._grid, beside=self._beside, ahead=ahead)
        slot.arrived = [slot.scope.event() for _ in range(len(jobs.parts) + 1)]
        self._jobs[index : index + 1] = [jobs]
        self.run(index)
        if self.mode == "graph":
            self._jobs[index] = jobs.captured(slot.scope, self._dispatcher, self.main)

    def enlarge(self, index: int) -> None:
        """Give a slot's masks the room that they turned out to need, and run its frame again."""
        slot = self._slots[index]
        self.main.synchronize()
        old, slot.scope = slot.scope, self.device.scope()
        slot.tiles = slot.tiles and slot.tiles.enlarged(slot.scope)
        slot.global_pass = slot.global_pass and slot.global_pass.enlarged(slot.scope)
        slot.masks.close()
        slot.masks = MaskMemory(self._locked, self._copies, slot.results)
        slot.merge = self._merger.into(slot.scope, slot.results) if self._merger else None
        old.close()
        self._rehearse(index)
