"""The pipeline on GPUs: a frame goes up once, detections and their masks come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from yolotrt.arrays import Frame
from yolotrt.data.colours import Colours
from yolotrt.data.yuv import AnyFrame, YuvFrame
from yolotrt.errors import ExecutionError
from yolotrt.pipeline.device.found import FrameFound
from yolotrt.pipeline.device.plan import DevicePlan
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.device.staging import Staging, copy_threads
from yolotrt.pipeline.device.together import SharedGlobals
from yolotrt.pipeline.device.worker import DeviceWorker
from yolotrt.pipeline.device.yuv import YuvBuffer
from yolotrt.pipeline.flights import Pending, in_order
from yolotrt.pipeline.frames import FrameResult, as_frame
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.wanted import wanted
from yolotrt.timing.clock import now
from yolotrt.timing.trace import FrameTrace, Span


class DevicePipeline:
    """Runs frames of any size through one engine on one or several GPUs.

    Contexts, buffers and graphs are made when a frame size is first seen, and kept for the last one
    only: they hold device memory. Use a pipeline from one thread at a time; several pipelines may take
    turns on one engine.

    Args:
        gpus: The GPUs and their engines. The tile groups are dealt out to them in order. Those that are
            :meth:`Gpu.taking_turns` share contexts and scratch memory with other pipelines on their engines,
            of which only one may run at a time.
        settings: How frames are cut, run and decoded.
    """

    def __init__(self, gpus: Sequence[Gpu], settings: PipelineSettings | None = None) -> None:
        self._gpus = list(gpus)
        self._settings = settings or PipelineSettings()
        self._alone = self._gpus[0].device.info.index if len(self._gpus) == 1 else None
        self._plan: DevicePlan | None = None
        self._flying: list[_Flight] = []
        self._staging = Staging(copy_threads())
        self._shared = SharedGlobals(self._gpus, self._settings, self._staging)

    @property
    def workers(self) -> tuple[DeviceWorker, ...]:
        """What runs on each GPU for the last frame size, in order."""
        return tuple(self._plan.workers) if self._plan else ()

    def __call__(self, frame: Any) -> FrameResult:
        """Detect objects in a frame.

        Args:
            frame: (h, w, 3) uint8; see :func:`yolotrt.pipeline.frames.as_frame`. One that
                :meth:`frame_buffer` gave is not copied. One that a decoder left on the GPU is read as it is.

        Returns:
            Detections in px of the frame, and the host's spans; the device's too if they are measured.

        Raises:
            ImageError: It is not a picture of this kind.
            ArtifactError: The engine has no profile for a group's size.
            OutOfDeviceMemory: The groups do not fit; the message says how many would.
            ExecutionError: The engine failed.
        """
        return self.submit(frame).result()

    def submit(self, frame: Any) -> Pending:
        """Start the work on a frame and return at once; see :meth:`__call__`.

        With a depth of 2, a frame is uploaded while the one before it computes. If both places are taken, the
        older frame is waited for.
        """
        given = frame if isinstance(frame, YuvFrame) and frame.gpu == self._alone else as_frame(frame)
        with self._guard():
            return self._submit(given)

    @property
    def most_together(self) -> int:
        """Frames that share a batch."""
        return self._shared.most

    def together(self, frames: Sequence[Any]) -> list[FrameResult]:
        """Detect objects in frames of several cameras, in shared batches where there can be."""
        given = [f if isinstance(f, YuvFrame) and f.gpu == self._alone else as_frame(f) for f in frames]
        with self._guard():
            found: list[FrameResult | _Flight] = []
            while len(found) < len(given):
                batch = self._shared.fitting(given[len(found) :])
                if len(batch) == 1:
                    found.append(self._submit(batch[0]))
                    continue
                while self._flying:
                    self._finish(self._flying[0])
                found += self._shared.run(batch)
        return [one.result() if isinstance(one, _Flight) else one for one in found]

    def frames(self, frames: Iterable[Any]) -> Iterator[FrameResult]:
        """Detect objects in many frames, in order."""
        return in_order(self.submit, frames, self._settings.depth)

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts, buffers and graphs for frames of this size now, not at the first frame."""
        self._plan_for(frame_wh)

    def frame_buffer(self, frame_wh: tuple[int, int]) -> Frame:
        """Return the page-locked (h, w, 3) uint8 array that the next frame is uploaded from.

        A camera or decoder that writes there saves a copy of the frame. The array is valid until the
        frame is given to the pipeline.
        """
        with self._guard():
            plan = self._plan_for(frame_wh)
            self._land(plan.turn)
        return plan.next_buffer

    def close(self) -> None:
        """Free what the pipeline holds; devices and engines stay. A frame that is on its way is lost."""
        self._drop_plan()
        self._staging.close()

    def __enter__(self) -> DevicePipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Drop the plan if anything fails: a frame may still be running in it."""
        try:
            yield
        except BaseException:
            self._drop_plan()
            raise

    def _plan_for(self, frame_wh: tuple[int, int], colours: Colours | None = None) -> DevicePlan:
        if self._plan is None or (self._plan.grid.frame_wh, self._plan.colours) != (frame_wh, colours):
            while self._flying:
                self._finish(self._flying[0])
            if self._plan is not None:
                self._drop_plan()
            self._plan = DevicePlan.make(self._gpus, self._settings, frame_wh, colours)
        return self._plan

    def _drop_plan(self) -> None:
        self._flying.clear()
        self._shared.close()
        if self._plan is not None:
            plan, self._plan = self._plan, None
            plan.close()

    def _land(self, slot: int) -> None:
        """Wait for the frame that is on its way in a slot, if there is one."""
        for flight in [f for f in self._flying if f.slot == slot]:
            self._finish(flight)

    def _submit(self, frame: AnyFrame) -> _Flight:
        colours = frame.colours if isinstance(frame, YuvFrame) else None
        plan = self._plan_for((frame.shape[1], frame.shape[0]), colours)
        slot = plan.turn
        self._land(slot)
        begin = now()
        self._upload(frame, plan, slot)
        staged = now()
        plan.turn = (slot + 1) % self._settings.depth
        plan.submit(slot)
        flight = _Flight(self, plan, slot, begin, staged, now(), frame)
        self._flying.append(flight)
        return flight

    def _finish(self, flight: _Flight) -> FrameResult:
        if flight.found is None:
            if flight not in self._flying:
                raise ExecutionError("This frame was lost: the pipeline was closed, or failed on another.")
            with self._guard():
                flight.found = self._collect(flight)
            flight.frame = None
            self._flying.remove(flight)
        return flight.found

    def _discard(self, flight: _Flight) -> None:
        if flight in self._flying:
            with self._guard():
                for worker in flight.plan.workers:
                    worker.wait(flight.slot)
            self._flying.remove(flight)

    def _upload(self, frame: AnyFrame, plan: DevicePlan, slot: int) -> None:
        """Copy a frame into page-locked memory and on to the GPUs, which begin as soon as rows are there.

        One that a decoder left on the GPU is copied there.
        """

        def arrived(first: int, end: int) -> None:
            for worker in plan.workers:
                worker.upload(slot, first, end)

        for worker in plan.workers:
            worker.begin(slot)
        into = plan.workers[0].slots[slot].frame
        if isinstance(into, YuvBuffer):
            assert isinstance(frame, YuvFrame), "the plan is of such frames"
            into.source = frame
            arrived(0, frame.shape[0])
            return
        assert not isinstance(frame, YuvFrame), "the plan is of pictures"
        if len(plan.workers) > 1 and _is_same(frame, plan.next_buffer):
            plan.upload_at_once(slot)
            return
        self._staging.run(frame, plan.next_buffer, plan.bounds, arrived)

    def _collect(self, flight: _Flight) -> FrameResult:
        plan, slot = flight.plan, flight.slot
        stamps = [now()]
        for worker in plan.workers:
            worker.wait(slot)
        stamps.append(now())
        found = FrameFound(plan.read(slot))
        stamps.append(now())
        by_gpu, settings = found.merged, self._settings
        merged = by_gpu
        if merged is None:
            merged = found.merge(plan.grid, settings.merge, conf=settings.decode.conf)
        merged = wanted(merged, settings)
        stamps.append(now())
        trace = flight.trace(settings.mode, stamps, merges=by_gpu is None)
        trace.spans.extend(plan.device_spans(slot, flight.begin))
        names = self._gpus[0].engine.file.spec.names
        return FrameResult(merged, trace, found, plan.grid.frame_wh, names)


def _is_same(frame: Frame, buffer: Frame) -> bool:
    """Whether a frame is what lies in a buffer already, the same way up."""
    return frame.ctypes.data == buffer.ctypes.data and frame.strides == buffer.strides


@dataclass(eq=False)
class _Flight:
    """A submitted frame: where it runs, and the host clock when it began, was copied and was submitted.

    It keeps the frame: one on the GPU may be copied only now.
    """

    pipeline: DevicePipeline
    plan: DevicePlan
    slot: int
    begin: int
    staged: int
    submitted: int
    frame: AnyFrame | None
    found: FrameResult | None = None

    def result(self) -> FrameResult:
        return self.pipeline._finish(self)

    def drop(self) -> None:
        self.pipeline._discard(self)

    def trace(self, mode: str, stamps: Sequence[int], *, merges: bool) -> FrameTrace:
        """Return the host's spans.

        Args:
            mode: Which passes ran.
            stamps: The host clock before and after waiting, after decoding and after merging.
            merges: Whether the host merged; if a GPU did, merging is a span of the device's alone.
        """
        waiting, waited, decoded, merged = stamps
        spans = [
            Span("prepare_batch", None, self.begin, self.staged),
            Span("enqueue", None, self.staged, self.submitted),
            Span("stream_sync", None, waiting, waited),
            Span("decode", None, waited, decoded),
            Span("end_to_end", None, self.begin, merged),
        ]
        if merges:
            spans.append(Span("merge", None, decoded, merged))
        if mode == "tiled":
            spans.append(Span("tiles", None, self.begin, decoded, "tiles"))
        elif mode == "global":
            spans.append(Span("global", None, self.begin, decoded, "global"))
        return FrameTrace(spans)
