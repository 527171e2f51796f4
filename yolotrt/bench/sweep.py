"""Measure engines over passes, groups and dispatch modes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from yolotrt.arrays import Frame
from yolotrt.backends.base import Engine, EngineFile
from yolotrt.bench.energy_use import measure_energy
from yolotrt.bench.paced import measure_paced
from yolotrt.bench.result import Case, CaseResult
from yolotrt.bench.rounds import EachFrame, Measurement, Rounds, Running, measure_rounds
from yolotrt.bench.settings import SweepSettings as SweepSettings
from yolotrt.bench.stopping import WarmupRule
from yolotrt.errors import ArtifactError, UsageError
from yolotrt.geometry.tiles import tile_grid
from yolotrt.machine.energy import EnergyMeter, energy_meter
from yolotrt.pipeline.dispatch import DISPATCH_MODES
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import DISPATCHES, Dispatch, GlobalOrder, PipelineSettings
from yolotrt.pipeline.tile_choice import ALL_TILES
from yolotrt.pipeline.tile_use import UseTally
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.clock import Clock, now, seconds_between
from yolotrt.timing.trace import INTERVAL

BURST = 9
"""Frames of one measurement where several are in flight; the first has none before it."""


@dataclass(frozen=True)
class EnginePair:
    """What is measured together: an engine for the tiles, and one for the global pass if it has its own."""

    tiles: Engine
    global_engine: Engine | None = None

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The one or two engines."""
        return (self.tiles,) if self.global_engine is None else (self.tiles, self.global_engine)

    @property
    def name(self) -> str:
        """Name for tables."""
        return " + ".join(engine.file.name for engine in self.engines)

    @property
    def precision(self) -> str:
        """Precision for tables; joined if the two differ."""
        return " + ".join(
            dict.fromkeys(e.file.precision for e in (self.tiles, self.global_engine) if e is not None)
        )


