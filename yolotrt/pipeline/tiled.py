"""One frame in, detections and a trace out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from yolotrt.backends.base import Context, Engine
from yolotrt.backends.registry import open_engine
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import TileGrid, split_groups, tile_grid
from yolotrt.pipeline.decode import DecodeSettings, decode
from yolotrt.pipeline.dispatch import Dispatcher, DispatchMode, new_dispatcher
from yolotrt.pipeline.frames import Frame as Frame
from yolotrt.pipeline.frames import as_frame
from yolotrt.pipeline.merge import MergeSettings, merge_frame
from yolotrt.timing.clock import Clock, now
from yolotrt.timing.trace import FrameTrace

PassMode = Literal["tiled", "global", "tiled+global"]
PASS_MODES: tuple[PassMode, ...] = ("tiled", "global", "tiled+global")


@dataclass(frozen=True)
class PipelineSettings:
    """How a frame is cut, run and decoded.

    Attributes:
        mode: ``tiled`` runs native-resolution tiles, ``global`` the whole frame letterboxed.
        groups: Number of chunks the tiles are split into.
        dispatch: How the chunks run.
        overlap: Part of a tile shared with its neighbour, in [0, 1).
        cpu_threads: CPU threads that all groups together may use.
        decode: Thresholds of the decoder.
        merge: How detections of overlapping tiles are joined.
    """

    mode: PassMode = "tiled"
    groups: int = 1
    dispatch: DispatchMode = "serial"
    overlap: float = 0.2
    cpu_threads: int = 1
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)


@dataclass(frozen=True)
class FrameResult:
    """What came out of one frame.

    Attributes:
        detections: In px of the frame.
        trace: Where the time went.
    """

    detections: Detections
    trace: FrameTrace


class TiledPipeline:
    """Runs frames of any size through one engine, or through one for the tiles and one for the frame.

    The tile size is the engine's input size. Contexts are made when a frame size is first seen and kept
    for the most recent sizes.

    Threads: any number of threads may call one pipeline; their frames take turns, because one frame
    already uses everything that the settings allow (its groups run side by side). Two pipelines may run
    at the same time if each has its own engine, as :meth:`open` gives; those that share an engine also
    share its buffers and must take turns.

    Args:
        engine: Looks at the tiles, and at the whole frame unless ``whole_engine`` does.
        settings: How a frame is cut, run and decoded.
        whole_engine: Looks at the whole frame instead.
        clock: What the traces read.
    """

    MAX_PLANS = 8

    def __init__(
        self,
        engine: Engine,
        settings: PipelineSettings | None = None,
        *,
        whole_engine: Engine | None = None,
        clock: Clock = now,
    ) -> None:
        self._engine = engine
        self._whole_engine = whole_engine or engine
        self._settings = settings or PipelineSettings()
        self._clock = clock
        self._plans: dict[tuple[int, int], _Plan] = {}
        self._turn = threading.Lock()
        self._owned: list[Engine] = []

    @classmethod
    def open(
        cls,
        engine: str | Path,
        *,
        whole: str | Path | None = None,
        trust: bool = False,
        warn: Callable[[str], None] = lambda _: None,
        **settings: Any,
    ) -> TiledPipeline:
        """Load engines from their files into a pipeline that owns them.

        Args:
            engine: Engine file, as ``yolotrt build`` prints it.
            whole: Another engine for the pass over the whole frame.
            trust: Also load engines that no matching sidecar vouches for. They can run any code: see
                :mod:`yolotrt.backends.admission`.
            warn: Told when that was needed.
            settings: Fields of :class:`PipelineSettings`, such as ``groups=4``.

        Raises:
            InputError: A file is missing.
            ArtifactError: No sidecar vouches for an engine, or it does not fit this machine.
        """
        chosen = PipelineSettings(**settings)
        owned: list[Engine] = []
        try:
            for path in (engine, whole):
                if path is not None:
                    owned.append(open_engine(Path(path), trust=trust, warn=warn))
        except BaseException:
            for loaded in owned:
                loaded.close()
            raise
        pipeline = cls(owned[0], chosen, whole_engine=owned[-1])
        pipeline._owned = owned
        return pipeline

    def __call__(self, frame: Any) -> FrameResult:
        """Detect objects in a frame.

        Args:
            frame: (h, w, 3) uint8, BGR: a NumPy array, or an array of another library that speaks DLPack or
                ``__cuda_array_interface__`` (copied to the host if it lives on a GPU).

        Raises:
            ImageError: It is not a picture of this kind.
            UsageError: More groups than the frame has tiles.
            ArtifactError: The engine has no profile for a group's size.
            ExecutionError: The engine failed.
        """
        with self._turn:
            return self._run(as_frame(frame))

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts and buffers for frames of this size now rather than at the first frame."""
        with self._turn:
            self._plan_for(frame_wh)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        return self._engine.file.spec.names

    def close(self) -> None:
        """Stop the dispatchers' threads, and unload the engines that :meth:`open` loaded.

        An engine that was handed in stays loaded. Waits for a frame that is still running.
        """
        with self._turn:
            while self._plans:
                self._plans.popitem()[1].close()
            while self._owned:
                self._owned.pop().close()

    def __enter__(self) -> TiledPipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, frame: Frame) -> FrameResult:
        plan = self._plan_for((frame.shape[1], frame.shape[0]))
        trace = FrameTrace(clock=self._clock)
        with trace.span("end_to_end"):
            tiles = self._tiles(frame, plan, trace) if plan.dispatcher else []
            whole = self._global(frame, plan, trace) if plan.whole else None
            with trace.span("merge"):
                if plan.dispatcher:
                    merged = merge_frame(tiles, plan.grid, whole, self._settings.merge)
                else:
                    merged = whole or Detections.empty()
        return FrameResult(merged, trace)

    def _plan_for(self, frame_wh: tuple[int, int]) -> _Plan:
        plan = self._plans.pop(frame_wh, None)
        if plan is None:
            if len(self._plans) >= self.MAX_PLANS:
                self._plans.pop(next(iter(self._plans))).close()
            plan = _Plan.make(self._engine, self._whole_engine, self._settings, frame_wh)
        self._plans[frame_wh] = plan  # last used, last to go
        return plan

    def _tiles(self, frame: Frame, plan: _Plan, trace: FrameTrace) -> list[Detections]:
        """Return detections per tile, in tile order and px of the frame."""
        spec, settings = self._engine.file.spec, self._settings.decode
        assert plan.dispatcher is not None

        def job(group: int, context: Context) -> list[Detections]:
            chosen = plan.groups[group]
            with trace.span("prepare_batch", group=group, scope="tiles"):
                network_input(tiles[chosen.start : chosen.stop], out=context.images)
            with trace.span("enqueue", group=group, scope="tiles"):
                head, prototypes = context.run()
            with trace.span("decode", group=group, scope="tiles"):
                found = decode(head, prototypes, spec, [plan.grid.placement] * len(chosen), settings)
                return [d.moved(*plan.grid.origins[t]) for t, d in zip(chosen, found, strict=True)]

        with trace.span("tiles", scope="tiles"):
            tiles = plan.grid.cut(frame)
            return [detections for part in plan.dispatcher.run(job) for detections in part]

    def _global(self, frame: Frame, plan: _Plan, trace: FrameTrace) -> Detections:
        """Return detections of the letterboxed frame, in px of the frame."""
        assert plan.whole is not None
        with trace.span("global", scope="global"):
            with trace.span("prepare_batch", scope="global"):
                network_input([plan.letterbox.apply(frame)], out=plan.whole.images)
            with trace.span("enqueue", scope="global"):
                head, prototypes = plan.whole.run()
            with trace.span("decode", scope="global"):
                settings = self._settings.decode
                spec = self._whole_engine.file.spec
                return decode(head, prototypes, spec, [plan.letterbox], settings)[0]


@dataclass(frozen=True)
class _Plan:
    """Everything that depends on the frame's size."""

    grid: TileGrid
    groups: list[range]
    letterbox: Letterbox
    dispatcher: Dispatcher | None
    whole: Context | None

    @classmethod
    def make(
        cls, engine: Engine, whole_engine: Engine, settings: PipelineSettings, frame_wh: tuple[int, int]
    ) -> _Plan:
        model_wh = engine.file.spec.input_wh
        grid = tile_grid(frame_wh, model_wh, settings.overlap)
        groups = split_groups(len(grid.origins), settings.groups) if "tiled" in settings.mode else []
        dispatcher = (
            new_dispatcher(settings.dispatch, engine, groups, settings.cpu_threads) if groups else None
        )
        whole = None
        if "global" in settings.mode:
            whole = whole_engine.new_context(1, threads=settings.cpu_threads)
        letterbox = Letterbox.fit(frame_wh, whole_engine.file.spec.input_wh)
        return cls(grid, groups, letterbox, dispatcher, whole)

    def close(self) -> None:
        if self.dispatcher is not None:
            self.dispatcher.close()
