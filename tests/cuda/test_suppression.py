"""Suppression as the GPU does it, among few candidates and among many, compiled for the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.host_kernels import CompiledDriver, compiler
from tests.cuda.suppression import COUNTS, FEW, assert_same, candidates, nearly, suppressed
from yolotrt.cuda.compile import kernel_source
from yolotrt.cuda.device import Device
from yolotrt.geometry.merge import nms

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs g++")


@pytest.fixture(scope="module")
def device() -> Device:
    return emulated(CompiledDriver())


def test_few_are_as_many_as_the_kernel_says() -> None:
    assert f"const int FEW = {FEW};" in kernel_source("candidates")


@pytest.mark.parametrize(
    ("threshold", "limit"), [(0.0, 40), (1 / 3, 2000), (0.5, 300), (0.7, 1), (0.75, 7), (1.0, 300)]
)
def test_the_same_are_kept(device: Device, threshold: float, limit: int) -> None:
    lists = [candidates(seed, count) for seed, count in enumerate(COUNTS)]
    expected = suppressed(emulated(), lists, threshold, limit)
    assert_same(suppressed(device, lists, threshold, limit), expected)
    kept = np.array([len(one) for one in expected])
    assert (kept < np.minimum(COUNTS, limit)).any() == (threshold < 1 and limit > 7), "no overlap exceeds 1"
    assert kept.max() == limit or limit == 2000


def test_the_host_keeps_the_same(device: Device) -> None:
    for seed, count in enumerate((50, 300, 900)):
        one = candidates(seed, count)
        (kept,) = suppressed(device, [one], 0.5, 400)
        # The host leaves what is equal in everything in its order.
        ordered = one[np.argsort(one["source"])]
        chosen = nms(ordered["box"], ordered["score"], ordered["label"].astype(np.int64), 0.5, limit=400)
        np.testing.assert_array_equal(kept["source"], ordered["source"][chosen])
        assert 5 < len(kept) < count


@pytest.mark.parametrize("threshold", [0.25, 1 / 3, 0.45, 0.7, 0.9])
def test_overlaps_next_to_the_threshold(device: Device, threshold: float) -> None:
    """Single precision could not tell them apart."""
    lists = nearly(threshold, 200)
    expected = suppressed(emulated(), lists, threshold, 4)
    assert_same(suppressed(device, lists, threshold, 4), expected)
    assert {len(kept) for kept in expected} == {1, 2}


@pytest.mark.parametrize("factor", [1e-24, 1e-12, 1e5, 1e17, 1e30])
def test_tiny_and_huge_boxes(device: Device, factor: float) -> None:
    """Their areas are too small or too large for single precision."""
    lists = nearly(0.45, 200, factor)
    assert_same(suppressed(device, lists, 0.45, 4), suppressed(emulated(), lists, 0.45, 4))


def test_broken_candidates_disturb_no_other_image(device: Device) -> None:
    lists = [candidates(seed, 100) for seed in range(3)]
    expected = suppressed(emulated(), lists, 0.5, 80)
    lists[1]["box"][::2, 1] = np.nan
    lists[1]["box"][::3, 2] = np.inf
    found = suppressed(device, lists, 0.5, 80)
    assert_same([found[0], found[2]], [expected[0], expected[2]])
    assert 1 <= len(found[1]) <= 80