@dataclass(frozen=True)
class PipelineSubject:
    """A pipeline as something to be measured."""

    case: Case
    pipeline: TiledPipeline
    depth: int = 1
    use: UseTally = field(default_factory=UseTally)

    def measure(self, frame: Frame) -> Measurement:
        """Process one frame, or a short burst of it where several frames are in flight."""
        if self.depth == 1:
            result = self.pipeline(frame)
            if result.looked is not None:
                self.use.add(result.looked)
            return measured(result)
        results, stamps = [], []
        for result in self.pipeline.frames([frame] * BURST):
            results.append(result)
            stamps.append(now())
        results.sort(key=lambda r: r.trace.seconds("end_to_end") or 0.0)
        found = measured(results[len(results) // 2])
        found.stages[INTERVAL] = seconds_between(stamps[0], stamps[-1]) / (len(stamps) - 1)
        return found


def measured(result: FrameResult) -> Measurement:
    """Return what one frame says about its case.

    Its result was there when the frame's own span ended: reading the device's events comes after that, and is
    not done by whoever does not measure.
    """
    ends = [s.end_ns for s in result.trace.spans if (s.stage, s.on) == ("end_to_end", "host")]
    done_ns = max(ends, default=None)
    return Measurement(result.trace.stages(), result.trace.spans, len(result.detections), done_ns)


def sweep(
    engines: Sequence[Engine],
    frames: Sequence[Frame],
    settings: SweepSettings,
    progress: Progress = no_progress,
) -> tuple[CaseResult, ...]:
    """Measure every case of one engine each; see :func:`measure`."""
    return measure([EnginePair(engine) for engine in engines], frames, settings, progress=progress)[0]


def measure(
    engines: Sequence[EnginePair],
    frames: Sequence[Frame],
    settings: SweepSettings,
    *,
    earlier: Sequence[CaseResult] = (),
    spent_s: float = 0.0,
    each_frame: EachFrame = lambda _cases, _seconds: None,
    progress: Progress = no_progress,
    clock: Clock = now,
) -> tuple[tuple[CaseResult, ...], Rounds]:
    """Measure every case on every frame in turn; see :func:`yolotrt.bench.rounds.measure_rounds`.

    Args:
        engines: Loaded engines; their contexts share buffers, so cases never run concurrently.
        frames: At least one (h, w, 3) uint8 BGR frame.
        settings: What to measure.
        earlier: Cases of an interrupted run of the same sweep, to be continued.
        spent_s: Seconds which that run had measured.
        each_frame: Called after each frame of each case.
        progress: Told after each round.
        clock: Read by the rules and by the traces.

    Raises:
        UsageError: More groups than tiles.
        ArtifactError: ``earlier`` is of another sweep.
        ExecutionError: An engine failed.
    """
    subjects = [subject for pair in engines for subject in new_subjects(pair, settings, frames, clock)]
    try:
        running = _running(subjects, earlier)
        with energy_meter(_gpus(engines), clock) as meter:
            rounds = _measured(
                running,
                frames,
                settings,
                meter,
                spent_s,
                each_frame=each_frame,
                progress=progress,
                clock=clock,
            )
        results = [
            replace(entry.result(), group_bytes=subject.pipeline.group_bytes, tiles=subject.use.report())
            for entry, subject in zip(running, subjects, strict=True)
        ]
    finally:
        for subject in subjects:
            subject.pipeline.close()
    return tuple(results), rounds


def _measured(
    running: list[Running],
    frames: Sequence[Frame],
    settings: SweepSettings,
    meter: EnergyMeter | None,
    spent_s: float,
    *,
    each_frame: EachFrame,
    progress: Progress,
    clock: Clock,
) -> Rounds:
    """Measure back to back or at the frames' own pace, and the energy with it."""
    stop, warmup, pace = settings.stop, WarmupRule(settings.warmup), settings.pace
    if pace is not None:
        return measure_paced(
            running, frames, stop, warmup, pace,
            spent_s=spent_s, each_frame=each_frame, meter=meter, progress=progress, clock=clock,
        )  # fmt: skip
    rounds = measure_rounds(
        running, frames, stop, warmup,
        spent_s=spent_s, each_frame=each_frame, progress=progress, clock=clock,
    )  # fmt: skip
    if meter is not None and settings.energy_s:
        measure_energy(running, frames, meter, settings.energy_s, progress=progress, clock=clock)
    return rounds


def _gpus(engines: Sequence[EnginePair]) -> list[str]:
    """Return where the GPUs sit that engines run on."""
    loaded = (engine for pair in engines for engine in pair.engines)
    return [part.device.info.pci_bus_id for engine in loaded for part in engine.parts]


def _running(subjects: Sequence[PipelineSubject], earlier: Sequence[CaseResult]) -> list[Running]:
    if not earlier:
        return [Running(subject) for subject in subjects]
    known = {entry.case: entry for entry in earlier}
    if set(known) != {subject.case for subject in subjects}:
        raise ArtifactError(
            "The interrupted run measured other cases.",
            hint="Repeat its options, or choose another --output.",
        )
    return [Running.resume(subject, known[subject.case]) for subject in subjects]


def with_fitting_groups(
    settings: SweepSettings, frame_wh: tuple[int, int], files: Iterable[EngineFile]
) -> SweepSettings:
    """Return settings without the numbers of groups that are larger than a frame's number of tiles.

    Args:
        settings: Their groups are a default, and nobody's wish.
        frame_wh: Width and height of the frame, px.
        files: The engines of the tiles.
    """
    tiles = min(_tiles(settings, frame_wh, file) for file in files)
    return replace(settings, groups=tuple(n for n in settings.groups if n <= tiles) or (1,))


def _check_groups(settings: SweepSettings, frame_wh: tuple[int, int], engine: Engine) -> None:
    """Refuse impossible group counts before minutes of measuring, not after."""
    if not any("tiled" in mode for mode in settings.modes):
        return
    tiles = _tiles(settings, frame_wh, engine.file)
    if max(settings.groups) > tiles:
        raise UsageError(
            f"A frame of {frame_wh[0]}x{frame_wh[1]} px has {tiles} tile{'s'[: tiles != 1]}; "
            f"{max(settings.groups)} groups are too many.",
            hint=f"Use --groups up to {tiles}, or a larger --source.",
        )


def _tiles(settings: SweepSettings, frame_wh: tuple[int, int], file: EngineFile) -> int:
    """Return into how many tiles an engine's input size cuts a frame."""
    return len(settings.tiles.of(tile_grid(frame_wh, file.spec.input_wh, settings.overlap)).origins)


def new_subjects(
    pair: EnginePair, settings: SweepSettings, frames: Sequence[Frame], clock: Clock = now
) -> list[PipelineSubject]:
    """Return every case of the settings for one engine or pair of engines; their pipelines want closing.

    Raises:
        UsageError: More groups than tiles in one of the frames.
    """
    for wh in sorted({(frame.shape[1], frame.shape[0]) for frame in frames}):
        _check_groups(settings, wh, pair.tiles)
    on_gpu = bool(pair.tiles.parts)
    chosen = settings.dispatch or _offered(pair)
    depth = settings.depth if on_gpu else 1
    found = []
    for mode in settings.modes:
        both = on_gpu and mode == "tiled+global"
        orders: tuple[GlobalOrder, ...] = settings.orders if both else ("concurrent",)
        # The global pass looks at one picture: nothing to split.
        ways = [(chosen[-1], 1)] if mode == "global" else [(d, g) for d in chosen for g in settings.groups]
        for order in orders:
            for dispatch, groups in ways:
                pipeline = PipelineSettings(
                    mode, groups, dispatch, settings.overlap, settings.threads, depth, order,
                    measure=True, merge=settings.merge,
                    tiles=settings.tiles if "tiled" in mode else ALL_TILES,
                )  # fmt: skip
                found.append(
                    PipelineSubject(
                        Case(
                            pair.name,
                            pair.precision,
                            mode,
                            "-" if mode == "global" else dispatch,
                            groups,
                            order,
                            depth,
                        ),
                        TiledPipeline(
                            pair.tiles,
                            pipeline,
                            global_engine=pair.global_engine,
                            clock=clock,
                            takes_turns=True,
                        ),
                        depth,
                    )
                )
    return found


def _offered(pair: EnginePair) -> tuple[Dispatch, ...]:
    """Return the dispatch modes that work where the engines are."""
    parts = [part for engine in pair.engines for part in engine.parts]
    if not parts:
        return DISPATCH_MODES
    if all(part.device.captures and part.capturable for part in parts):
        return DISPATCHES[1:]
    return tuple(mode for mode in DISPATCHES[1:] if mode != "graph")
