from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.geometry.test_boxes import random_boxes
from yolotrt.geometry import merge as merge_module
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.merge import best_first, join, merge, nms, owners, suppress


def detections(n: int, seed: int, *, masks: bool = True, classes: int = 2) -> Detections:
    """Random detections, a third of them with equal scores, whose masks fill their boxes half."""
    rng = np.random.default_rng(seed)
    boxes = np.round(random_boxes(n, seed, 60, 40))
    scores = rng.choice([0.5, *rng.random(5)], n).astype(np.float32)
    drawn = None
    if masks:
        shapes = [(int(b[3] - b[1]), int(b[2] - b[0])) for b in boxes]
        bits = [rng.random(s) < 0.7 for s in shapes]
        drawn = tuple(Mask(int(b[0]), int(b[1]), m) for b, m in zip(boxes, bits, strict=True))
    return Detections(boxes, scores, rng.integers(0, classes, n), drawn)


def plain_nms(boxes, scores, classes, threshold, metric) -> list[int]:
    every = box_overlap(boxes, boxes, metric)
    kept: list[int] = []
    for i in best_first(boxes, scores, classes):
        if not any(classes[i] == classes[k] and every[i, k] > threshold for k in kept):
            kept.append(int(i))
    return kept


cases = given(
    st.integers(0, 60),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 0.5, 0.7]),
    st.sampled_from(["iou", "ios"]),
)


@settings(deadline=None, derandomize=True)
@cases
def test_nms_is_plain_greedy_nms(n, seed, threshold, metric) -> None:
    d = detections(n, seed, masks=False)
    kept = nms(d.boxes, d.scores, d.classes, threshold, metric=metric)
    assert kept.tolist() == plain_nms(d.boxes, d.scores, d.classes, threshold, metric)
    limited = nms(d.boxes, d.scores, d.classes, threshold, metric=metric, limit=3)
    assert limited.tolist() == kept[:3].tolist()


def test_nms_in_portions_is_nms_at_once(monkeypatch) -> None:
    d = detections(300, 7, masks=False)
    at_once = nms(d.boxes, d.scores, d.classes, 0.3)
    monkeypatch.setattr(merge_module, "_AT_ONCE", 20)
    assert nms(d.boxes, d.scores, d.classes, 0.3).tolist() == at_once.tolist()
    assert nms(d.boxes, d.scores, d.classes, 0.3, limit=5).tolist() == at_once[:5].tolist()


def test_thousands_of_equal_boxes_are_no_trap() -> None:
    n = 8400
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (n, 1))
    kept = nms(boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int64), 0.7, limit=300)
    assert len(kept) == 1


@settings(deadline=None, derandomize=True)
@cases
def test_each_detection_is_kept_or_owned_exactly_once(n, seed, threshold, metric) -> None:
    d = detections(n, seed)
    every = box_overlap(d.boxes, d.boxes, metric)
    for shape in ("boxes", "masks"):
        owner = owners(d, threshold, metric=metric, shape=shape)
        assert (owner[owner] == owner).all()  # an owner is kept itself
        assert (d.classes[owner] == d.classes).all()
        assert (d.scores[owner] >= d.scores).all()
        if shape == "boxes":
            owned = np.flatnonzero(owner != np.arange(n))
            assert (every[owned, owner[owned]] > threshold).all()
    assert len(suppress(d, threshold, metric=metric)) == len(merge(d, threshold, metric=metric))


@settings(deadline=None, derandomize=True)
@cases
def test_the_order_of_the_input_does_not_matter(n, seed, threshold, metric) -> None:
    d = detections(n, seed)
    shuffled = d.take(np.random.default_rng(seed + 1).permutation(n))
    for shape in ("boxes", "masks"):
        a = merge(d, threshold, metric=metric, shape=shape)
        b = merge(shuffled, threshold, metric=metric, shape=shape)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.scores, b.scores)
        np.testing.assert_array_equal(a.classes, b.classes)
        assert [m.area for m in a.masks or ()] == [m.area for m in b.masks or ()]


