"""One look at each annotated image, judged for every pass that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolotrt.backends.base import Engine, EngineFile
from yolotrt.bench.metrics import taken
from yolotrt.evaluation.coco import Evaluation, Evaluator
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.evaluation.recall import SmallRecall
from yolotrt.evaluation.run import annotated_images
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.tiled import FrameResult, PassMode, PipelineSettings, TiledPipeline
from yolotrt.progress import Progress
from yolotrt.timing.clock import now, seconds_between

_STAGES: dict[PassMode, str] = {"tiled": "tiles", "global": "global", "tiled+global": "end_to_end"}
"""Where the trace of a frame that both passes looked at holds the time of each."""


@dataclass(frozen=True)
class Judged:
    """What an engine finds in one pass.

    Attributes:
        evaluation: Its accuracy.
        seconds: Time of each image from pixels to merged detections; empty if it was not measured.
        small_recall: Part of the small objects that is found; None if there are none.
    """

    evaluation: Evaluation
    seconds: tuple[float, ...]
    small_recall: float | None


def looks_at(modes: Sequence[PassMode]) -> PassMode:
    """Return the passes that answer for all modes at once: a mode by itself, or tiles and global pass."""
    distinct = set(modes)
    return distinct.pop() if len(distinct) == 1 else "tiled+global"


def judge_passes(
    engine: Engine,
    truth: GroundTruth,
    folder: Path | None,
    settings: PipelineSettings,
    modes: Sequence[PassMode],
    progress: Progress,
) -> dict[PassMode, Judged]:
    """Run an engine over all images once and judge what each pass finds.

    With several modes a pass's seconds are those of its part of the look, and the merge that it needs.

    Args:
        engine: The engine.
        truth: The annotations.
        folder: Where the images lie, unless ``truth`` knows.
        settings: Its mode is that of :func:`looks_at`.
        modes: The passes to judge.
        progress: Told after each image.

    Raises:
        YoloTrtError: An image cannot be used, or the engine failed.
    """
    file = engine.file
    evaluators = {mode: Evaluator(truth, file.spec.names) for mode in modes}
    small = {mode: SmallRecall(truth, file.spec.names) for mode in modes}
    seconds: dict[PassMode, list[float]] = {mode: [] for mode in modes}

    with TiledPipeline(engine, settings) as pipeline:
        for image_id, pixels in annotated_images(truth, folder, progress):
            result = pipeline(pixels)
            wh = (pixels.shape[1], pixels.shape[0])
            for mode in modes:
                begin = now()
                found = _found(result, mode, wh, file, settings)
                merging = seconds_between(begin, now())
                evaluators[mode].add(image_id, found)
                small[mode].add(image_id, found)
                stage = "end_to_end" if mode == settings.mode else _STAGES[mode]
                if (took := _seconds(result, stage)) is not None:
                    seconds[mode].append(took + (merging if mode != settings.mode else 0.0))
    return {
        mode: Judged(evaluators[mode].result(), tuple(seconds[mode]), small[mode].result()) for mode in modes
    }


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
    return {mode: _found(result, mode, frame_wh, file, settings) for mode in _STAGES}


def _found(
    result: FrameResult,
    mode: PassMode,
    frame_wh: tuple[int, int],
    file: EngineFile,
    settings: PipelineSettings,
) -> Detections:
    if mode == settings.mode:
        return result.detections
    if mode == "global":
        assert result.global_pass is not None
        return result.global_pass
    grid = tile_grid(frame_wh, file.spec.input_wh, settings.overlap)
    return merge_frame(result.tiles, grid, None, settings.merge)


def _seconds(result: FrameResult, stage: str) -> float | None:
    return taken({name: [value] for name, value in result.trace.stages().items()}, stage)[0]
