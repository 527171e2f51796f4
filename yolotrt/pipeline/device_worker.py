"""Run one GPU's share of frames of one size."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from yolotrt.cuda.device import Event, Graph, PinnedBuffer, Scope, Stream
from yolotrt.cuda.driver import DeviceLost
from yolotrt.errors import UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device_dispatch import DeviceDispatch, Job, new_device_dispatcher
from yolotrt.pipeline.device_passes import DevicePass, PassSlot
from yolotrt.pipeline.device_share import FrameBuffer, Gpu, Lanes, Share, cut_tiles, letterbox
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import Span

_INTERVALS = (
    ("upload", "frame", "upload_begin", "upload_end"),
    ("prepare_batch", "tiles", "begin", "prepared"),
    ("decode", "tiles", "inferred", "decoded"),
    ("tiles", "tiles", "begin", "decoded"),
    ("global", "global", "whole_begin", "whole_end"),
    ("end_to_end", "frame", "upload_begin", "end"),
)
"""Device spans: stage, scope, and the marks where it begins and ends. Each group has an ``enqueue`` besides:
on the device that is what the host's ``enqueue`` started, inference."""


@dataclass
class Slot:
    """One frame in flight.

    Attributes:
        frame: Its pixels.
        tiles: The tiled pass, if this GPU has tiles.
        whole: The pass over the whole frame, if this GPU runs it.
        uploaded: Reached when the frame is on the device.
        done: Reached when all results are on the host.
        marks: Timing events by name; empty unless device times are measured.
        scope: Owns the results and the graph, which are replaced when masks need more room.
        graph: The frame's whole work, in ``graph`` dispatch.
    """

    frame: FrameBuffer
    tiles: PassSlot | None
    whole: PassSlot | None
    uploaded: Event
    done: Event
    marks: dict[str, Event]
    scope: Scope
    graph: Graph | None = field(default=None)


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
        self._mode = _dispatch(gpu, settings)
        device = gpu.device
        self.device, self._gpu, self._grid = device, gpu, grid
        self._share, self._settings = share, settings
        self.group_bytes = 0
        self._slots: list[Slot] = []
        self._lanes = Lanes()
        device.bind()
        self._scope = device.scope()
        self._main, self._upload = self._scope.stream(), self._scope.stream()
        self._beside = bool(share.groups) and share.whole and settings.global_order == "concurrent"
        jobs = len(share.groups) + self._beside
        self._dispatcher = new_device_dispatcher(self._mode, device, self._scope, max(jobs, 1))
        self._tiles: DevicePass | None = None
        self._whole: DevicePass | None = None
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
        self._mark(self._slots[index], "upload_begin", self._upload)

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
        self._mark(slot, "upload_end", self._upload)
        self._upload.record(slot.uploaded)
        self._main.wait(slot.uploaded)
        self._start(slot)

    def wait(self, index: int) -> None:
        """Wait on the host until a slot's frame is done."""
        self.device.bind()
        self.device.wait(self._slots[index].done)

    def read(self, index: int) -> tuple[Sequence[Detections], Detections | None]:
        """Return what a slot's frame held, once it is done.

        Returns:
            Detections of each of this GPU's tiles, and those of the whole frame if it ran that pass, all
            in px of the frame.

        Raises:
            ExecutionError: An output of the engine is broken.
        """
        slot = self._slots[index]
        self.device.bind()
        while any(p.results.missing_words for p in (slot.tiles, slot.whole) if p):
            self._enlarge(slot)
        tiles = slot.tiles.owner.read(slot.tiles) if slot.tiles else []
        whole = slot.whole.owner.read(slot.whole)[0] if slot.whole else None
        return tiles, whole

    def device_spans(self, index: int, begin_ns: int) -> list[Span]:
        """Return the device's spans of a frame that is done; none unless they are measured.

        Args:
            index: The slot.
            begin_ns: Host clock at which to put the first of them: the two clocks have no common zero.
        """
        marks = self._slots[index].marks
        if not marks:
            return []
        self.device.bind()
        absent = {scope for scope, owner in (("tiles", self._tiles), ("global", self._whole)) if not owner}
        zero = marks["upload_begin"]

        def span(stage: str, group: int | None, scope: str, begin: str, end: str) -> Span:
            first, last = (int(self.device.seconds(zero, marks[mark]) * 1e9) for mark in (begin, end))
            return Span(stage, group, begin_ns + first, begin_ns + last, scope, "device")

        number = self._share.first_group
        return [
            *(span(stage, None, scope, a, b) for stage, scope, a, b in _INTERVALS if scope not in absent),
            *(
                span("enqueue", number + part, "tiles", *_group_marks(part))
                for part in range(len(self._share.groups))
            ),
        ]

    def close(self) -> None:
        """Free everything, after what is still running; the device and the engine stay."""
        self.device.bind()
        with contextlib.suppress(DeviceLost):
            self._upload.synchronize()
            self._main.synchronize()
            for stream in self._dispatcher.streams:
                stream.synchronize()
        self._dispatcher.close()
        for owner in (self._tiles, self._whole):
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
        if self._share.whole:
            placement = Letterbox.fit(grid.frame_wh, self._gpu.for_whole.file.spec.input_wh)
            self._whole = DevicePass(
                self.device,
                self._scope,
                self._gpu.for_whole,
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
            self._whole.warm_up([beside])

    def _new_slot(self, pinned: PinnedBuffer | None) -> Slot:
        scope = self.device.scope()
        try:
            return self._slot(scope, FrameBuffer(self._scope, self._grid.frame_wh, pinned))
        except BaseException:
            scope.close()
            raise

    def _slot(self, scope: Scope, frame: FrameBuffer) -> Slot:
        bgr, tiles, whole = self._settings.bgr, None, None
        if self._tiles:
            cut = cut_tiles(
                self.device,
                self._scope,
                frame,
                self._grid,
                self._share.tiles,
                self._tiles.buffers,
                bgr=bgr,
            )
            tiles = self._tiles.slot(scope, cut)
        if self._whole:
            fit = letterbox(self.device, frame, self._whole.placement, self._whole.buffers, bgr=bgr)
            whole = self._whole.slot(scope, fit)
        names = {mark for _, _, *pair in _INTERVALS for mark in pair}
        names |= {mark for part in range(len(self._share.groups)) for mark in _group_marks(part)}
        marks = {name: self._scope.event(timing=True) for name in names if self._settings.measure}
        return Slot(frame, tiles, whole, self._scope.event(), self._scope.event(), marks, scope)

    def _rehearse(self, slot: Slot) -> None:
        """Run a slot once, and capture it if frames are to be graphs."""
        slot.frame.upload(self._main)
        self._enqueue(slot)
        self._main.synchronize()
        if self._mode == "graph":
            slot.graph = slot.scope.capture(self._main, lambda: self._enqueue(slot))

    def _start(self, slot: Slot) -> None:
        if slot.graph is not None:
            slot.graph.launch(self._main)
        else:
            self._enqueue(slot)
        self._main.record(slot.done)

    def _enqueue(self, slot: Slot) -> None:
        """Enqueue a frame's work: what a graph captures, and what the other modes do each time."""
        main = self._main
        self._mark(slot, "begin", main)
        if slot.tiles:
            slot.tiles.prepare(main)
            self._mark(slot, "prepared", main)
            jobs = [self._infer(slot, slot.tiles.owner, part) for part in range(len(self._share.groups))]
            if self._beside:
                jobs.append(lambda stream: self._enqueue_whole(slot, stream))
            self._dispatcher.enqueue(jobs, main)
            self._mark(slot, "inferred", main)
            slot.tiles.decode.enqueue(main)
            self._mark(slot, "decoded", main)
        if slot.whole and not self._beside:
            self._enqueue_whole(slot, main)
        self._mark(slot, "end", main)

    def _enqueue_whole(self, slot: Slot, stream: Stream) -> None:
        assert slot.whole is not None
        self._mark(slot, "whole_begin", stream)
        slot.whole.prepare(stream)
        slot.whole.owner.infer(0, stream)
        slot.whole.decode.enqueue(stream)
        self._mark(slot, "whole_end", stream)

    def _infer(self, slot: Slot, owner: DevicePass, part: int) -> Job:
        begin, end = _group_marks(part)

        def job(stream: Stream) -> None:
            self._mark(slot, begin, stream)
            owner.infer(part, stream)
            self._mark(slot, end, stream)

        return job

    def _mark(self, slot: Slot, name: str, stream: Stream) -> None:
        if slot.marks:
            stream.record(slot.marks[name], readable=True)

    def _enlarge(self, slot: Slot) -> None:
        """Give a slot's masks the room that they turned out to need, and run its frame again."""
        self._main.synchronize()
        old, slot.scope, slot.graph = slot.scope, self.device.scope(), None
        slot.tiles = slot.tiles and slot.tiles.owner.enlarge(slot.tiles, slot.scope)
        slot.whole = slot.whole and slot.whole.owner.enlarge(slot.whole, slot.scope)
        old.close()
        self._rehearse(slot)
        self._main.synchronize()


def _group_marks(part: int) -> tuple[str, str]:
    """Return the names of the marks around a group's inference."""
    return f"group {part} begin", f"group {part} end"


def _dispatch(gpu: Gpu, settings: PipelineSettings) -> DeviceDispatch:
    """Return how groups run on a GPU.

    Raises:
        UsageError: Graphs are asked for and cannot be captured here.
    """
    if settings.dispatch != "auto" and settings.dispatch != "graph":
        return settings.dispatch
    stubborn = [e for e in (gpu.engine, gpu.for_whole) if not e.capturable]
    if settings.dispatch == "auto":
        return "graph" if gpu.device.captures and not stubborn else "streams"
    if stubborn:
        raise UsageError(
            f"{stubborn[0].file.path.name} cannot be captured in a CUDA graph.",
            hint="Use --dispatch streams.",
        )
    return "graph"
