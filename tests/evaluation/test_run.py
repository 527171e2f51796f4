from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.evaluation.worlds import IMAGE_WH, NAMES, detect, world
from yolotrt.errors import ArtifactError, InputError
from yolotrt.evaluation.coco import evaluate
from yolotrt.evaluation.run import evaluate_predictor


@pytest.fixture
def annotated(tmp_path: Path):
    _, truth = world(tmp_path, 5, images=4)
    for image in truth.images:
        pixels = np.full((IMAGE_WH[1], IMAGE_WH[0], 3), 10 * image.id, np.uint8)
        cv2.imwrite(str(tmp_path / image.name), pixels)
    return truth


def test_each_image_goes_through_the_detector(annotated, tmp_path: Path) -> None:
    results = detect(annotated, 1)
    seen: list[tuple[str, int, int]] = []
    evaluation = evaluate_predictor(
        lambda pixels: results[int(pixels[0, 0, 0]) // 10],
        NAMES,
        annotated,
        tmp_path,
        progress=lambda *step: seen.append(step),
    )
    assert evaluation.accuracy == evaluate(annotated, NAMES, results.items()).accuracy
    assert seen == [("evaluate", k, 4) for k in range(1, 5)]


def test_an_image_of_another_size(annotated, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((40, 30, 3), np.uint8))
    with pytest.raises(ArtifactError, match="30x40 px, but 200x160 px"):
        evaluate_predictor(lambda _: pytest.fail("ran"), NAMES, annotated, tmp_path)


def test_a_missing_image_is_noticed_before_anything_runs(annotated, tmp_path: Path) -> None:
    (tmp_path / "3.png").unlink()
    with pytest.raises(InputError, match=r"3\.png"):
        evaluate_predictor(lambda _: pytest.fail("ran"), NAMES, annotated, tmp_path)
