"""Run a detector over annotated images and measure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.data.formats.pictures import read_annotated
from yolotrt.evaluation.coco import Evaluation, Evaluator
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.geometry.detections import Detections
from yolotrt.progress import Progress, no_progress

Predict = Callable[[npt.NDArray[np.uint8]], Detections]
"""Takes an image, (h, w, 3) uint8 BGR, and returns its detections in px of that image."""


def evaluate_predictor(
    predict: Predict,
    names: Sequence[str],
    truth: GroundTruth,
    folder: Path | None,
    *,
    progress: Progress = no_progress,
) -> Evaluation:
    """Measure a detector on all images of the ground truth.

    Use a low confidence threshold (0.001) and several labels per box: mAP wants the whole curve.

    Args:
        predict: The detector.
        names: Its class names, by index.
        truth: The annotated images.
        folder: Where the image files are, unless ``truth`` knows.
        progress: Told after each image.

    Raises:
        InputError: An image file is missing.
        ImageError: An image cannot be read.
        ArtifactError: An image is not of the annotated size, or no class is in common.
        ExecutionError: The engine failed, or its outputs are NaN.
    """
    evaluator = Evaluator(truth, names)
    for image_id, pixels in annotated_images(truth, folder, progress):
        evaluator.add(image_id, predict(pixels))
    return evaluator.result()


def annotated_images(
    truth: GroundTruth, folder: Path | None, progress: Progress = no_progress
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Yield the id and the pixels, (h, w, 3) uint8 BGR, of each annotated image.

    Raises:
        InputError: An image file is missing.
        ImageError: An image cannot be read.
        ArtifactError: An image is not of the annotated size.
    """
    files = truth.files(folder)
    for done, (image, path) in enumerate(zip(truth.images, files, strict=True), start=1):
        yield image.id, read_annotated(image, path)
        progress("evaluate", done, len(files))
