"""Drawn pictures: what must be visible, and what must be left alone."""

from __future__ import annotations

import numpy as np

from yolotrt.geometry.detections import Detections, Mask
from yolotrt.report.draw import draw


def _people(n: int, *, step: int = 60) -> Detections:
    boxes = np.array([[20 + step * k, 60, 60 + step * k, 160] for k in range(n)], np.float32)
    masks = tuple(Mask(int(x), 60, np.ones((100, 40), bool)) for x in boxes[:, 0])
    return Detections(boxes, np.linspace(0.9, 0.4, n).astype(np.float32), np.zeros(n, np.int64), masks)


def test_the_image_itself_is_not_touched_nor_anything_far_from_a_box() -> None:
    image = np.full((240, 400, 3), 90, np.uint8)
    drawn = draw(image, _people(2), ["person"])
    assert (image == 90).all()
    assert (drawn[200:] == 90).all()
    assert (drawn[100, 40] != 90).any()


def test_neighbours_of_one_class_can_be_told_apart() -> None:
    drawn = draw(np.zeros((240, 400, 3), np.uint8), _people(3), ["person"])
    colors = {tuple(drawn[130, 40 + 60 * k].tolist()) for k in range(3)}
    assert len(colors) == 3


def test_no_label_hides_another() -> None:
    image = np.zeros((240, 400, 3), np.uint8)
    alone, crowd = draw(image, _people(1), ["person"]), draw(image, _people(6, step=4), ["person"])
    label = slice(40, 59), slice(22, 60)  # above the first box
    np.testing.assert_array_equal(alone[label], crowd[label])


def test_masks_and_boxes_beyond_the_edge() -> None:
    found = Detections(
        np.array([[-5, -5, 30, 30]], np.float32), np.array([0.5], np.float32), np.array([0]), None
    )
    assert draw(np.zeros((20, 20, 3), np.uint8), found, ["person"]).shape == (20, 20, 3)
