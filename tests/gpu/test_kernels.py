"""The kernels compute what their NumPy references compute. Run under compute-sanitizer too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.gpu_work import (
    assert_identical,
    cut,
    decoded,
    letterboxed,
    merged,
    prepared_yuv,
    random_heads,
)
from tests.cuda.joining import LONG_GRID, TALL_GRID, crossing, long_objects
from tests.cuda.suppression import COUNTS, assert_same, candidates, nearly, suppressed
from tests.data.yuv_frames import COLOURS, noise
from tests.pipeline.crowds import FRAME_WH, GRID, crowd, filled, seen_by_tiles, without_masks
from yolotrt.cuda.device import Device
from yolotrt.data.colours import Colours
from yolotrt.errors import ExecutionError
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import split_groups, tile_grid
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.merge import MergeSettings

pytestmark = pytest.mark.gpu

SIZES = [(200, 150), (64, 64), (65, 64), (40, 30), (127, 31), (640, 481), (1, 1), (3, 200)]
HALVES = [np.float32, np.float16]


def picture(wh: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (wh[1], wh[0], 3), np.uint8)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("wh", SIZES)
def test_cut_tiles(gpu: Device, wh: tuple[int, int], dtype: Any) -> None:
    frame, grid = picture(wh), tile_grid(wh, (64, 96), 0.3)
    tiles = range(len(grid.origins))
    for bgr in (True, False):
        expected = cut(emulated(), frame, grid, tiles, bgr=bgr, dtype=dtype)
        np.testing.assert_array_equal(cut(gpu, frame, grid, tiles, bgr=bgr, dtype=dtype), expected)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("wh", SIZES)
def test_letterbox(gpu: Device, wh: tuple[int, int], dtype: Any) -> None:
    frame, box = picture(wh), Letterbox.fit(wh, (96, 64))
    expected = letterboxed(emulated(), frame, box, dtype=dtype)
    np.testing.assert_array_equal(letterboxed(gpu, frame, box, dtype=dtype), expected)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("colours", COLOURS, ids=str)
def test_frames_of_decoders(gpu: Device, colours: Colours, dtype: Any) -> None:
    for wh in ((200, 150), (64, 64), (642, 482), (2, 2), (4, 200)):
        samples = noise(wh, colours)
        for how in (tile_grid(wh, (64, 96), 0.3), Letterbox.fit(wh, (96, 64))):
            expected = prepared_yuv(emulated(), samples, colours, how, dtype=dtype)
            found = prepared_yuv(gpu, samples, colours, how, dtype=dtype)
            assert np.abs(found.astype(np.float32) - expected).max() <= 1.2 / 255


@pytest.mark.parametrize("head", ["raw", "end2end"])
@pytest.mark.parametrize("wh", [(64, 64), (200, 150), (50, 90), (20, 20), (1, 5), (500, 100)])
@pytest.mark.parametrize("dtype", HALVES)
def test_decoding(gpu: Device, head: str, wh: tuple[int, int], dtype: Any) -> None:
    spec, values, prototypes = random_heads(head, images=5, seed=1)
    values, prototypes = values.astype(dtype), prototypes.astype(dtype)
    placement = Letterbox.fit(wh, (64, 64))
    for settings in (
        DecodeSettings(conf=0.3, iou=0.5, max_det=15),
        DecodeSettings(conf=0.01, iou=0.7, max_det=300),
        DecodeSettings(conf=0.999),
        DecodeSettings(conf=0.1, masks=False),
    ):
        expected = decoded(emulated(), values, prototypes, spec, placement, settings)
        found = decoded(gpu, values, prototypes, spec, placement, settings)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours.boxes, theirs.boxes)
            np.testing.assert_array_equal(ours.scores, theirs.scores)
            np.testing.assert_array_equal(ours.classes, theirs.classes)
            for a, b in zip(ours.masks or (), theirs.masks or (), strict=True):
                assert (a.x, a.y, a.bits.shape) == (b.x, b.y, b.bits.shape)
                assert np.count_nonzero(a.bits != b.bits) <= max(1, a.bits.size // 1000)


@pytest.mark.parametrize(
    ("threshold", "limit"), [(0.0, 40), (1 / 3, 2000), (0.5, 300), (0.7, 1), (0.75, 7), (1.0, 300)]
)
def test_suppression(gpu: Device, threshold: float, limit: int) -> None:
    lists = [candidates(seed, count) for seed, count in enumerate(COUNTS * 3)]
    if threshold:
        lists += nearly(threshold, 200)
    expected = suppressed(emulated(), lists, threshold, limit)
    assert_same(suppressed(gpu, lists, threshold, limit), expected)


@pytest.mark.parametrize("factor", [1e-24, 1e-12, 1e5, 1e17, 1e30])
def test_suppression_of_tiny_and_huge_boxes(gpu: Device, factor: float) -> None:
    lists = nearly(0.45, 500, factor)
    assert_same(suppressed(gpu, lists, 0.45, 4), suppressed(emulated(), lists, 0.45, 4))


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("global_pass", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.8])
def test_merging(gpu: Device, threshold: float, global_pass: bool, masks: bool) -> None:
    settings = MergeSettings(threshold=threshold)
    for seed in range(12):
        tiles, frame = crowd(seed, 8 * seed, global_pass=global_pass)
        if not masks:
            tiles, frame = without_masks(tiles, frame)
        parts = split_groups(len(tiles), 1 + seed % 4)  # as if so many GPUs had looked
        found, expected = merged(gpu, tiles, GRID, frame, settings, parts, conf=0.02 * seed)
        assert found is not None
        assert_identical(found, expected)


@pytest.mark.parametrize("threshold", [0.1, 0.6])
def test_joining_chains_and_rings(gpu: Device, threshold: float) -> None:
    """Along few pairs of fragments, and along more than fit into shared memory."""
    for seed, count in enumerate((4, 8, 12, 16, 20, 24, 30, 40)):
        tiles = long_objects(seed, count)
        found, expected = merged(gpu, tiles, LONG_GRID, None, MergeSettings(threshold=threshold))
        assert found is not None
        assert_identical(found, expected)


@pytest.mark.parametrize(("count", "unseen"), [(1, 0), (341, 0), (342, 1), (343, 2), (1400, 100)])
def test_joining_as_many_as_fit(gpu: Device, count: int, unseen: int) -> None:
    """As many pairs of fragments as fit into shared memory, one more, and more fragments than fit."""
    found, expected = merged(gpu, crossing(count, unseen), TALL_GRID, None, MergeSettings())
    assert found is not None
    assert_identical(found, expected)
    assert len(found) == count


def test_merging_a_great_many(gpu: Device) -> None:
    """More detections than a block has threads, in every step."""
    rng = np.random.default_rng(5)
    corner = rng.integers(0, [FRAME_WH[0] - 60, FRAME_WH[1] - 60], (1500, 2))
    objects = np.concatenate([corner, corner + rng.integers(12, 60, (1500, 2))], axis=1).astype(np.float32)
    classes = rng.integers(0, 40, 1500)
    tiles = seen_by_tiles(objects, classes)
    frame = filled(objects, rng.uniform(0.3, 0.95, 1500), classes)
    found, expected = merged(gpu, tiles, GRID, frame, MergeSettings())
    assert found is not None
    assert len(found) > 1024
    assert_identical(found, expected)


def test_decoding_the_same_twice_gives_the_same_bits(gpu: Device) -> None:
    spec, values, prototypes = random_heads("raw", images=8, seed=4)
    placement, settings = Letterbox.fit((640, 480), (64, 64)), DecodeSettings(conf=0.05)
    first = decoded(gpu, values, prototypes, spec, placement, settings)
    for _ in range(5):
        again = decoded(gpu, values, prototypes, spec, placement, settings)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.boxes, b.boxes)
            assert all(
                np.array_equal(p.bits, q.bits) for p, q in zip(a.masks or (), b.masks or (), strict=True)
            )


@pytest.mark.parametrize("head", ["raw", "end2end"])
@pytest.mark.parametrize("row", [4, 0, -1])
def test_broken_outputs_are_found(gpu: Device, head: str, row: int) -> None:
    spec, values, prototypes = random_heads(head, images=2, seed=3)
    (values if head == "raw" else values.transpose(0, 2, 1))[1, row] = np.nan
    placement = Letterbox.fit((64, 64), (64, 64))
    with pytest.raises(ExecutionError, match="NaN"):
        decoded(gpu, values, prototypes, spec, placement, DecodeSettings(conf=0.1))
