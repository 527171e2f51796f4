from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from yolotrt.errors import InputError
from yolotrt.evaluation.agreement import agreement
from yolotrt.geometry.detections import Detections, Mask


def squares(*places: int, scores: float = 0.5, classes: int = 0, masks: bool = True) -> Detections:
    """Squares of 10 px at the given columns."""
    n = len(places)
    boxes = np.array([[x, 0, x + 10, 10] for x in places], np.float32).reshape(-1, 4)
    drawn = tuple(Mask(x, 0, np.ones((10, 10), bool)) for x in places)
    return Detections(
        boxes, np.full(n, scores, np.float32), np.full(n, classes, np.int64), drawn if masks else None
    )


def test_the_same_detections_agree_fully() -> None:
    one = squares(0, 20, 25)
    result = agreement([(one, one), (squares(5), squares(5))])
    assert (result.images, result.reference, result.detections, result.matched) == (2, 4, 4, 4)
    assert result.found == result.confirmed == result.box_iou == result.mask_iou == 1
    assert result.score_drift == 0
    assert result.score_slope == 0.25
    assert json.loads(json.dumps(dataclasses.asdict(result)))["matched"] == 4


def test_shifted_and_fainter_detections() -> None:
    result = agreement([(squares(0, 50, scores=0.5), squares(2, 70, 90, scores=0.25))])
    assert (result.matched, result.found) == (1, 0.5)
    assert result.confirmed == pytest.approx(1 / 3)
    assert result.box_iou == result.mask_iou == pytest.approx(8 / 12)
    assert result.score_drift == pytest.approx(-0.25)


def test_each_object_is_matched_once_and_to_the_nearest() -> None:
    result = agreement([(squares(0, 2), squares(2))])
    assert (result.matched, result.box_iou) == (1, 1)


def test_another_class_is_another_object() -> None:
    result = agreement([(squares(0), squares(0, classes=1))])
    assert (result.matched, result.box_iou, result.mask_iou, result.score_drift) == (0, None, None, None)


def test_boxes_alone_and_nothing_found() -> None:
    result = agreement([(squares(0, masks=False), Detections.empty(masks=False))])
    assert (result.found, result.confirmed, result.mask_iou) == (0, 0, None)


def test_nothing_to_agree_on() -> None:
    with pytest.raises(InputError, match="nothing in 1 images"):
        agreement([(Detections.empty(), squares(0))])