def test_inputs_are_not_changed() -> None:
    d = detections(40, 3)
    boxes, bits = d.boxes.copy(), [m.bits.copy() for m in d.masks or ()]
    merge(d, 0.2)
    np.testing.assert_array_equal(d.boxes, boxes)
    assert all((m.bits == b).all() for m, b in zip(d.masks or (), bits, strict=True))


@pytest.mark.parametrize("masks", [True, False])
def test_two_halves_become_one(masks) -> None:
    boxes = np.array([[0, 0, 60, 20], [40, 0, 100, 20], [40, 0, 100, 20]], np.float32)
    halves = tuple(Mask(int(b[0]), 0, np.ones((20, 60), bool)) for b in boxes)
    d = Detections(
        boxes, np.array([0.6, 0.9, 0.8], np.float32), np.array([1, 1, 2]), halves if masks else None
    )
    joined = merge(d, 0.3)
    np.testing.assert_array_equal(joined.boxes, [[0, 0, 100, 20], [40, 0, 100, 20]])
    np.testing.assert_array_equal(joined.scores, np.array([0.9, 0.8], np.float32))
    if masks:
        assert joined.masks is not None
        assert (joined.masks[0].x, joined.masks[0].area) == (0, 2000)
    assert len(suppress(d, 0.3, metric="ios")) == 2
    assert len(merge(d, 0.3, metric="iou")) == 3


def test_an_owner_does_not_take_what_it_has_outgrown() -> None:
    """The third overlaps the best enough, but not the best and the second together."""
    boxes = np.array([[100, 100, 110, 110], [104, 100, 204, 110], [100, 0, 110, 106]], np.float32)
    d = Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64))
    assert owners(d, 0.5).tolist() == [0, 0, 0]
    np.testing.assert_array_equal(merge(d, 0.5).boxes, [[100, 100, 204, 110]])


@settings(deadline=None, derandomize=True)
@cases
def test_merging_by_boxes_is_plain_greedy_merging(n, seed, threshold, metric) -> None:
    """One detection after the other, as SAHI's GreedyNMM does it."""
    d = detections(n, seed, masks=False)
    d = d.take(best_first(d.boxes, d.scores, d.classes))
    every, taken, expected = box_overlap(d.boxes, d.boxes, metric), np.zeros(n, bool), []
    for i in range(n):
        if not taken[i]:
            owned = (d.classes == d.classes[i]) & (every[i] > threshold) & ~taken & (np.arange(n) > i)
            taken |= owned
            box = d.boxes[i]
            for k in np.flatnonzero(owned):
                if box_overlap(box[None], d.boxes[k, None], metric)[0, 0] > threshold:
                    box = np.append(np.minimum(box[:2], d.boxes[k, :2]), np.maximum(box[2:], d.boxes[k, 2:]))
            expected.append([*box, d.scores[i], d.classes[i]])
    found = merge(d, threshold, metric=metric)
    rows = np.column_stack([found.boxes, found.scores, found.classes])
    assert sorted(rows.tolist()) == sorted(np.array(expected).reshape(-1, 6).tolist())


def test_masks_tell_apart_what_boxes_cannot() -> None:
    box = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    upper, lower = np.triu(np.ones((10, 10), bool), 1), np.tril(np.ones((10, 10), bool), -1)
    d = Detections(
        box, np.array([0.9, 0.8], np.float32), np.array([0, 0]), (Mask(0, 0, upper), Mask(0, 0, lower))
    )
    assert len(suppress(d, 0.5, shape="boxes")) == 1
    assert len(suppress(d, 0.5, shape="masks")) == 2


def test_nothing_merges_to_nothing() -> None:
    assert len(merge(Detections.empty(), 0.5)) == 0
    assert len(suppress(Detections.empty(masks=False), 0.5, shape="masks")) == 0


def test_join_follows_the_owners() -> None:
    d = detections(3, 11)
    joined = join(d, np.array([2, 1, 2]))
    assert len(joined) == 2
