from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.evaluation.worlds import IMAGE_WH, world
from yolotrt.errors import ArtifactError, InputError
from yolotrt.evaluation.run import annotated_images


@pytest.fixture
def annotated(tmp_path: Path):
    _, truth = world(tmp_path, 5, images=4)
    for image in truth.images:
        pixels = np.full((IMAGE_WH[1], IMAGE_WH[0], 3), 10 * image.id, np.uint8)
        cv2.imwrite(str(tmp_path / image.name), pixels)
    return truth


def test_each_image_comes_with_its_pixels(annotated, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    found = list(annotated_images(annotated, tmp_path, lambda *step: steps.append(step)))
    assert [key for key, _ in found] == [image.id for image in annotated.images]
    assert [int(pixels[0, 0, 0]) // 10 for _, pixels in found] == [key for key, _ in found]
    assert steps == [("evaluate", k, 4) for k in range(1, 5)]


def test_an_image_of_another_size(annotated, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((40, 30, 3), np.uint8))
    with pytest.raises(ArtifactError, match="30x40 px, but 200x160 px"):
        next(annotated_images(annotated, tmp_path))


def test_a_missing_image_is_noticed_before_anything_runs(annotated, tmp_path: Path) -> None:
    (tmp_path / "3.png").unlink()
    with pytest.raises(InputError, match=r"3\.png"):
        next(annotated_images(annotated, tmp_path))
