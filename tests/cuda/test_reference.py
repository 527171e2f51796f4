"""The NumPy kernels compute what the CPU pipeline computes, so comparing with them is comparing with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.cuda.emulator import HostDriver, emulated
from tests.cuda.gpu_work import cut, decoded, letterboxed, random_heads
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.decode import DecodeSettings, decode

SIZES = [(200, 150), (64, 64), (65, 64), (40, 30), (127, 31), (640, 480), (1, 1)]


def picture(wh: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (wh[1], wh[0], 3), np.uint8)


@pytest.mark.parametrize("wh", SIZES)
def test_cutting_is_exact(wh: tuple[int, int]) -> None:
    frame, grid = picture(wh), tile_grid(wh, (64, 64))
    tiles = cut(emulated(), frame, grid, range(len(grid.origins)))
    np.testing.assert_array_equal(tiles, network_input(grid.cut(frame)))


def test_cutting_takes_rgb_frames_too() -> None:
    frame, grid = picture((100, 80)), tile_grid((100, 80), (64, 64))
    bgr = cut(emulated(), frame, grid, range(4))
    rgb = cut(emulated(), np.ascontiguousarray(frame[..., ::-1]), grid, range(4), bgr=False)
    np.testing.assert_array_equal(rgb, bgr)


@pytest.mark.parametrize("wh", SIZES)
def test_letterboxing_is_exact(wh: tuple[int, int]) -> None:
    frame, box = picture(wh), Letterbox.fit(wh, (64, 64))
    np.testing.assert_array_equal(
        letterboxed(emulated(), frame, box)[0], network_input([box.apply(frame)])[0]
    )


def test_letterboxing_is_exact_at_random_sizes() -> None:
    rng, device = np.random.default_rng(8), emulated()
    for seed in range(60):
        wh = (int(rng.integers(1, 300)), int(rng.integers(1, 300)))
        frame, box = picture(wh, seed), Letterbox.fit(wh, (160, 96))
        ours, theirs = letterboxed(device, frame, box), network_input([box.apply(frame)])
        np.testing.assert_array_equal(ours[0], theirs[0], err_msg=str(wh))


def test_the_short_division_is_exact() -> None:
    """prepare.cu divides by 255 with a multiplication and two fused multiply-adds."""
    level = np.arange(256, dtype=np.float32)
    reciprocal = np.float32(1) / np.float32(255)
    quotient = (level * reciprocal).astype(np.float32)
    # A fused multiply-add rounds once: in double precision both products here are exact.
    rest = (level.astype(np.float64) - quotient.astype(np.float64) * 255).astype(np.float32)
    result = (quotient.astype(np.float64) + rest.astype(np.float64) * reciprocal).astype(np.float32)
    np.testing.assert_array_equal(result, level / np.float32(255))


@pytest.mark.parametrize("head", ["raw", "end2end"])
@pytest.mark.parametrize("wh", [(64, 64), (200, 150), (50, 90), (20, 20), (400, 100)])
def test_decoding_finds_what_the_cpu_finds(head: str, wh: tuple[int, int]) -> None:
    spec, values, prototypes = random_heads(head, images=3, seed=1)
    placement = Letterbox.fit(wh, (64, 64))
    settings = DecodeSettings(conf=0.3, iou=0.5, max_det=15)
    expected = decode(values, prototypes, spec, [placement] * 3, settings)
    found = decoded(emulated(HostDriver()), values, prototypes, spec, placement, settings)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs) > 3
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(ours.classes, theirs.classes)
        for a, b in zip(ours.masks or (), theirs.masks or (), strict=True):
            assert (a.x, a.y, a.bits.shape) == (b.x, b.y, b.bits.shape)
            assert np.count_nonzero(a.bits != b.bits) <= max(1, a.bits.size // 1000)


def test_decoding_without_masks_draws_none() -> None:
    spec, values, prototypes = random_heads("raw", images=2, seed=2)
    settings = DecodeSettings(masks=False)
    placement = Letterbox.fit((64, 64), (64, 64))
    found = decoded(emulated(), values, prototypes, spec, placement, settings)
    assert all(d.masks is None for d in found)


@pytest.mark.parametrize("head", ["raw", "end2end"])
@pytest.mark.parametrize("where", ["score", "box", "coefficient", "prototypes"])
def test_broken_outputs_are_found(head: str, where: str) -> None:
    from yolotrt.errors import ExecutionError

    spec, values, prototypes = random_heads(head, images=2, seed=3)
    rows = {"score": 4, "box": 0, "coefficient": -1}
    if where == "prototypes":
        prototypes[1] = np.nan
    elif head == "raw":
        values[1, rows[where]] = np.nan
    else:
        values[1, :, rows[where]] = np.nan
    placement = Letterbox.fit((64, 64), (64, 64))
    with pytest.raises(ExecutionError, match="NaN"):
        decoded(emulated(), values, prototypes, spec, placement, DecodeSettings(conf=0.1))
