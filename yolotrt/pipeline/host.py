"""The pipeline on a processor, or on any engine whose contexts take images from host memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.backends.base import Context, Engine
from yolotrt.errors import ExecutionError, UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.chunks import in_batches
from yolotrt.pipeline.decode import decode
from yolotrt.pipeline.dispatch import DISPATCH_MODES, Dispatcher, DispatchMode, new_dispatcher
from yolotrt.pipeline.failed_layer import naming_layer
from yolotrt.pipeline.flights import Pending, Waiting
from yolotrt.pipeline.frames import FrameResult, Passes, as_frame
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.wanted import wanted
from yolotrt.timing.clock import Clock, now
from yolotrt.timing.trace import FrameTrace


class HostPipeline:
    """Runs frames of any size through engines that are fed from the host. For one thread at a time.

    Contexts are made when a frame size is first seen and kept for the most recent sizes.

    Args:
        engine: Runs the tiles, and the global pass unless ``global_engine`` does.
        settings: How a frame is cut, run and decoded.
        global_engine: Runs the global pass instead.
        clock: What the traces read.

    Raises:
        UsageError: The dispatch mode needs a GPU.
    """

    MAX_PLANS = 8

    def __init__(
        self,
        engine: Engine,
        settings: PipelineSettings,
        *,
        global_engine: Engine | None = None,
        clock: Clock = now,
    ) -> None:
        self._engine = engine
        self._global_engine = global_engine or engine
        self._settings = settings
        self._dispatch = _host_dispatch(settings)
        self._clock = clock
        self._plans: dict[tuple[int, int], _HostPlan] = {}

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts and buffers for frames of this size now rather than at the first frame."""
        self._plan_for(frame_wh)

    def close(self) -> None:
        """Stop the dispatchers' threads; engines stay."""
        while self._plans:
            self._plans.popitem()[1].close()

    def submit(self, frame: Any) -> Pending:
        """Take a frame; it is processed when its result is asked for."""
        given = as_frame(frame)
        return Waiting(lambda: self._run(given))

    def _run(self, frame: Frame) -> FrameResult:
        plan = self._plan_for((frame.shape[1], frame.shape[0]))
        if not self._settings.bgr:
            frame = np.ascontiguousarray(frame[..., ::-1])
        trace = FrameTrace(clock=self._clock)
        with trace.span("end_to_end"):
            tiles = self._tiles(frame, plan, trace) if plan.dispatcher else []
            global_pass = self._global(frame, plan, trace) if plan.global_context else None
            with trace.span("merge"):
                if plan.dispatcher:
                    chosen = self._settings
                    merged = merge_frame(tiles, plan.grid, global_pass, chosen.merge, conf=chosen.decode.conf)
                else:
                    merged = global_pass or Detections.empty()
                merged = wanted(merged, self._settings)
        names = self._engine.file.spec.names
        return FrameResult(merged, trace, Passes(tiles, global_pass), plan.grid.frame_wh, names)

    def _plan_for(self, frame_wh: tuple[int, int]) -> _HostPlan:
        plan = self._plans.pop(frame_wh, None)
        if plan is None:
            if len(self._plans) >= self.MAX_PLANS:
                self._plans.pop(next(iter(self._plans))).close()
            plan = self._new_plan(frame_wh)
        self._plans[frame_wh] = plan  # last used, last to go
        return plan

    def _new_plan(self, frame_wh: tuple[int, int]) -> _HostPlan:
        settings, engine = self._settings, self._engine
        grid = settings.grid(frame_wh, engine.file.spec.input_wh)
        groups = settings.tile_groups(grid)
        batches = [in_batches(group, engine.file) for group in groups]
        threads = settings.cpu_threads
        dispatcher = new_dispatcher(self._dispatch, engine, batches, threads) if batches else None
        global_context = (
            self._global_engine.new_context(1, threads=threads) if "global" in settings.mode else None
        )
        letterbox = Letterbox.fit(frame_wh, self._global_engine.file.spec.input_wh)
        return _HostPlan(grid, letterbox, dispatcher, global_context)

    def _tiles(self, frame: Frame, plan: _HostPlan, trace: FrameTrace) -> list[Detections]:
        """Return detections per tile, in tile order and px of the frame."""
        spec, settings = self._engine.file.spec, self._settings.decode
        assert plan.dispatcher is not None

        def job(group: int, chosen: range, context: Context) -> list[Detections]:
            with trace.span("prepare_batch", group=group, scope="tiles"):
                network_input(tiles[chosen.start : chosen.stop], out=context.images)
            with trace.span("enqueue", group=group, scope="tiles"):
                head, prototypes = context.run()
            with trace.span("decode", group=group, scope="tiles"):
                placements = [plan.grid.placement] * len(chosen)
                try:
                    found = decode(head, prototypes, spec, placements, settings)
                except ExecutionError as exc:
                    raise naming_layer(exc, self._engine.file, context.images) from exc
                return [d.moved(*plan.grid.origins[t]) for t, d in zip(chosen, found, strict=True)]

        with trace.span("tiles", scope="tiles"):
            tiles = plan.grid.cut(frame)
            return [detections for part in plan.dispatcher.run(job) for detections in part]

    def _global(self, frame: Frame, plan: _HostPlan, trace: FrameTrace) -> Detections:
        """Return detections of the letterboxed frame, in px of the frame."""
        assert plan.global_context is not None
        with trace.span("global", scope="global"):
            with trace.span("prepare_batch", scope="global"):
                network_input([plan.letterbox.apply(frame)], out=plan.global_context.images)
            with trace.span("enqueue", scope="global"):
                head, prototypes = plan.global_context.run()
            with trace.span("decode", scope="global"):
                settings = self._settings.decode
                file = self._global_engine.file
                try:
                    return decode(head, prototypes, file.spec, [plan.letterbox], settings)[0]
                except ExecutionError as exc:
                    raise naming_layer(exc, file, plan.global_context.images) from exc


@dataclass(frozen=True)
class _HostPlan:
    """Everything that depends on the frame's size."""

    grid: TileGrid
    letterbox: Letterbox
    dispatcher: Dispatcher | None
    global_context: Context | None

    def close(self) -> None:
        if self.dispatcher is not None:
            self.dispatcher.close()


def _host_dispatch(settings: PipelineSettings) -> DispatchMode:
    """Return how groups run without a GPU's streams."""
    if settings.dispatch == "auto":
        return "serial"
    for mode in DISPATCH_MODES:
        if settings.dispatch == mode:
            return mode
    raise UsageError(
        f"--dispatch {settings.dispatch} needs an engine on a GPU.",
        hint=f"Without one, use {' or '.join(DISPATCH_MODES)}; see: yolotrt doctor",
    )
