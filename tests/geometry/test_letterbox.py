from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.geometry.letterbox import PADDING, Letterbox, network_input

sides = st.integers(1, 3000)
model_sides = st.sampled_from([32, 320, 416, 640, 1280])


@pytest.mark.parametrize(
    ("image_wh", "resized_wh", "pad_xy"),
    [
        ((640, 480), (640, 480), (0, 80)),
        ((480, 640), (480, 640), (80, 0)),
        ((500, 375), (640, 480), (0, 80)),
        ((640, 427), (640, 427), (0, 106)),  # 213 px of padding: the larger half below
        ((3840, 2160), (640, 360), (0, 140)),
        ((1, 3000), (1, 640), (319, 0)),  # never thinner than a pixel
    ],
)
def test_fit_rounds_as_in_training(image_wh, resized_wh, pad_xy) -> None:
    box = Letterbox.fit(image_wh, (640, 640))
    assert (box.resized_wh, box.pad_xy) == (resized_wh, pad_xy)


@settings(deadline=None, derandomize=True)
@given(sides, sides, model_sides, model_sides)
def test_fit_touches_two_edges_and_centres(w, h, mw, mh) -> None:
    box = Letterbox.fit((w, h), (mw, mh))
    assert box.resized_wh[0] == mw or box.resized_wh[1] == mh
    for side, inner, pad in zip((mw, mh), box.resized_wh, box.pad_xy, strict=True):
        after = side - inner - pad
        assert 0 <= pad <= after <= pad + 1


@settings(deadline=None, derandomize=True)
@given(sides, sides, model_sides, st.integers(0, 2**32 - 1))
def test_boxes_return_to_the_image(w, h, side, seed) -> None:
    box = Letterbox.fit((w, h), (side, side))
    corners = np.random.default_rng(seed).uniform(0, [w, h], (5, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    scales = np.divide(box.resized_wh, (w, h))
    there = (boxes * np.tile(scales, 2) + np.tile(box.pad_xy, 2)).astype(np.float32)
    np.testing.assert_allclose(box.boxes_to_image(there), boxes, atol=2e-3 * max(w, h) / 640 + 2e-3)
    assert box.boxes_to_image(there).dtype == np.float32


def test_boxes_are_clipped_to_the_image() -> None:
    box = Letterbox.fit((640, 480), (640, 640))
    outside = np.array([[-5, 0, 700, 640]], np.float32)
    np.testing.assert_array_equal(box.boxes_to_image(outside), [[0, 0, 640, 480]])


def test_apply_pads_and_resizes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (75, 100, 3), np.uint8)
    box = Letterbox.fit((100, 75), (64, 64))
    result = box.apply(image)
    inside = cv2.resize(image, (64, 48), interpolation=cv2.INTER_LINEAR)
    expected = cv2.copyMakeBorder(inside, 8, 8, 0, 0, cv2.BORDER_CONSTANT, value=(PADDING,) * 3)
    np.testing.assert_array_equal(result, expected)
    out = np.zeros((64, 64, 3), np.uint8)
    assert box.apply(image, out) is out
    np.testing.assert_array_equal(out, expected)


def test_apply_refuses_another_image() -> None:
    with pytest.raises(ValueError, match="expected an image"):
        Letterbox.fit((100, 75), (64, 64)).apply(np.zeros((75, 101, 3), np.uint8))


def test_fit_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="cannot fit"):
        Letterbox.fit((0, 75), (64, 64))


def test_network_input_is_rgb_in_unit_range() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (300, 500, 3), np.uint8)
    views = [frame[10:170, 20:180], frame[140:300, 340:500]]
    result = network_input(views)
    expected = np.stack([v[..., ::-1].transpose(2, 0, 1) for v in views]).astype(np.float32) / 255
    np.testing.assert_array_equal(result, expected)
    out = np.full_like(result, -1)
    assert network_input(views, out) is out
    np.testing.assert_array_equal(out, expected)


def test_network_input_refuses_a_buffer_of_another_batch() -> None:
    with pytest.raises(ValueError, match="zip"):
        network_input([np.zeros((8, 8, 3), np.uint8)], np.zeros((2, 3, 8, 8), np.float32))
