from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.geometry.detections import Mask
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.mask import clip_mask, join_masks, shared_pixels
from yolotrt.geometry.masks import assemble_masks, interpolations
from yolotrt.geometry.tiles import tile_grid

FRAME_WH = (40, 30)


def drawn(mask: Mask, frame_wh: tuple[int, int] = FRAME_WH) -> np.ndarray:
    """The mask as an array of the whole frame."""
    frame = np.zeros((frame_wh[1], frame_wh[0]), bool)
    height, width = mask.bits.shape
    frame[mask.y : mask.y + height, mask.x : mask.x + width] = mask.bits
    return frame


@st.composite
def masks(draw) -> Mask:
    x, y = draw(st.integers(0, FRAME_WH[0])), draw(st.integers(0, FRAME_WH[1]))
    width, height = draw(st.integers(0, FRAME_WH[0] - x)), draw(st.integers(0, FRAME_WH[1] - y))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return Mask(x, y, rng.random((height, width)) < draw(st.sampled_from([0.0, 0.3, 1.0])))


def resized_reference(prototypes: np.ndarray, coefficients: np.ndarray, placement: Letterbox) -> np.ndarray:
    """The whole mask by OpenCV, for placements whose padding is whole prototype pixels."""
    logits = np.tensordot(coefficients, prototypes, 1)
    (x, y), (width, height) = placement.pad_xy, placement.resized_wh
    content = logits[y // 4 : (y + height) // 4, x // 4 : (x + width) // 4]
    return cv2.resize(content, placement.image_wh, interpolation=cv2.INTER_LINEAR) > 0


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.sampled_from([(64, 64), (128, 96), (200, 100), (37, 37), (16, 64), (640, 320)]),
    st.integers(0, 10**6),
)
def test_a_mask_is_the_enlarged_logits_inside_the_box(image_wh, seed) -> None:
    rng = np.random.default_rng(seed)
    placement = Letterbox.fit(image_wh, (64, 64))
    prototypes = rng.normal(size=(4, 16, 16)).astype(np.float32)
    coefficients = rng.normal(size=(3, 4)).astype(np.float32)
    corners = rng.uniform(0, image_wh, (3, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    boxes[0] = [0, 0, *image_wh]
    for box, weights, mask in zip(
        boxes, coefficients, assemble_masks(prototypes, coefficients, boxes, placement), strict=True
    ):
        whole = resized_reference(prototypes, weights, placement)
        columns, rows = np.arange(image_wh[0]), np.arange(image_wh[1])
        inside = ((rows >= box[1]) & (rows < box[3]))[:, None] & (columns >= box[0]) & (columns < box[2])
        assert np.count_nonzero(drawn(mask, image_wh) ^ (whole & inside)) <= 1e-4 * whole.size


def test_a_padded_tile_uses_only_the_part_that_shows_the_frame() -> None:
    placement = tile_grid((40, 64), (64, 64)).placement
    prototypes = np.full((1, 16, 16), -1, np.float32)
    prototypes[:, :, :10] = 1  # 40 px of frame, then padding that must not bleed in
    mask = assemble_masks(
        prototypes, np.ones((1, 1), np.float32), np.array([[0, 0, 40, 64]], np.float32), placement
    )
    assert mask[0].bits.shape == (64, 40)
    assert mask[0].bits.all()


def test_padding_of_half_a_prototype_pixel_is_cut_exactly() -> None:
    placement = Letterbox.fit((100, 94), (100, 100))  # 3 px of padding above: no whole prototype pixel
    columns, rows = interpolations(placement, (25, 25))
    assert rows.weights.shape == (94, 25)
    np.testing.assert_allclose(rows.weights.sum(axis=1), 1, rtol=1e-6)
    # Row r of the image is row r + 3 of the input, whose centre lies at (r + 3.5) / 4 - 0.5 prototype px.
    np.testing.assert_allclose(rows.weights @ np.arange(25), np.arange(94) / 4 + 0.375, atol=1e-6)
    np.testing.assert_allclose(
        (columns.weights @ np.arange(25))[2:-2], np.arange(100)[2:-2] / 4 - 0.375, atol=1e-6
    )


def test_empty_boxes_give_empty_masks() -> None:
    boxes = np.array([[5, 5, 5, 9], [5.2, 1, 5.9, 9], [63.5, 0, 64, 64]], np.float32)
    found = assemble_masks(
        np.ones((1, 16, 16), np.float32),
        np.ones((3, 1), np.float32),
        boxes,
        Letterbox.fit((64, 64), (64, 64)),
    )
    assert [m.area for m in found] == [0, 0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_prototypes_are_noticed(bad) -> None:
    prototypes = np.ones((2, 16, 16), np.float32)
    prototypes[1, 5, 5] = bad
    box = np.array([[0, 0, 64, 64]], np.float32)
    with pytest.raises(FloatingPointError):
        assemble_masks(prototypes, np.ones((1, 2), np.float32), box, Letterbox.fit((64, 64), (64, 64)))


@settings(deadline=None, derandomize=True)
@given(masks(), masks())
def test_shared_pixels(a, b) -> None:
    assert shared_pixels(a, b) == shared_pixels(b, a) == np.count_nonzero(drawn(a) & drawn(b))


@settings(deadline=None, derandomize=True)
@given(st.lists(masks(), min_size=1, max_size=4))
def test_joined_masks_are_the_union(parts) -> None:
    joined = join_masks(parts)
    np.testing.assert_array_equal(drawn(joined), np.any([drawn(p) for p in parts], axis=0))


@settings(deadline=None, derandomize=True)
@given(masks(), st.tuples(*[st.integers(0, 40)] * 4))
def test_clipped_mask(mask, rectangle) -> None:
    left, top, right, bottom = rectangle
    inside = np.zeros((FRAME_WH[1], FRAME_WH[0]), bool)
    inside[top:bottom, left:right] = True
    clipped = clip_mask(mask, *rectangle)
    assert clipped.area == np.count_nonzero(drawn(mask) & inside)
    if clipped.area:
        np.testing.assert_array_equal(drawn(clipped), drawn(mask) & inside)
