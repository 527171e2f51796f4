"""Measure many cases against each other, interleaved round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from yolotrt.backends.base import Engine
from yolotrt.bench.result import Case, CaseResult
from yolotrt.errors import UsageError
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.dispatch import DispatchMode
from yolotrt.pipeline.tiled import Frame, PassMode, PipelineSettings, TiledPipeline
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.trace import STAGES, now


@dataclass(frozen=True)
class SweepSettings:
    """What to measure and for how long.

    Attributes:
        modes: Passes to measure.
        dispatch: Dispatch modes to measure for each tiled pass.
        groups: Group counts to measure for each tiled pass.
        overlap: Tile overlap in [0, 1).
        threads: CPU threads that all groups together may use.
        iterations: Measured frames per case; ignored when ``duration_s`` is given.
        duration_s: Seconds to measure all cases together.
        warmup: Unmeasured frames per case, first.
    """

    modes: tuple[PassMode, ...] = ("tiled", "global")
    dispatch: tuple[DispatchMode, ...] = ("serial", "threads")
    groups: tuple[int, ...] = (1, 2, 4, 8)
    overlap: float = 0.2
    threads: int = 1
    iterations: int = 20
    duration_s: float | None = None
    warmup: int = 2


@dataclass
class _Running:
    """A case while it is measured."""

    case: Case
    pipeline: TiledPipeline
    samples: dict[str, list[float | None]] = field(default_factory=lambda: {s: [] for s in STAGES})
    warmup: list[float | None] = field(default_factory=list)
    detections: int = 0


def sweep(
    engines: Sequence[Engine],
    frames: Sequence[Frame],
    settings: SweepSettings,
    progress: Progress = no_progress,
) -> tuple[CaseResult, ...]:
    """Measure every case on every frame in turn.

    Rounds are interleaved: each round runs one frame through every case, so that a machine that slows
    down or warms up does so for all of them alike.

    Args:
        engines: Loaded engines; their contexts share buffers, so cases never run concurrently.
        frames: At least one (h, w, 3) uint8 BGR frame; round r uses frame r modulo their number.
        settings: What to measure.
        progress: Told after each round.

    Raises:
        UsageError: More groups than tiles.
        ExecutionError: An engine failed.
    """
    for engine in engines:
        for wh in sorted({(frame.shape[1], frame.shape[0]) for frame in frames}):
            _check_groups(settings, wh, engine)
    running = [entry for engine in engines for entry in _cases(engine, settings)]
    try:
        for _ in range(settings.warmup):
            for entry in running:
                entry.warmup.append(_measure(entry, frames[0])["end_to_end"])
        _rounds(running, frames, settings, progress)
    finally:
        for entry in running:
            entry.pipeline.close()
    return tuple(CaseResult(e.case, e.samples, e.warmup, e.detections) for e in running)


def _rounds(
    running: list[_Running], frames: Sequence[Frame], settings: SweepSettings, progress: Progress
) -> None:
    begin = now()
    rounds = 0
    while True:
        elapsed = (now() - begin) / 1e9
        if settings.duration_s is None:
            progress("measure", rounds, settings.iterations)
            done = rounds >= settings.iterations
        else:
            progress("measure", min(int(elapsed), int(settings.duration_s)), int(settings.duration_s))
            done = rounds > 0 and elapsed >= settings.duration_s
        if done:
            return
        for entry in running:
            for stage, seconds in _measure(entry, frames[rounds % len(frames)]).items():
                entry.samples[stage].append(seconds)
        rounds += 1


def _measure(entry: _Running, frame: Frame) -> dict[str, float | None]:
    result = entry.pipeline(frame)
    entry.detections = len(result.detections)
    return {stage: result.trace.seconds(stage) for stage in STAGES}


def _check_groups(settings: SweepSettings, frame_wh: tuple[int, int], engine: Engine) -> None:
    """Refuse impossible group counts before minutes of measuring, not after."""
    tiles = len(tile_grid(frame_wh, engine.file.spec.input_wh, settings.overlap).origins)
    if any("tiled" in mode for mode in settings.modes) and max(settings.groups) > tiles:
        raise UsageError(
            "A frame of {}x{} px has {} tiles; ".format(*frame_wh, tiles)
            + f"{max(settings.groups)} groups are too many.",
            hint=f"Use --groups up to {tiles}, or a larger --source.",
        )


def _cases(engine: Engine, settings: SweepSettings) -> list[_Running]:
    found = []
    for mode in settings.modes:
        if mode == "global":  # one picture: nothing to split
            variants: list[tuple[DispatchMode, int]] = [("serial", 1)]
        else:
            variants = [(d, g) for d in settings.dispatch for g in settings.groups]
        for dispatch, groups in variants:
            case = Case(
                engine.file.path.name,
                engine.file.precision,
                mode,
                "-" if mode == "global" else dispatch,
                groups,
            )
            pipeline = PipelineSettings(mode, groups, dispatch, settings.overlap, settings.threads)
            found.append(_Running(case, TiledPipeline(engine, pipeline)))
    return found
