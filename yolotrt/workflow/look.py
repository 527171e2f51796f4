"""One look at each annotated image, judged for every pass that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import Engine, EngineFile
from yolotrt.bench.metrics import taken
from yolotrt.evaluation.coco import Evaluation, Evaluator, MatchedPart
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
    looks = Looks(engine.file, truth, settings, modes)
    with TiledPipeline(engine, settings) as pipeline:
        for image_id, pixels in annotated_images(truth, folder, progress):
            looks.look(pipeline, image_id, pixels)
    return looks.judged()


@dataclass(frozen=True)
class LooksPart:
    """What was found in some of the images.

    Attributes:
        matches: How the detections fared, by mode.
        small: Small objects that were found, and all of them, by mode.
        seconds: Time of each image by its id, by mode.
    """

    matches: dict[PassMode, MatchedPart]
    small: dict[PassMode, tuple[int, int]]
    seconds: dict[PassMode, dict[int, float]]


class Looks:
    """Judges images one after the other, here or in parts elsewhere.

    Args:
        file: The engine that looks.
        truth: The annotations.
        settings: The pipeline's.
        modes: The passes to judge.

    Raises:
        ArtifactError: Engine and annotations have no class in common.
    """

    def __init__(
        self, file: EngineFile, truth: GroundTruth, settings: PipelineSettings, modes: Sequence[PassMode]
    ) -> None:
        self._file, self._truth, self._settings, self._modes = file, truth, settings, tuple(modes)
        self._evaluators = {mode: Evaluator(truth, file.spec.names) for mode in modes}
        self._small = {mode: SmallRecall(truth, file.spec.names) for mode in modes}
        self._seconds: dict[PassMode, dict[int, float]] = {mode: {} for mode in modes}

    def look(self, pipeline: TiledPipeline, image_id: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Run the pipeline on an image, (h, w, 3) uint8 BGR, and judge each mode."""
        result = pipeline(pixels)
        wh = (pixels.shape[1], pixels.shape[0])
        for mode in self._modes:
            begin = now()
            found = _found(result, mode, wh, self._file, self._settings)
            merging = seconds_between(begin, now())
            self._evaluators[mode].add(image_id, found)
            self._small[mode].add(image_id, found)
            alone = mode == self._settings.mode
            took = _seconds(result, "end_to_end" if alone else _STAGES[mode])
            if took is not None:
                self._seconds[mode][image_id] = took + (0.0 if alone else merging)

    def part(self) -> LooksPart:
        """Return what was seen so far."""
        return LooksPart(
            {mode: evaluator.part() for mode, evaluator in self._evaluators.items()},
            {mode: small.part() for mode, small in self._small.items()},
            {mode: dict(seconds) for mode, seconds in self._seconds.items()},
        )

    def absorb(self, part: LooksPart) -> None:
        """Take over what was seen elsewhere; in whatever order, the figures are the same to the bit."""
        for mode in self._modes:
            self._evaluators[mode].absorb(part.matches[mode])
            self._small[mode].absorb(part.small[mode])
            self._seconds[mode] |= part.seconds[mode]

    def judged(self) -> dict[PassMode, Judged]:
        """Return the figures over all images."""
        ids = [image.id for image in self._truth.images]
        return {
            mode: Judged(
                self._evaluators[mode].result(),
                tuple(self._seconds[mode][key] for key in ids if key in self._seconds[mode]),
                self._small[mode].result(),
            )
            for mode in self._modes
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
    return merge_frame(result.tiles, grid, None, settings.merge, conf=settings.decode.conf)


def _seconds(result: FrameResult, stage: str) -> float | None:
    return taken({name: [value] for name, value in result.trace.stages().items()}, stage)[0]
