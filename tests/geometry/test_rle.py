from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference

from tests.geometry.test_masks import FRAME_WH, drawn, masks
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.rle import coco_rle, compress, decode_rle, decompress, run_lengths


@settings(deadline=None, derandomize=True, max_examples=300)
@given(masks())
def test_equals_pycocotools(mask) -> None:
    expected = reference.encode(np.asfortranarray(drawn(mask), dtype=np.uint8))
    assert coco_rle(mask, FRAME_WH) == expected


@settings(deadline=None, derandomize=True, max_examples=300)
@given(masks())
def test_comes_back(mask) -> None:
    back = decode_rle(coco_rle(mask, FRAME_WH))
    np.testing.assert_array_equal(drawn(back), drawn(mask))
    if back.bits.size:  # cropped as far as possible
        assert all(edge.any() for edge in (back.bits[0], back.bits[-1], back.bits[:, 0], back.bits[:, -1]))


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30))
def test_compressed_counts_come_back(counts) -> None:
    assert decompress(compress(np.array(counts))).tolist() == counts


@pytest.mark.parametrize("text", [b"", b"P", b"0P", b"~", b"1 2", b"ooooooooooooooooo0", b"4000"])
def test_text_that_is_no_mask(text) -> None:
    with pytest.raises(ValueError, match="run length"):
        decode_rle({"size": [30, 40], "counts": text})


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools with NumPy 2
@pytest.mark.parametrize(
    "counts", [[0, 0, 6, 0], [0, 3, 0, 3], [2, 0, 0, 4], [6], [0, 6], [1, 0, 1, 1, 3], [0, 0, 0, 0, 1, 5]]
)
def test_runs_of_no_length(counts: list[int]) -> None:
    encoded = {"size": [2, 3], "counts": compress(np.array(counts, np.int64))}
    back = decode_rle(encoded)
    whole = np.zeros((2, 3), bool)
    height, width = back.bits.shape
    whole[back.y : back.y + height, back.x : back.x + width] = back.bits
    np.testing.assert_array_equal(whole, reference.decode(encoded))


def test_a_mask_of_the_full_height_has_one_run() -> None:
    mask = Mask(2, 0, np.ones((30, 3), bool))
    assert run_lengths(mask, FRAME_WH).tolist() == [60, 90, 1050]


def test_an_empty_mask_is_all_background() -> None:
    assert run_lengths(Mask(3, 3, np.zeros((0, 0), bool)), FRAME_WH).tolist() == [1200]


def test_a_mask_that_fills_the_frame() -> None:
    assert run_lengths(Mask(0, 0, np.ones((30, 40), bool)), FRAME_WH).tolist() == [0, 1200]
