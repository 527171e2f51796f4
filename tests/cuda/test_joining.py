"""Chains and rings of fragments over many tiles, joined as the GPU does it, compiled for the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.gpu_work import assert_identical, merged
from tests.cuda.host_kernels import CompiledDriver, compiler
from tests.cuda.joining import LONG_GRID, MOST_JOINTS, TALL_GRID, crossing, long_objects
from yolotrt.cuda.compile import kernel_source
from yolotrt.cuda.device import Device
from yolotrt.geometry import seams
from yolotrt.pipeline.device.merge import MOST_EDGES
from yolotrt.pipeline.merge import MergeSettings

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs g++")


@pytest.fixture(scope="module")
def device() -> Device:
    return emulated(CompiledDriver())


@pytest.fixture
def joints(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs of fragments the host joins, or tries to, in each merge."""
    numbers: list[int] = []
    edges_of = seams.edges_of

    def counted(first: np.ndarray, second: np.ndarray) -> object:
        numbers.append(len(first))
        return edges_of(first, second)

    monkeypatch.setattr(seams, "edges_of", counted)
    return numbers


def test_as_many_fit_as_the_kernel_says() -> None:
    assert f"const int MOST_JOINTS = {MOST_JOINTS};" in kernel_source("merge")


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6])
def test_chains_and_rings(device: Device, joints: list[int], threshold: float) -> None:
    for seed in range(4):
        tiles = long_objects(seed, 4 + 5 * seed)
        found, expected = merged(device, tiles, LONG_GRID, None, MergeSettings(threshold=threshold))
        assert found is not None
        assert_identical(found, expected)
        assert len(expected) < 0.6 * sum(map(len, tiles))
    assert 40 < max(joints) < MOST_JOINTS


def test_more_than_fit(device: Device, joints: list[int]) -> None:
    for seed, count in ((9, 25), (9, 40)):
        tiles = long_objects(seed, count)
        found, expected = merged(device, tiles, LONG_GRID, None, MergeSettings(threshold=0.1))
        assert found is not None
        assert_identical(found, expected)
        assert MOST_JOINTS < joints.pop() <= MOST_EDGES


@pytest.mark.parametrize(("count", "unseen"), [(1, 1), (2, 0), (341, 0), (342, 1), (343, 2)])
def test_just_as_many_as_fit(device: Device, joints: list[int], count: int, unseen: int) -> None:
    tiles = crossing(count, unseen)
    found, expected = merged(device, tiles, TALL_GRID, None, MergeSettings())
    assert found is not None
    assert_identical(found, expected)
    assert joints == [3 * count - 2 * unseen]
    assert abs(joints[0] - MOST_JOINTS) <= 1 or count < 3
    assert len(expected) == count
