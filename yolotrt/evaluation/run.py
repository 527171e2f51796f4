"""The annotated images, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.data.formats.pictures import read_annotated
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.progress import Progress, no_progress


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
