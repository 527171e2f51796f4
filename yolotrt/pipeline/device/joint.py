"""Merging on one GPU what several have found in a frame.

The last of them, which never has more tiles than the others, brings the results of the others to itself and
merges all; see kernels/gather.cu. It waits for them on the GPU, not on the host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from yolotrt.cuda.device import Event, Scope, Stream
from yolotrt.cuda.driver import DeviceLost
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.found import ShareFound
from yolotrt.pipeline.device.gather import DrawnCopy, FarPass, FoundCopy, gathering
from yolotrt.pipeline.device.mask_memory import MaskMemory
from yolotrt.pipeline.device.merge import DeviceMerger, DrawnHere, FoundHere, MergeWork
from yolotrt.pipeline.device.passes import PassSlot
from yolotrt.pipeline.device.reuse import LockedMemory, ReusedMemory
from yolotrt.pipeline.device.worker import HELD, DeviceWorker
from yolotrt.pipeline.merge_methods import METHODS
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.trace import Span


@dataclass
class _JointSlot:
    """Merging of one frame in flight.

    Attributes:
        scope: Owns what is replaced when masks need more room.
        masks: Where the masks of all passes go.
        merge: What is read afterwards.
        start: Enqueues bringing and merging.
        done: Reached when what is merged is on the host.
        marks: Timing events before and after; empty unless device times are measured.
    """

    scope: Scope
    masks: MaskMemory
    merge: MergeWork
    start: Callable[[Stream], None]
    done: Event
    marks: list[Event] = field(default_factory=list)


class JointMerge:
    """Merges on the last of several GPUs.

    Args:
        workers: Those of all GPUs.
        grid: Where the tiles lie.
        settings: How a frame is cut, run and merged.

    Raises:
        OutOfDeviceMemory: There is not enough for what is merged.
    """

    def __init__(self, workers: Sequence[DeviceWorker], grid: TileGrid, settings: PipelineSettings) -> None:
        self._workers, self._others, self._home = workers, workers[:-1], workers[-1]
        self._settings = settings
        self._device = device = self._home.device
        device.bind()
        self._scope = device.scope()
        self._copies = ReusedMemory()
        self._locked = LockedMemory(device, settings.depth + HELD)
        self._slots: list[_JointSlot] = []
        try:
            self._reached = [device.reach(worker.device) for worker in self._others]
            own = [p.owner.decoder for p in self._home.slots[0].passes]
            far = [p.owner.decoder for worker in self._others for p in worker.slots[0].passes]
            found: list[FoundHere] = [*(FoundCopy.of(self._scope, one) for one in far), *own]
            self._merger = DeviceMerger(
                device, self._scope, grid, found, settings.merge,
                conf=settings.decode.conf, masks=settings.decode.masks,
            )  # fmt: skip
            self._merged = self._scope.event()
            for index in range(settings.depth):
                self._slots.append(self._slot(index))
                self._rehearse(index)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def possible(workers: Sequence[DeviceWorker], settings: PipelineSettings) -> bool:
        """Whether several GPUs found what one of them can merge."""
        return (
            len(workers) > 1
            and METHODS[settings.merge.method].on_gpu
            and all(worker.device.waits_across for worker in workers)
        )

    def submit(self, index: int) -> None:
        """Start the end of a slot's frame on all GPUs, and then merging.

        Raises:
            ExecutionError: The engine refused the work.
        """
        for worker in self._others:
            # What this frame draws may overwrite what the frame before was merged from.
            worker.device.bind()
            worker.main.wait(self._merged)
            worker.submit(index)
        self._home.submit(index)
        self._merge(index)

    def read(self, index: int) -> list[ShareFound]:
        """Return what the GPUs found in a slot's frame; all masks of it are drawn.

        Raises:
            ExecutionError: An output of the engine is broken.
        """
        while any(p.results.missing_words for p in self._passes(index)):
            self._enlarge(index)
        slot, shares = self._slots[index], []
        self._device.bind()
        if not all(self._reached):  # merging reads the masks where they leave from
            self._device.wait(slot.done)
        drawn = slot.masks.read()
        bits = iter([drawn.of(i) for i in range(len(drawn.sizes))])
        for worker in self._workers:
            here = worker.slots[index]
            tiles = here.tiles.read(next(bits)) if here.tiles else None
            global_pass = here.global_pass.read(next(bits)) if here.global_pass else None
            shares.append(ShareFound(tiles, global_pass, None))
        self._device.wait(slot.done)
        merged = slot.merge.read(drawn if self._settings.decode.masks else None)
        first = shares[0]
        return [ShareFound(first.tiles, first.global_pass, merged), *shares[1:]]

    def device_spans(self, index: int, begin_ns: int) -> list[Span]:
        """Return the device's span of merging, and of the frame with it; none unless they are measured.

        Args:
            index: The slot.
            begin_ns: Host clock at which the last GPU's part of the frame is put.
        """
        slot, marks = self._slots[index], self._home.slots[index].marks
        if not slot.marks or not marks:
            return []
        self._device.bind()
        zero = marks["upload_begin"]
        begin, end = (begin_ns + int(self._device.seconds(zero, mark) * 1e9) for mark in slot.marks)
        return [
            Span("merge", None, begin, end, "frame", "device"),
            Span("end_to_end", None, begin_ns, end, "frame", "device"),
        ]

    def close(self) -> None:
        """Free everything, after what is still running; to be closed before the workers."""
        self._device.bind()
        with contextlib.suppress(DeviceLost):
            self._home.main.synchronize()
        while self._slots:
            self._slots.pop().scope.close()
        self._locked.close()
        self._scope.close()

    def _passes(self, index: int) -> list[PassSlot]:
        return [p for worker in self._workers for p in worker.slots[index].passes]

    def _slot(self, index: int) -> _JointSlot:
        scope = self._device.scope()
        try:
            return self._filled(scope, index)
        except BaseException:
            scope.close()
            raise

    def _filled(self, scope: Scope, index: int) -> _JointSlot:
        near = self._home.slots[index].passes
        far = [
            FarPass(p.owner.decoder, p.results, reached)
            for worker, reached in zip(self._others, self._reached, strict=True)
            for p in worker.slots[index].passes
        ]
        drawn: list[DrawnHere] = [
            *(DrawnCopy.of(scope, one.results) for one in far),
            *(p.results for p in near),
        ]
        gather = gathering(self._device, scope, self._merger.table(drawn)[: len(far)], far)
        merge = self._merger.into(scope, drawn)
        masks = MaskMemory(self._locked, self._copies, [p.results for p in self._passes(index)])

        def start(stream: Stream) -> None:
            gather(stream)
            merge.enqueue(stream)

        slot = _JointSlot(scope, masks, merge, start, scope.event())
        if self._settings.measure:
            slot.marks = [scope.event(timing=True) for _ in range(2)]
        return slot

    def _rehearse(self, index: int) -> None:
        """Merge a slot once, and capture that if frames are to be graphs."""
        slot, main = self._slots[index], self._home.main
        self._merge(index)
        main.synchronize()
        if self._home.mode == "graph":
            start = slot.start
            slot.start = slot.scope.capture(main, lambda: start(main)).launch

    def _merge(self, index: int) -> None:
        slot, main = self._slots[index], self._home.main
        self._device.bind()
        for worker in self._others:
            main.wait(worker.slots[index].drawn)
        for mark in slot.marks[:1]:
            main.record(mark)
        slot.start(main)
        for mark in slot.marks[1:]:
            main.record(mark)
        main.record(slot.done)
        main.record(self._merged)

    def _enlarge(self, index: int) -> None:
        """Give a slot's masks the room that they turned out to need, and run its frame again on all GPUs."""
        for worker in self._workers:  # nothing may still be merged from what they overwrite
            worker.device.bind()
            worker.main.synchronize()
        self._slots[index].masks.close()
        self._slots[index].scope.close()
        for worker in self._workers:
            worker.device.bind()
            worker.enlarge(index)
        self._device.bind()
        self._slots[index] = self._slot(index)
        for worker in self._workers:  # to where their masks go now
            worker.run(index)
        self._rehearse(index)
