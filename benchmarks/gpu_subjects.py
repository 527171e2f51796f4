"""What the GPU benchmark measures in turn: pipelines, bare inference, and other tools on the same frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yolotrt.bench.result import Case
from yolotrt.bench.rounds import Measurement
from yolotrt.cuda.device import Device
from yolotrt.pipeline.device.passes import DevicePass
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import FrameBuffer, Gpu, cut_tiles, letterbox
from yolotrt.pipeline.device.slots import Slot
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.clock import now, seconds_between


class DeviceSubject:
    """A pipeline with its own settings; frames come from pageable or from its own page-locked memory."""

    def __init__(self, name: str, gpu: Gpu, settings: PipelineSettings, *, pinned: bool = False) -> None:
        file = gpu.engine.file
        self.case = Case(name, file.precision, settings.mode, settings.dispatch, settings.groups)
        self.pipeline = DevicePipeline([gpu.taking_turns()], settings)
        self._pinned = pinned

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        if self._pinned:
            buffer = self.pipeline.frame_buffer((frame.shape[1], frame.shape[0]))
            buffer[:] = frame  # as a camera would; not measured
            frame = buffer
        result = self.pipeline(frame)
        return Measurement(result.trace.stages(), result.trace.spans, len(result.detections))

    def close(self) -> None:
        """Free what it holds."""
        self.pipeline.close()


class InferenceSubject:
    """The same engines and nothing else: batches back to back, captured in one graph.

    The contexts and buffers are those of a pipeline that has processed a frame, so they hold real images.
    """

    def __init__(self, name: str, gpu: Gpu, settings: PipelineSettings, frame: Any) -> None:
        file = gpu.engine.file
        self.case = Case(name, file.precision, settings.mode, "graph", settings.groups)
        self._pipeline = DevicePipeline([gpu.taking_turns()], settings)
        self._pipeline(frame)
        device = gpu.device
        (worker,) = self._pipeline.workers
        (slot,) = worker.slots
        passes = [p.owner for p in (slot.tiles, slot.global_pass) if p]
        prepare_input(device, settings, slot, frame)
        self._scope = device.scope()
        self._stream = self._scope.stream()
        self._begin, self._end = (self._scope.event(timing=True) for _ in "be")
        self._device = device
        self._graph = capture_passes(device, self._scope, self._stream, passes)

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        begin = now()
        self._stream.record(self._begin)
        self._graph.launch(self._stream)
        enqueued = now()
        self._stream.record(self._end)
        self._stream.synchronize()
        end = now()
        stages: dict[str, float | None] = {
            "end_to_end": seconds_between(begin, end),
            "enqueue": seconds_between(begin, enqueued),
            "device_enqueue": self._device.seconds(self._begin, self._end),
        }
        return Measurement(stages)

    def close(self) -> None:
        """Free what it holds."""
        self._scope.close()
        self._pipeline.close()


def prepare_input(device: Device, settings: PipelineSettings, slot: Slot, frame: Any) -> None:
    """Fill the input of a slot's passes from its frame, also where the engine would read the frame itself."""
    grid = settings.grid((frame.shape[1], frame.shape[0]), slot.passes[0].owner.spec.input_wh)
    assert isinstance(slot.frame, FrameBuffer), "pictures are uploaded"
    with device.scope() as scope:
        stream = scope.stream()
        if slot.tiles:
            into, tiles = slot.tiles.owner.buffers, range(len(grid.origins))
            cut_tiles(device, scope, slot.frame, grid, tiles, into, bgr=settings.bgr)(stream)
        if slot.global_pass:
            owner = slot.global_pass.owner
            letterbox(device, slot.frame, owner.placement, owner.buffers, bgr=settings.bgr)(stream)
        stream.synchronize()


def capture_passes(device: Device, scope: Any, stream: Any, passes: list[DevicePass]) -> Any:
    """Return a graph of all batches of some passes, one after another."""

    def work() -> None:
        for owner in passes:
            for part in range(len(owner.parts)):
                owner.infer(part, stream)

    work()
    stream.synchronize()
    return scope.capture(stream, work)


class CallSubject:
    """Any call on the frame that says how many objects it found."""

    def __init__(self, name: str, precision: str, call: Callable[[Any], int]) -> None:
        self.case = Case(name, precision, "tiled", "-", 1)
        self._call = call

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        begin = now()
        found = self._call(frame)
        return Measurement({"end_to_end": seconds_between(begin, now())}, (), found)

    def close(self) -> None:
        """Nothing is held."""
