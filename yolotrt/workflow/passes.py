"""What tiles, the whole frame and both together find, and cost, from one look at each image."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import Engine, EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.bench.metrics import taken
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.statistics import summarize
from yolotrt.bench.stopping import WarmupRule
from yolotrt.bench.sweep import SweepSettings, measured
from yolotrt.evaluation.coco import Evaluation, Evaluator
from yolotrt.evaluation.comparison import compare
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.evaluation.recall import SmallRecall
from yolotrt.evaluation.run import annotated_images
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.settings import DISPATCHES, Dispatch
from yolotrt.pipeline.tiled import PASS_MODES, FrameResult, PassMode, PipelineSettings, TiledPipeline
from yolotrt.progress import Progress, no_progress
from yolotrt.workflow.evaluate import COCO_DECODE, EngineAccuracy

_STAGES: dict[PassMode, str] = {"tiled": "tiles", "global": "global", "tiled+global": "end_to_end"}
"""Where the trace of a frame that both passes looked at holds the time of each."""


BOTH_NOTE = "tiled+global was measured after the other cases, in the way that was fastest for the tiles."


@dataclass(frozen=True)
class BothPasses:
    """Tiles and whole frame together.

    Attributes:
        case: What was measured.
        found: What each pass found in the last frame.
    """

    case: CaseResult
    found: dict[PassMode, Detections]


def fastest(result: RunResult, engine: str, mode: PassMode) -> CaseResult | None:
    """Return an engine's case with the least median latency in one mode, or None if there is none."""

    def median(entry: CaseResult) -> float:
        summary = summarize(entry.samples["end_to_end"])
        return float("inf") if summary is None else summary.p50

    cases = [c for c in result.cases if c.case.engine == engine and c.case.mode == mode]
    return min(cases, key=median, default=None)


def measure_both(
    engine: Engine, frame: npt.NDArray[np.uint8], result: RunResult, sweep: SweepSettings
) -> BothPasses:
    """Measure tiles and whole frame together, in the way that was fastest for the tiles alone.

    Args:
        engine: Looks at both.
        frame: (h, w, 3) uint8 BGR.
        result: A sweep of this engine over tiled passes.
        sweep: How often to measure.

    Raises:
        ExecutionError: The engine failed.
    """
    best = fastest(result, engine.file.name, "tiled")
    assert best is not None
    pipeline = PipelineSettings(
        "tiled+global",
        best.case.groups,
        _dispatch(best.case),
        overlap=sweep.overlap,
        cpu_threads=sweep.threads,
        measure=True,
    )
    case = replace(best.case, mode=pipeline.mode)
    with TiledPipeline(engine, pipeline) as both:
        running = Running(subject := _Kept(case, both))
        measure_rounds([running], [frame], sweep.stop, WarmupRule(sweep.warmup))
    assert subject.last is not None
    wh = (frame.shape[1], frame.shape[0])
    return BothPasses(running.result(), by_pass(subject.last, wh, engine.file, pipeline))


def _dispatch(case: Case) -> Dispatch:
    return next(way for way in DISPATCHES if way == case.dispatch)


@dataclass
class _Kept:
    """A pipeline to be measured whose last result is wanted, too."""

    case: Case
    pipeline: TiledPipeline
    last: FrameResult | None = None

    def measure(self, frame: npt.NDArray[np.uint8]) -> Measurement:
        self.last = self.pipeline(frame)
        return measured(self.last)


def evaluate_passes(
    files: Sequence[EngineFile],
    truth: GroundTruth,
    folder: Path,
    *,
    overlap: float = 0.2,
    threads: int = 1,
    device: str = "auto",
    progress: Progress = no_progress,
) -> dict[PassMode, list[EngineAccuracy]]:
    """Evaluate every pass from one look at each image, as :func:`evaluate_engines` would one by one.

    Tiles and whole frame are looked at once and merged for each pass. The seconds of ``tiled`` and
    ``global`` are those of their part of that look, by the GPU's clock where they ran side by side.

    Args:
        files: The engines; the first one is the reference.
        truth: The annotations.
        folder: Where the images lie.
        overlap: Tile overlap.
        threads: CPU threads of an engine.
        device: Where they run; see :func:`yolotrt.backends.placement.place`.
        progress: Told after each image.

    Raises:
        YoloTrtError: As :func:`evaluate_engines`.
    """
    settings = PipelineSettings(
        "tiled+global", overlap=overlap, cpu_threads=threads, decode=COCO_DECODE, measure=True
    )
    found: dict[PassMode, list[EngineAccuracy]] = {mode: [] for mode in PASS_MODES}
    for file in files:
        for mode, (evaluation, seconds, recall) in _look(
            file, device, truth, folder, settings, progress
        ).items():
            entries = found[mode]
            against = compare(entries[0].evaluation, evaluation) if entries else None
            entries.append(EngineAccuracy(file, evaluation, against, mode, seconds, recall))
    return found


def _look(
    file: EngineFile,
    device: str,
    truth: GroundTruth,
    folder: Path,
    settings: PipelineSettings,
    progress: Progress,
) -> dict[PassMode, tuple[Evaluation, tuple[float, ...], float | None]]:
    evaluators = {mode: Evaluator(truth, file.spec.names) for mode in PASS_MODES}
    small = {mode: SmallRecall(truth, file.spec.names) for mode in PASS_MODES}
    seconds: dict[PassMode, list[float]] = {mode: [] for mode in PASS_MODES}

    def report(_step: str, done: int, total: int) -> None:
        progress(f"evaluate {file.name}, all passes", done, total)

    with closing(load_engine(file, device)) as engine, TiledPipeline(engine, settings) as pipeline:
        for image_id, pixels in annotated_images(truth, folder, report):
            result = pipeline(pixels)
            wh = (pixels.shape[1], pixels.shape[0])
            for mode, detections in by_pass(result, wh, file, settings).items():
                evaluators[mode].add(image_id, detections)
                small[mode].add(image_id, detections)
                if (took := pass_seconds(result, mode)) is not None:
                    seconds[mode].append(took)
    return {
        mode: (evaluators[mode].result(), tuple(seconds[mode]), small[mode].result()) for mode in PASS_MODES
    }


def pass_seconds(result: FrameResult, mode: PassMode) -> float | None:
    """Return how long a pass took in a frame that both passes looked at; None if nothing measured it."""
    stage = _STAGES[mode]
    return taken({name: [value] for name, value in result.trace.stages().items()}, stage)[0]


def by_pass(
    result: FrameResult, frame_wh: tuple[int, int], file: EngineFile, settings: PipelineSettings
) -> dict[PassMode, Detections]:
    """Return what each pass alone would have found, of a frame that both passes looked at.

    Args:
        result: Of a pipeline in the mode ``tiled+global``.
        frame_wh: Width and height of the frame, px.
        file: The engine of the tiles.
        settings: Those of the pipeline.
    """
    assert result.whole is not None
    grid = tile_grid(frame_wh, file.spec.input_wh, settings.overlap)
    return {
        "tiled": merge_frame(result.tiles, grid, None, settings.merge),
        "global": result.whole,
        "tiled+global": result.detections,
    }
