"""Run one GPU's share of frames of one size."""

from __future__ import annotations

import contextlib

import numpy as np

from yolotrt.cuda.device import PinnedBuffer, Scope, Stream
from yolotrt.cuda.driver import DeviceLost
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.dispatch import chosen_dispatch, new_device_dispatcher
from yolotrt.pipeline.device.found import ShareFound
from yolotrt.pipeline.device.merge import DeviceMerger
from yolotrt.pipeline.device.passes import DevicePass
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, Lanes, Share, cut_tiles, letterbox
from yolotrt.pipeline.device.slots import Slot, mark_names
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
    ) -> None:
        self._mode = chosen_dispatch(settings.dispatch, gpu)
        device = gpu.device
        self.device, self._gpu, self._grid = device, gpu, grid
        self._share, self._settings = share, settings
        self.group_bytes = 0
        self._slots: list[Slot] = []
        self._lanes = Lanes()
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
            self._make_passes()
            for index in range(settings.depth):
                self._slots.append(self._new_slot(pinned[index] if pinned else None))
                self._rehearse(self._slots[-1])
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The frames in flight: their memory, and what is run on them."""
        return tuple(self._slots)

    def begin_upload(self, index: int) -> None:
        """Mark where a slot's frame begins, if device times are measured."""
        self.device.bind()
        self._slots[index].mark("upload_begin", self._upload)

    def upload(self, index: int, first: int, end: int) -> None:
        """Start the upload of some rows of a slot's page-locked memory.

        Beside the graph, not in it: so it overlaps the copies of the rows that are still to come, and with
        two frames in flight the computation of the frame before.
        """
        self.device.bind()
        self._slots[index].frame.upload(self._upload, first, end)

    def submit(self, index: int) -> None:
        """Start the work on a slot's frame behind its upload.

        Raises:
            ExecutionError: The engine refused the work.
        """
        slot = self._slots[index]
        self.device.bind()
        slot.mark("upload_end", self._upload)
        self._upload.record(slot.uploaded)
        self._main.wait(slot.uploaded)
        if slot.graph is not None:
            slot.graph.launch(self._main)
        else:
            self._enqueue(slot)
        self._main.record(slot.done)

    def wait(self, index: int) -> None:
        """Wait on the host until a slot's frame is done."""
        self.device.bind()
        self.device.wait(self._slots[index].done)

    def read(self, index: int) -> ShareFound:
        """Return what a slot's frame held, once it is done.

        Raises:
            ExecutionError: An output of the engine is broken.
        """
        slot = self._slots[index]
        self.device.bind()
        while any(p.results.missing_words for p in slot.passes):
            self._enlarge(slot)
        drawn = [p.results.masks() for p in slot.passes]
        bits = np.concatenate(drawn)  # one copy of both, since the masks of objects come from both
        first = len(drawn[0]) if slot.tiles else 0
        tiles = slot.tiles.owner.read(slot.tiles, bits[:first]) if slot.tiles else None
        global_pass = (
            slot.global_pass.owner.read(slot.global_pass, bits[first:]) if slot.global_pass else None
        )
        masks = bits if self._settings.decode.masks else None
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
        with contextlib.suppress(DeviceLost):
            self._upload.synchronize()
            self._main.synchronize()
            for stream in self._dispatcher.streams:
                stream.synchronize()
        self._dispatcher.close()
        for owner in (self._tiles, self._global_pass):
            if owner is not None:
                owner.close()
        self._lanes.give_back()
        while self._slots:
            self._slots.pop().scope.close()
        self._scope.close()

    def _make_passes(self) -> None:
        settings, grid = self._settings, self._grid
        if self._share.groups:
            origins = [grid.origins[t] for t in self._share.tiles]
            self._tiles = DevicePass(
                self.device,
                self._scope,
                self._gpu.engine,
                grid.placement,
                self._share.groups,
                origins,
                settings.decode,
                self._lanes,
                shared=self._mode == "serial",
            )
            streams = [self._dispatcher.stream_of(g, self._main) for g in range(len(self._share.groups))]
            self.group_bytes = self._tiles.warm_up(streams)
        if self._share.runs_global:
            placement = Letterbox.fit(grid.frame_wh, self._gpu.for_global.file.spec.input_wh)
            self._global_pass = DevicePass(
                self.device,
                self._scope,
                self._gpu.for_global,
                placement,
                [range(1)],
                [(0, 0)],
                settings.decode,
                self._lanes,
                shared=False,
            )
            beside = (
                self._dispatcher.stream_of(len(self._share.groups), self._main)
                if self._beside
                else self._main
            )
            self._global_pass.warm_up([beside])
        if self._tiles and self._merges():
            self._merger = DeviceMerger(
                self.device,
                self._scope,
                grid,
                self._tiles.decoder,
                self._global_pass.decoder if self._global_pass else None,
                settings.merge,
                masks=settings.decode.masks,
            )

    def _merges(self) -> bool:
        """Whether this GPU sees all that is merged, in a way that it can merge."""
        share, settings = self._share, self._settings
        alone = share.tiles == range(len(self._grid.origins)) and share.runs_global == (
            "global" in settings.mode
        )
        return alone and METHODS[settings.merge.method].on_gpu

    def _new_slot(self, pinned: PinnedBuffer | None) -> Slot:
        scope = self.device.scope()
        try:
            return self._slot(scope, FrameBuffer(self._scope, self._grid.frame_wh, pinned))
        except BaseException:
            scope.close()
            raise

    def _slot(self, scope: Scope, frame: FrameBuffer) -> Slot:
        bgr, tiles, global_pass = self._settings.bgr, None, None
        if self._tiles:
            cut = cut_tiles(
                self.device, self._scope, frame, self._grid, self._share.tiles, self._tiles.buffers, bgr=bgr
            )
            tiles = self._tiles.slot(scope, cut)
        if self._global_pass:
            fit = letterbox(
                self.device, frame, self._global_pass.placement, self._global_pass.buffers, bgr=bgr
            )
            global_pass = self._global_pass.slot(scope, fit)
        groups = range(self._share.first_group, self._share.first_group + len(self._share.groups))
        events = self._scope.event(), self._scope.event()
        slot = Slot(frame, tiles, global_pass, None, *events, groups, scope)
        if self._settings.measure:
            slot.marks = {name: self._scope.event(timing=True) for name in mark_names(groups)}
        self._set_merge(slot)
        return slot

    def _set_merge(self, slot: Slot) -> None:
        """Let merging read the slot's results."""
        if self._merger:
            slot.merge = self._merger.into(slot.scope, [p.results for p in slot.passes])

    def _rehearse(self, slot: Slot) -> None:
        """Run a slot once, and capture it if frames are to be graphs."""
        slot.frame.upload(self._main)
        self._enqueue(slot)
        self._main.synchronize()
        if self._mode == "graph":
            slot.graph = slot.scope.capture(self._main, lambda: self._enqueue(slot))

    def _enqueue(self, slot: Slot) -> None:
        """Enqueue a frame's work: what a graph captures, and what the other modes do each time."""
        main = self._main
        slot.mark("begin", main)
        if slot.tiles:
            slot.tiles.prepare(main)
            slot.mark("prepared", main)
            jobs = [slot.inference(slot.tiles, part) for part in range(len(self._share.groups))]
            if self._beside:
                jobs.append(lambda stream: self._enqueue_global(slot, stream))
            self._dispatcher.enqueue(jobs, main)
            slot.mark("inferred", main)
            slot.tiles.decode.enqueue(main)
            slot.mark("decoded", main)
        if slot.global_pass and not self._beside:
            self._enqueue_global(slot, main)
        slot.mark("merging", main)
        if slot.merge:
            slot.merge.enqueue(main)
        slot.mark("end", main)

    def _enqueue_global(self, slot: Slot, stream: Stream) -> None:
        assert slot.global_pass is not None
        slot.mark("global_begin", stream)
        slot.global_pass.prepare(stream)
        slot.global_pass.owner.infer(0, stream)
        slot.global_pass.decode.enqueue(stream)
        slot.mark("global_end", stream)

    def _enlarge(self, slot: Slot) -> None:
        """Give a slot's masks the room that they turned out to need, and run its frame again."""
        self._main.synchronize()
        old, slot.scope, slot.graph = slot.scope, self.device.scope(), None
        slot.tiles = slot.tiles and slot.tiles.owner.enlarge(slot.tiles, slot.scope)
        slot.global_pass = slot.global_pass and slot.global_pass.owner.enlarge(slot.global_pass, slot.scope)
        self._set_merge(slot)
        old.close()
        self._rehearse(slot)
        self._main.synchronize()
