"""The kernels, compiled for the CPU, compute what their NumPy references compute."""

from __future__ import annotations

import numpy as np
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
from tests.cuda.host_kernels import CompiledDriver, compiler
from tests.cuda.test_reference import picture
from tests.data.yuv_frames import COLOURS, bgr, noise, soft
from tests.pipeline.crowds import GRID, crowd, without_masks
from yolotrt.cuda.device import Device
from yolotrt.data.colours import Colours
from yolotrt.errors import ExecutionError
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import split_groups, tile_grid
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.merge import MergeSettings

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs g++")


@pytest.fixture(scope="module")
def device() -> Device:
    return emulated(CompiledDriver())


@pytest.mark.parametrize("wh", [(70, 50), (33, 40), (64, 32)])
def test_cut_tiles(device: Device, wh: tuple[int, int]) -> None:
    frame, grid = picture(wh), tile_grid(wh, (32, 32), 0.3)
    tiles = range(len(grid.origins))
    expected = cut(emulated(), frame, grid, tiles)
    np.testing.assert_array_equal(cut(device, frame, grid, tiles), expected)


@pytest.mark.parametrize("wh", [(70, 50), (20, 33), (64, 32), (1, 1)])
def test_letterbox(device: Device, wh: tuple[int, int]) -> None:
    frame, box = picture(wh), Letterbox.fit(wh, (64, 32))
    np.testing.assert_array_equal(letterboxed(device, frame, box), letterboxed(emulated(), frame, box))


def planes(images: np.ndarray) -> np.ndarray:
    return images[..., ::-1].transpose(0, 3, 1, 2) / np.float32(255)


@pytest.mark.parametrize("colours", COLOURS, ids=str)
def test_frames_of_decoders(device: Device, colours: Colours) -> None:
    """Tiles are those of the picture in exact colours, to a level; the letterbox is close to its own."""
    samples, grid = noise((70, 50), colours), tile_grid((70, 50), (32, 32), 0.3)
    tiles = planes(np.stack(grid.cut(bgr(samples, colours))))
    for one in (device, emulated()):
        assert np.abs(prepared_yuv(one, samples, colours, grid) - tiles).max() <= 1.01 / 255
    box = Letterbox.fit((70, 50), (64, 32))
    found = prepared_yuv(device, samples, colours, box)
    assert np.abs(found - prepared_yuv(emulated(), samples, colours, box)).max() <= 1.01 / 255
    even = soft((70, 50), colours)
    image = planes(box.apply(bgr(even, colours))[None])
    assert np.abs(prepared_yuv(device, even, colours, box) - image).max() <= 3.01 / 255


@pytest.mark.parametrize("head", ["raw", "end2end"])
@pytest.mark.parametrize("wh", [(64, 64), (20, 20), (150, 90), (1, 5)])
def test_decoding(device: Device, head: str, wh: tuple[int, int]) -> None:
    spec, values, prototypes = random_heads(head, images=2, seed=1)
    settings = DecodeSettings(conf=0.4, iou=0.5, max_det=8)
    placement = Letterbox.fit(wh, (64, 64))
    expected = decoded(emulated(), values, prototypes, spec, placement, settings)
    found = decoded(device, values, prototypes, spec, placement, settings)
    assert sum(map(len, found)) > 5
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(ours.classes, theirs.classes)
        for a, b in zip(ours.masks or (), theirs.masks or (), strict=True):
            assert (a.x, a.y, a.bits.shape) == (b.x, b.y, b.bits.shape)
            assert np.count_nonzero(a.bits != b.bits) <= max(1, a.bits.size // 1000)


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("global_pass", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.8])
def test_merging(device: Device, threshold: float, global_pass: bool, masks: bool) -> None:
    settings = MergeSettings(threshold=threshold)
    counts = np.zeros(3, np.int64)
    for seed, shares in ((0, 2), (2, 1), (5, 4)):  # as if so many GPUs had looked
        tiles, frame = crowd(seed, 8 * seed, global_pass=global_pass)
        if not masks:
            tiles, frame = without_masks(tiles, frame)
        parts = split_groups(len(tiles), shares)
        found, expected = merged(device, tiles, GRID, frame, settings, parts, conf=0.05 * seed)
        assert found is not None
        assert_identical(found, expected)
        counts += len(found), sum(map(len, tiles)), bool(masks and (np.diff(found.masks.spans) > 1).any())
    assert 20 < counts[0] < counts[1], "there was something to merge"
    assert counts[2] or not masks, "some masks are of several pieces"


def test_too_many_pairs_are_left_to_the_host(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles, frame = crowd(1, 40, global_pass=True)
    monkeypatch.setattr("yolotrt.pipeline.device.merge._PAIRS_PER_DETECTION", 0)
    found, expected = merged(device, tiles, GRID, frame, MergeSettings())
    assert found is None
    assert len(expected) > 10


def test_broken_prototypes_are_found(device: Device) -> None:
    spec, values, prototypes = random_heads("raw", images=2, seed=3)
    prototypes[1] = np.inf
    settings = DecodeSettings(conf=0.3, max_det=5)
    with pytest.raises(ExecutionError, match="NaN"):
        decoded(device, values, prototypes, spec, Letterbox.fit((64, 64), (64, 64)), settings)
