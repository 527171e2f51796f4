"""Frames of several cameras as one batch of the global pass, on one GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

from yolotrt.cuda.device import Stream
from yolotrt.cuda.driver import DeviceLost, OutOfDeviceMemory
from yolotrt.data.colours import Colours
from yolotrt.data.yuv import AnyFrame, YuvFrame
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.pipeline.chunks import MOST_AT_ONCE
from yolotrt.pipeline.device.dispatch import chosen_dispatch
from yolotrt.pipeline.device.found import FrameFound, ShareFound
from yolotrt.pipeline.device.mask_memory import MaskMemory
from yolotrt.pipeline.device.pass_input import global_input
from yolotrt.pipeline.device.passes import DevicePass, PassSlot
from yolotrt.pipeline.device.results import PassFound
from yolotrt.pipeline.device.reuse import LockedMemory, ReusedMemory
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, Lanes
from yolotrt.pipeline.device.staging import Staging
from yolotrt.pipeline.device.yuv import YuvBuffer, reads
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.wanted import wanted
from yolotrt.timing.clock import now
from yolotrt.timing.trace import FrameTrace, Span

_HELD = 2
"""Results that may keep page-locked memory with their masks at once; the masks of others are copied."""

_EVERY = 4
"""Up to here batches have every size that the engine takes, and beyond sizes that double."""


class GlobalTogether:
    """Contexts and memory for so many frames of one size, each letterboxed to one image of a batch.

    Args:
        gpu: The GPU and its engines.
        settings: How frames are decoded.
        frame_wh: Width and height of the frames, px.
        colours: Of frames that a decoder leaves on the GPU; None for pictures that are uploaded.
        count: How many; a batch that the engine takes.

    Raises:
        OutOfDeviceMemory: It does not fit.
    """

    def __init__(
        self,
        gpu: Gpu,
        settings: PipelineSettings,
        frame_wh: tuple[int, int],
        colours: Colours | None,
        count: int,
    ) -> None:
        self._device, self._settings = gpu.device, settings
        device, engine = gpu.device, gpu.for_global
        device.bind()
        self._scope, self._slot_scope = device.scope(), device.scope()
        self._lanes, self._copies = Lanes(), ReusedMemory()
        self._locked = LockedMemory(device, 1 + _HELD)
        self._pass: DevicePass | None = None
        self._captured = chosen_dispatch(settings.dispatch, gpu) == "graph"
        try:
            self._main = self._scope.stream()
            self._frames = [self._new_frame(frame_wh, colours) for _ in range(count)]
            placement = Letterbox.fit(frame_wh, engine.file.spec.input_wh)
            self._pass = DevicePass(
                device, self._scope, engine, placement, [range(count)], [(0, 0)] * count, settings.decode,
                self._lanes, shared=False,
            )  # fmt: skip
            self._inputs = [
                global_input(
                    device, self._scope, frame, placement, self._pass.buffers, bgr=settings.bgr,
                    reads=reads(engine, frame), first=image,
                )
                for image, frame in enumerate(self._frames)
            ]  # fmt: skip
            self._pass.warm_up([self._main], self._inputs[0].source)
            self._take(self._pass.slot(self._slot_scope, self._inputs[0]))
        except BaseException:
            self.close()
            raise

    def run(self, frames: Sequence[AnyFrame], staging: Staging) -> list[FrameFound]:
        """Return what each frame held.

        Args:
            frames: Of the size and kind that this is for.
            staging: Copies pictures.

        Raises:
            ExecutionError: The engine failed, or an output is broken.
        """
        self._device.bind()
        for frame, into in zip(frames, self._frames, strict=True):
            if isinstance(into, YuvBuffer):
                assert isinstance(frame, YuvFrame), "it is for such frames"
                into.source = frame
                into.upload(self._main)
            else:
                assert not isinstance(frame, YuvFrame), "it is for pictures"
                staging.run(frame, into.array, [len(frame)], partial(into.upload, self._main))
        self._work()
        self._main.synchronize()
        while self._slot.results.missing_words:
            self._enlarge()
        drawn = self._masks.read()
        found = self._slot.read(drawn.of(0))
        for into in self._frames:
            if isinstance(into, YuvBuffer):
                into.source = None  # it is copied, and its memory is the decoder's again
        return [FrameFound([ShareFound(None, part, None)]) for part in _by_image(found)]

    def close(self) -> None:
        """Free everything; the device and the engine stay."""
        self._device.bind()
        if self._pass is not None:
            with contextlib.suppress(DeviceLost):
                self._main.synchronize()
            self._pass.close()
        self._lanes.give_back()
        self._slot_scope.close()
        self._locked.close()
        self._scope.close()

    def _new_frame(self, wh: tuple[int, int], colours: Colours | None) -> FrameBuffer | YuvBuffer:
        return YuvBuffer(self._scope, wh, colours) if colours else FrameBuffer(self._scope, wh)

    def _take(self, slot: PassSlot) -> None:
        """Let results go to a slot: run everything once, and capture it if frames are to be graphs."""
        self._slot = slot
        self._masks = MaskMemory(self._locked, self._copies, [slot.results])
        self._launch(self._main)
        self._main.synchronize()
        self._work: Callable[[], None] = partial(self._launch, self._main)
        if self._captured:
            graph = self._slot_scope.capture(self._main, self._work)
            self._work = partial(graph.launch, self._main)

    def _launch(self, stream: Stream) -> None:
        assert self._pass is not None
        self._pass.infer_each(stream, self._inputs)
        self._slot.decode.enqueue(stream)

    def _enlarge(self) -> None:
        """Give the masks the room that they turned out to need, and run the frames again."""
        old, self._slot_scope = self._slot_scope, self._device.scope()
        slot = self._slot.enlarged(self._slot_scope)
        self._masks.close()
        old.close()
        self._take(slot)


class SharedGlobals:
    """The batches that frames of cameras share, made when they are first needed.

    Args:
        gpus: The pipeline's.
        settings: Its settings.
        staging: Copies its pictures.

    Attributes:
        most: Frames that share a batch; 1 where none do: with tiles, or on several GPUs. Fewer from where the
            GPU's memory did not suffice.
    """

    def __init__(self, gpus: Sequence[Gpu], settings: PipelineSettings, staging: Staging) -> None:
        self._gpu, self._settings, self._staging = gpus[0], settings, staging
        shared = settings.mode == "global" and len(gpus) == 1
        self._sizes = _sizes(self._gpu.for_global.file.takes) if shared else []
        self.most = max(self._sizes, default=1)
        self._kind: tuple[tuple[int, ...], Colours | None] | None = None
        self._made: dict[int, GlobalTogether] = {}

    def fitting(self, frames: Sequence[AnyFrame]) -> Sequence[AnyFrame]:
        """Return those of the first frames that run as one batch: alike, and as many as one takes."""
        alike = list(takewhile(lambda frame: _kind(frame) == _kind(frames[0]), frames[: self.most]))
        return frames[: next((size for size in self._sizes if size <= len(alike)), 1)]

    def run(self, frames: Sequence[AnyFrame]) -> list[FrameResult]:
        """Return what frames that fit together hold; nothing if there is no memory for so many."""
        begin = now()
        shape, colours = _kind(frames[0])
        if self._kind != (shape, colours):
            self.close()
            self._kind = (shape, colours)
        wh, count = (shape[1], shape[0]), len(frames)
        if count not in self._made:
            try:
                self._made[count] = GlobalTogether(self._gpu, self._settings, wh, colours, count)
            except OutOfDeviceMemory:
                self.most = count - 1
                return []
        names, results = self._gpu.engine.file.spec.names, []
        for found in self._made[count].run(frames, self._staging):
            assert found.global_pass is not None, "it is all there is"
            merged = wanted(found.global_pass, self._settings)
            spans = [Span("global", None, begin, now(), "global"), Span("end_to_end", None, begin, now())]
            results.append(FrameResult(merged, FrameTrace(spans), found, wh, names))
        return results

    def close(self) -> None:
        """Free what was made."""
        self._kind = None
        while self._made:
            self._made.popitem()[1].close()


def _kind(frame: AnyFrame) -> tuple[tuple[int, ...], Colours | None]:
    return tuple(frame.shape), frame.colours if isinstance(frame, YuvFrame) else None


def _sizes(takes: Collection[int]) -> list[int]:
    """Return the sizes of batches that are made, largest first: few, as each holds its frames and contexts.

    Args:
        takes: What the engine takes; empty for any.
    """
    found: list[int] = []
    for size in sorted(takes or range(1, MOST_AT_ONCE + 1), reverse=True):
        if 1 < size <= MOST_AT_ONCE and (not found or size <= max(found[-1] // 2, _EVERY)):
            found.append(size)
    return found


def _by_image(found: PassFound) -> list[PassFound]:
    """Return what each image of a pass holds, as if it had been the only one."""
    parts = []
    for image in range(len(found.origins)):
        records = found.records[found.records["image"] == image].copy()
        records["image"] = 0
        parts.append(replace(found, records=records, origins=[found.origins[image]]))
    return parts
