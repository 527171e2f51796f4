from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.geometry import boxes as boxes_module
from yolotrt.geometry.boxes import areas, box_overlap, overlapping_pairs


def random_boxes(n: int, seed: int, spread: float = 200, largest: float = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, spread, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(0, largest, (n, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("a", "b", "iou", "ios"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1, 1),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3, 1 / 2),
        ((0, 0, 10, 10), (2, 2, 4, 4), 0.04, 1),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0, 0),  # touching is not overlapping
        ((0, 0, 10, 10), (3, 3, 3, 8), 0, 0),  # empty
        ((5, 5, 5, 5), (5, 5, 5, 5), 0, 0),  # both empty: no division by zero
        ((0, 0, 10, 10), (8, 0, 2, 10), 0, 0),  # inside out
    ],
)
def test_overlap_of_two(a, b, iou, ios) -> None:
    one, other = np.array([a], np.float32), np.array([b], np.float32)
    assert box_overlap(one, other, "iou")[0, 0] == pytest.approx(iou)
    assert box_overlap(one, other, "ios")[0, 0] == pytest.approx(ios)
    assert box_overlap(other, one, "ios")[0, 0] == pytest.approx(ios)


def test_areas() -> None:
    np.testing.assert_array_equal(areas(np.array([[1, 2, 4, 6], [4, 6, 1, 2]], np.float32)), [12, 0])


@settings(deadline=None, derandomize=True)
@given(
    st.integers(0, 60),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.1, 0.5, 0.7, 0.99]),
    st.sampled_from(["iou", "ios"]),
    st.integers(1, 4),
)
def test_the_sweep_finds_what_comparing_all_finds(n, seed, threshold, metric, classes) -> None:
    boxes = random_boxes(n, seed)
    labels = np.random.default_rng(seed).integers(0, classes, n)
    every = np.triu(box_overlap(boxes, boxes, metric), 1)
    every[labels[:, None] != labels[None]] = 0
    first, second, values = overlapping_pairs(boxes, labels, threshold, metric)
    assert sorted(zip(first, second, strict=True)) == sorted(zip(*np.nonzero(every > threshold), strict=True))
    np.testing.assert_allclose(values, every[first, second], rtol=1e-12)


def test_the_sweep_works_in_small_portions(monkeypatch) -> None:
    boxes, labels = random_boxes(300, 1), np.zeros(300, np.int64)
    at_once = set(zip(*overlapping_pairs(boxes, labels, 0.3)[:2], strict=True))
    monkeypatch.setattr(boxes_module, "_PAIRS_AT_ONCE", 100)
    assert set(zip(*overlapping_pairs(boxes, labels, 0.3)[:2], strict=True)) == at_once


def test_boxes_left_of_the_frame_stay_in_their_class() -> None:
    boxes = np.array([[-50, 0, -10, 10], [-50, 0, -10, 10], [900, 0, 940, 10]], np.float32)
    first, second, _ = overlapping_pairs(boxes, np.array([0, 1, 0]), 0.1)
    assert len(first) == len(second) == 0
