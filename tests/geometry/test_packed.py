"""Packed masks against masks drawn one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.geometry.mask import Mask, clip_mask, join_masks, shared_pixels
from yolotrt.geometry.packed import PackedMasks, mask_areas, shared_areas


def random_masks(n: int, seed: int) -> list[Mask]:
    """Masks of 0 to 150 px a side, some empty, that often overlap."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(0, rng.choice([5, 40, 150], n)[:, None] + 1, (n, 2))
    corners = rng.integers(-20, 200, (n, 2))
    return [
        Mask(int(x), int(y), rng.random((h, w)) < 0.6)
        for (x, y), (h, w) in zip(corners.tolist(), sides.tolist(), strict=True)
    ]


def assert_same(a: Mask, b: Mask) -> None:
    assert (a.x, a.y) == (b.x, b.y)
    np.testing.assert_array_equal(a.bits, b.bits)


cases = given(st.integers(1, 20), st.integers(0, 10**6))


@settings(deadline=None, derandomize=True, max_examples=50)
@cases
def test_masks_come_back_as_they_were(n, seed) -> None:
    masks = random_masks(n, seed)
    packed = PackedMasks.of(masks)
    for ours, theirs in zip(packed, masks, strict=True):
        assert_same(ours, theirs)
    assert_same(packed.moved(7, -3)[-1], masks[-1].moved(7, -3))
    assert [m.area for m in packed[1:]] == [m.area for m in masks[1:]]
    order = np.random.default_rng(seed).permutation(n)
    for ours, i in zip(packed.take(order), order.tolist(), strict=True):
        assert_same(ours, masks[i])


@settings(deadline=None, derandomize=True, max_examples=50)
@cases
def test_masks_of_several_arrays_are_one_sequence(n, seed) -> None:
    masks, others = random_masks(n, seed), random_masks(3, seed + 1)
    packed, more = PackedMasks.of(masks), PackedMasks.of(others)
    both = PackedMasks.concatenate([packed[: n // 2], more, packed[n // 2 :], more[:1]])
    expected = [*masks[: n // 2], *others, *masks[n // 2 :], others[0]]
    for ours, theirs in zip(both, expected, strict=True):
        assert_same(ours, theirs)


@settings(deadline=None, derandomize=True, max_examples=50)
@cases
def test_joined_masks_are_unions(n, seed) -> None:
    masks, rng = random_masks(n, seed), np.random.default_rng(seed)
    group = rng.permutation(n)[: rng.integers(1, n + 1)].tolist()
    joined = PackedMasks.of(masks).joined({group[0]: group})
    assert_same(joined[group[0]], join_masks([masks[i] for i in group]))
    again = joined.joined({group[-1]: [group[-1], group[0]]})
    assert_same(again[group[-1]], join_masks([masks[group[-1]], joined[group[0]]]))
    for i, (ours, theirs) in enumerate(zip(joined.simple, joined, strict=True)):
        assert_same(ours, theirs)
        assert i == group[0] or ours.area == masks[i].area


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.integers(1, 20), st.integers(0, 10**6), st.booleans())
def test_shared_pixels_are_counted(n, seed, shifted) -> None:
    masks, rng = random_masks(n, seed), np.random.default_rng(seed)
    packed = PackedMasks.of(masks)
    if shifted:  # so that the bytes of some lie across the columns of the others
        some = [m.moved(3, 0) for m in masks[::2]]
        packed = PackedMasks.concatenate([PackedMasks.of(some).moved(-3, 0), PackedMasks.of(masks[1::2])])
        masks = [*masks[::2], *masks[1::2]]
    first, second = rng.integers(0, n, (2, 30))
    corner = rng.integers(-30, 200, (30, 2)) // 4 * 4
    within = np.concatenate([corner, corner + rng.integers(0, 200, (30, 2)) // 4 * 4], axis=1)
    pairs = [(masks[i], masks[j]) for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    assert shared_areas(packed, first, second).tolist() == [shared_pixels(a, b) for a, b in pairs]
    clipped = [(clip_mask(a, *r), clip_mask(b, *r)) for (a, b), r in zip(pairs, within.tolist(), strict=True)]
    assert shared_areas(packed, first, second, within).tolist() == [shared_pixels(a, b) for a, b in clipped]
    assert mask_areas(packed, first).tolist() == [a.area for a, _ in pairs]
    assert mask_areas(packed, first, within).tolist() == [a.area for a, _ in clipped]


def test_nothing_is_packed() -> None:
    none = np.zeros(0, np.int64)
    assert len(PackedMasks.of([])) == 0
    assert shared_areas(PackedMasks.of([]), none, none).tolist() == []
