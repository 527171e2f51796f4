"""The pipeline on GPUs: a frame goes up once, detections and their masks come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType

import numpy as np

from yolotrt.cuda.device import Device
from yolotrt.errors import UsageError
from yolotrt.geometry.tiles import TileGrid, split_groups, tile_grid
from yolotrt.pipeline.device_settings import DeviceSettings
from yolotrt.pipeline.device_share import GpuEngine, deal
from yolotrt.pipeline.device_worker import DeviceWorker
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.tiled import Frame, FrameResult
from yolotrt.timing.trace import FrameTrace, Span, now

_COPY_THREADS = 4
"""Threads that copy a frame into page-locked memory; one cannot use the memory's bandwidth."""

_COPY_ALONE = 1 << 20
"""Bytes below which dealing the copy out costs more than it gains."""


@dataclass(frozen=True)
class DeviceFrameResult(FrameResult):
    """What came out of one frame on GPUs.

    Attributes:
        device: Seconds of device time per stage (:data:`yolotrt.pipeline.device_worker.INTERVALS`), the
            slowest GPU's; None where a stage did not run, empty unless measured.
    """

    device: Mapping[str, float | None] = field(default_factory=dict)


class DevicePipeline:
    """Runs frames of any size through one engine on one or several GPUs.

    Contexts, buffers and graphs are made when a frame size is first seen, and kept for the last one
    only: they hold device memory. Use a pipeline from one thread at a time.

    Args:
        engines: For each GPU the device and the engine loaded on it. The tile groups are dealt out to
            them in order.
        settings: How frames are cut, run and decoded.
    """

    def __init__(
        self, engines: Sequence[tuple[Device, GpuEngine]], settings: DeviceSettings | None = None
    ) -> None:
        self._engines = list(engines)
        self._settings = settings or DeviceSettings()
        self._plan: _Plan | None = None
        self._copiers = ThreadPoolExecutor(_COPY_THREADS, thread_name_prefix="yolotrt-copy")

    @property
    def group_bytes(self) -> list[int]:
        """Device memory that each group's context took for the last frame size, bytes."""
        return [n for worker in (self._plan.workers if self._plan else []) for n in worker.group_bytes]

    def __call__(self, frame: Frame) -> DeviceFrameResult:
        """Detect objects in a frame.

        Args:
            frame: (h, w, 3) uint8 on the host. A frame that :meth:`frame_buffer` gave is not copied.

        Raises:
            UsageError: More groups than the frame has tiles, or not a frame on the host.
            ArtifactError: The engine has no profile for a group's size.
            OutOfDeviceMemory: The groups do not fit; the message says how many would.
            ExecutionError: The engine failed.
        """
        with self._guard():
            return self._collect(self._submit(frame))

    def frames(self, frames: Iterable[Frame]) -> Iterator[DeviceFrameResult]:
        """Detect objects in many frames; results come in their order.

        With a depth of 2, a frame is uploaded while the one before it computes, and results come one
        frame later.
        """
        flying: deque[_Flight] = deque()
        with self._guard():
            for frame in frames:
                # A new frame size needs another plan, and this plan's memory goes with it.
                room = self._settings.depth if self._plan and self._plan.fits(frame) else 1
                while len(flying) >= room:
                    yield self._collect(flying.popleft())
                flying.append(self._submit(frame))
                if self._settings.depth == 1:
                    yield self._collect(flying.popleft())
            while flying:
                yield self._collect(flying.popleft())

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts, buffers and graphs for frames of this size now rather than at the first frame."""
        self._plan_for(frame_wh)

    def frame_buffer(self, frame_wh: tuple[int, int]) -> Frame:
        """Return the page-locked (h, w, 3) uint8 array that the next frame is uploaded from.

        A camera or decoder that writes there saves a copy of the frame. The array is valid until the
        frame is given to the pipeline.
        """
        return self._plan_for(frame_wh).next_buffer

    def close(self) -> None:
        """Free what the pipeline holds; devices and engines stay."""
        self._drop_plan()
        self._copiers.shutdown()

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

    def _plan_for(self, frame_wh: tuple[int, int]) -> _Plan:
        if self._plan is None or self._plan.grid.frame_wh != frame_wh:
            self._drop_plan()
            self._plan = _Plan.make(self._engines, self._settings, frame_wh)
        return self._plan

    def _drop_plan(self) -> None:
        if self._plan is not None:
            plan, self._plan = self._plan, None
            plan.close()

    def _submit(self, frame: Frame) -> _Flight:
        begin = now()
        _require_host_frame(frame)
        plan = self._plan_for((frame.shape[1], frame.shape[0]))
        self._stage(frame, plan.next_buffer)
        staged = now()
        slot = plan.turn
        plan.turn = (slot + 1) % self._settings.depth
        for worker in plan.workers:
            worker.submit(slot)
        return _Flight(plan, slot, begin, staged, now())

    def _stage(self, frame: Frame, target: Frame) -> None:
        """Copy a frame into page-locked memory, in bands by several threads."""
        if frame.ctypes.data == target.ctypes.data:
            return
        if frame.nbytes < _COPY_ALONE:
            target[:] = frame
            return
        bounds = [len(frame) * i // _COPY_THREADS for i in range(_COPY_THREADS + 1)]
        copies = [self._copiers.submit(np.copyto, target[a:b], frame[a:b]) for a, b in pairwise(bounds)]
        for copy in copies:
            copy.result()

    def _collect(self, flight: _Flight) -> DeviceFrameResult:
        plan, slot = flight.plan, flight.slot
        stamps = [now()]
        for worker in plan.workers:
            worker.wait(slot)
        stamps.append(now())
        parts = [worker.read(slot) for worker in plan.workers]
        tiles = [found for part, _ in parts for found in part]
        whole = next((found for _, found in parts if found is not None), None)
        stamps.append(now())
        if "tiled" in self._settings.mode:
            merged = merge_frame(tiles, plan.grid, whole, self._settings.merge)
        else:
            assert whole is not None
            merged = whole
        stamps.append(now())
        times = [worker.device_times(slot) for worker in plan.workers] if self._settings.measure else []
        return DeviceFrameResult(merged, flight.trace(self._settings.mode, stamps), _slowest(times))


@dataclass
class _Plan:
    """Everything that depends on the frame's size."""

    grid: TileGrid
    workers: list[DeviceWorker]
    turn: int = 0

    @classmethod
    def make(
        cls, engines: Sequence[tuple[Device, GpuEngine]], settings: DeviceSettings, frame_wh: tuple[int, int]
    ) -> _Plan:
        grid = tile_grid(frame_wh, engines[0][1].file.spec.input_wh, settings.overlap)
        groups = split_groups(len(grid.origins), settings.groups) if "tiled" in settings.mode else []
        shares = deal(groups, len(engines), whole="global" in settings.mode)
        plan = cls(grid, [])
        try:
            for (device, engine), share in zip(engines, shares, strict=False):
                pinned = [frame.pinned for frame in plan.workers[0].frames] if plan.workers else []
                plan.workers.append(DeviceWorker(device, engine, grid, share, settings, pinned))
        except BaseException:
            plan.close()
            raise
        return plan

    @property
    def next_buffer(self) -> Frame:
        """The page-locked memory of the next frame; all GPUs upload from it."""
        return self.workers[0].frames[self.turn].array

    def fits(self, frame: Frame) -> bool:
        """Whether a frame is of this plan's size."""
        return frame.shape[1::-1] == self.grid.frame_wh

    def close(self) -> None:
        while self.workers:
            self.workers.pop().close()  # the first one owns the page-locked frames and goes last


