"""What the calibration images show: nothing at all, little, or enough."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.quantization.test_cache import Setting
from yolotrt.errors import CalibrationError
from yolotrt.model.spec import ModelSpec
from yolotrt.quantization.batches import is_blank, is_noise
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, Seen
from yolotrt.quantization.witness import Witness, doubts, saw

RAW = ModelSpec("m", ("cat", "dog"), "images", (64, 64), None, "raw", "output0", "output1", 4, 32)
END2END = ModelSpec("m", ("cat", "dog"), "images", (64, 64), None, "end2end", "output0", "output1", 4, 32)


def _ranges(seen: Seen | None, images: int = 12, tiles: float | None = None) -> CalibrationRanges:
    digests = tuple((f"{i}.png", str(i)) for i in range(images))
    return CalibrationRanges({}, CalibrationKey("", digests, {"tile_overlap": tiles}, "mse"), {}, seen)


def test_pictures_in_which_something_is_found_are_counted() -> None:
    head = np.zeros((3, 4 + 2 + 4, 7), np.float32)
    head[:, :4] = head[:, 6:] = 9.0  # neither boxes nor coefficients are scores
    head[1, 5, 3], head[2, 4, 0] = 0.25, 0.2
    witness = Witness(RAW)
    witness.look({"output0": head, "output1": head})
    assert witness.seen(3, 1) == Seen(3, 1, 3, 1, objects=1)
    assert witness.seen(2, 0, 0, (2, 0.8, 0.34)) == Seen(2, 0, 3, 1, 0, 0.4, 0.1, 1)
    rows = np.zeros((2, 5, 6 + 4), np.float32)
    rows[..., :4] = rows[..., 5:] = 9.0
    rows[0, 2, 4] = 0.9
    witness = Witness(END2END)
    witness.look({"output0": rows})
    witness.look({"output0": rows})
    assert witness.seen(4, 0) == Seen(4, 0, 4, 2, objects=2)


def test_positions_that_overlap_are_one_object() -> None:
    head = np.zeros((1, 4 + 2 + 4, 5), np.float32)
    head[0, :4] = np.array([[10, 10, 8, 8], [10.2, 10, 8, 8], [40, 40, 8, 8], [10, 10, 8, 8], [5, 5, 2, 2]]).T
    head[0, 4, :3], head[0, 5, 3], head[0, 4, 4] = 0.9, 0.8, 0.2  # two of a kind, one apart, one of another
    witness = Witness(RAW)
    witness.look({"output0": head})
    seen = witness.seen(1, 0, 0, (1, 0.5, 0.25))
    assert seen.objects == 3
    assert "finds 3 objects in 1 of 1 pictures" in (saw(_ranges(seen)) or "")


@pytest.mark.parametrize("shape", [(2, 11, 7), (2, 7, 11), (20, 7)])
def test_nothing_is_said_of_a_head_of_another_shape(shape: tuple[int, ...]) -> None:
    for spec in (RAW, END2END):
        witness = Witness(spec)
        witness.look({"output0": np.ones(shape, np.float32)})
        witness.look({})
        assert doubts(_ranges(witness.seen(12, 0))) == ()


@pytest.mark.parametrize(
    ("seen", "images", "tiles", "words"),
    [
        (Seen(12, 0, 12, 12), 12, None, []),
        (None, 12, None, []),
        (Seen(12, 0, 12, 6), 12, None, []),
        (Seen(12, 0, 12, 5), 12, None, ["FP32 finds nothing in 7 of 12"]),
        (Seen(12, 0, 120, 12), 12, 0.2, []),
        (Seen(12, 0, 120, 5), 12, 0.2, ["FP32 finds nothing in 115 of 120"]),
        (Seen(12, 2, 12, 10), 12, None, ["2 of 12 calibration images are of one colour"]),
        (Seen(12, 0, 12, 10, 3), 12, None, ["3 of 12 calibration images are nothing but noise"]),
        (Seen(9, 0, 9, 9), 9, None, ["calibrated on 9 images"]),
        (Seen(3, 0, 3, 3), 12, None, ["calibrated on 3 images"]),
        (None, 1, None, ["calibrated on 1 image:"]),
    ],
)
def test_doubts_are_said_and_only_those(
    seen: Seen | None, images: int, tiles: float | None, words: list[str]
) -> None:
    found = doubts(_ranges(seen, images, tiles))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_copies_of_one_picture_count_once() -> None:
    ranges = _ranges(None)
    same = CalibrationKey("", (("a.png", "0"),) * 12, {}, "mse")
    (line,) = doubts(CalibrationRanges(ranges.tensors, same))
    assert line.startswith("calibrated on 1 image (11 more are copies)")


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (0, 0, 230), (114, 114, 114)])
def test_ranges_of_nothing_are_refused(tmp_path: Path, pictures: Path, colour: tuple[int, ...]) -> None:
    setting = Setting(tmp_path, pictures)
    for path in pictures.iterdir():
        path.unlink()
    for i in range(3):
        image = np.full((40, 70, 3), colour, np.uint8)
        assert cv2.imwrite(str(pictures / f"{i}.{'jpg' if i else 'png'}"), image)
    with pytest.raises(CalibrationError, match=r"Every image \(3 of 3\) is of one colour"):
        setting.calibrate()
    assert not setting.cache.exists()
    image[20, 30] = 255 - image[20, 30] if colour != (114, 114, 114) else 0
    assert cv2.imwrite(str(pictures / "0.png"), image)
    _, status = setting.calibrate()
    assert any("2 of 3 calibration images are of one colour" in line for line in status.doubts)
    assert setting.calibrate()[1].doubts == status.doubts  # from the file, too


def test_a_single_pixel_in_a_large_picture_is_something() -> None:
    image = np.full((300, 500, 3), 40, np.uint8)
    assert is_blank(image)
    image[17, 33, 1] = 43
    assert not is_blank(image)
    image[17, 33, 1] = 42  # as JPEG rounds
    assert is_blank(image)


def noisy(mean: float, spread: float, channels: int = 3) -> np.ndarray:
    """A picture of a sensor that sees nothing."""
    values = np.random.default_rng(0).normal(mean, spread, (120, 160, channels))
    return np.broadcast_to(np.clip(values, 0, 255).astype(np.uint8), (120, 160, 3))


def test_noise_is_told_from_pictures(pictures: Path) -> None:
    assert is_noise(noisy(128, 60))
    assert is_noise(noisy(6, 3, channels=1))
    real = [cv2.imread(str(path)) for path in pictures.iterdir()]
    assert not any(is_noise(image) for image in real)
    grainy = np.clip(real[0] + np.random.default_rng(0).normal(0, 10, real[0].shape), 0, 255)
    assert not is_noise(grainy.astype(np.uint8))
    assert not is_noise(np.full((20, 30, 3), 7, np.uint8))


def test_ranges_of_noise_are_refused(tmp_path: Path, pictures: Path) -> None:
    setting = Setting(tmp_path, pictures)
    for i, path in enumerate(sorted(pictures.iterdir())):
        image = noisy(100, 30) if i else np.zeros((40, 70, 3), np.uint8)
        assert cv2.imwrite(str(path), image)
    with pytest.raises(CalibrationError, match=r"\(4 of 4\) is of one colour or nothing but noise"):
        setting.calibrate()


def test_what_was_seen_is_told(tmp_path: Path, pictures: Path) -> None:
    setting = Setting(tmp_path, pictures)
    (pictures / "copy.png").write_bytes(next(pictures.glob("0.png")).read_bytes())
    ranges, status = setting.calibrate()
    assert ranges.seen is not None
    brightness = np.mean([cv2.imread(str(p))[::16, ::16].mean() / 255 for p in pictures.iterdir()])
    assert ranges.seen.brightness == pytest.approx(brightness, abs=1e-3)
    assert status.saw == saw(ranges)
    assert (status.saw or "").startswith("5 images, 1 of them copies, FP32 finds ")
    assert setting.calibrate()[1].saw == status.saw
    assert saw(_ranges(None)) is None