@dataclass(frozen=True)
class _Flight:
    """A submitted frame: where it runs, and the host clock when it began, was copied and was submitted."""

    plan: _Plan
    slot: int
    begin: int
    staged: int
    submitted: int

    def trace(self, mode: str, stamps: Sequence[int]) -> FrameTrace:
        """Return the host's spans.

        Args:
            mode: Which passes ran.
            stamps: The host clock before and after waiting, after decoding and after merging.
        """
        waiting, waited, decoded, merged = stamps
        spans = [
            Span("prepare_batch", None, self.begin, self.staged),
            Span("enqueue", None, self.staged, self.submitted),
            Span("stream_sync", None, waiting, waited),
            Span("decode", None, waited, decoded),
            Span("merge", None, decoded, merged),
            Span("end_to_end", None, self.begin, merged),
        ]
        if mode == "tiled":
            spans.append(Span("tiles", None, self.begin, decoded, "tiles"))
        elif mode == "global":
            spans.append(Span("global", None, self.begin, decoded, "global"))
        return FrameTrace(spans)


def _slowest(times: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return for each stage the longest time of any GPU."""
    merged: dict[str, float | None] = {}
    for stage in times[0] if times else ():
        measured = [t for t in (device[stage] for device in times) if t is not None]
        merged[stage] = max(measured, default=None)
    return merged


def _require_host_frame(frame: Frame) -> None:
    """Refuse what is not a BGR or RGB picture in host memory.

    Raises:
        UsageError: It is on a GPU, or not (h, w, 3) uint8.
    """
    if not isinstance(frame, np.ndarray):
        where = "on a GPU" if hasattr(frame, "__cuda_array_interface__") else f"a {type(frame).__name__}"
        raise UsageError(
            f"The frame is {where}, not a NumPy array in host memory.",
            hint="Give the frame as it came from the camera or file; the pipeline uploads it itself.",
        )
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise UsageError(
            f"The frame is {frame.dtype} of shape {frame.shape}, not uint8 of (height, width, 3).",
            hint="Read it with OpenCV, or convert it before.",
        )
