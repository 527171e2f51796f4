from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.conftest import four_pictures
from tests.tiny_yolo import tiny_yolo
from yolotrt.data.images import list_images
from yolotrt.errors import ArtifactError, ImageError
from yolotrt.model.onnxfile import read_spec
from yolotrt.quantization.audit import Wanted
from yolotrt.quantization.cache import CalibrationStatus, load_or_calibrate, read_ranges, write_ranges
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.quantization.styles import STYLES


class Setting:
    """A network, images and a cache, calibrated as often as a test likes."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        self.onnx = folder / "net.onnx"
        self.cache = folder / "calib" / "net.calib.json"
        self.pictures = pictures
        self.model = tiny_yolo()
        onnx.save(self.model, self.onnx)

    def calibrate(self, **options: Any) -> tuple[CalibrationRanges, CalibrationStatus]:
        spec = read_spec(self.model, "net")
        return load_or_calibrate(
            self.onnx, spec, list_images(self.pictures), self.cache, **{"threads": 1, **options}
        )


@pytest.fixture
def setting(tmp_path: Path, pictures: Path) -> Setting:
    return Setting(tmp_path, pictures)


@pytest.fixture(scope="module")
def ranges(tmp_path_factory: pytest.TempPathFactory) -> CalibrationRanges:
    """What one calibration found, for tests that only read it."""
    folder = tmp_path_factory.mktemp("once")
    return Setting(folder, four_pictures(folder / "pictures")).calibrate()[0]


def test_a_second_call_reads_the_cache(setting: Setting) -> None:
    made, first = setting.calibrate()
    again, second = setting.calibrate()
    assert (first.cached, first.images, first.changed) == (False, 4, ())
    assert (second.cached, second.images, second.warning) == (True, 4, None)
    assert again == made
    assert set(made.noise) == set(made.shift) == set(STYLES)
    assert all(made.noise.values())


def test_what_a_cache_lacks_is_measured_when_it_is_asked_for(
    setting: Setting, ranges: CalibrationRanges
) -> None:
    first, _ = setting.calibrate(wanted=Wanted(("cpu",), ()))
    assert (set(first.noise), first.shift) == ({"cpu"}, {})
    whole, status = setting.calibrate()
    assert (status.cached, status.changed) == (True, ())
    assert whole == ranges, "as if all had been asked for at once"
    assert read_ranges(setting.cache) == whole
    before = setting.cache.read_bytes()
    setting.calibrate(wanted=Wanted(("cpu",), ()))
    assert setting.cache.read_bytes() == before


def test_the_result_is_reproducible(setting: Setting) -> None:
    setting.calibrate()
    before = setting.cache.read_bytes()
    _, status = setting.calibrate(force=True)
    assert not status.cached
    assert setting.cache.read_bytes() == before


def test_a_change_is_named_and_calibrates_again(setting: Setting) -> None:
    setting.calibrate()
    assert setting.calibrate(algorithm="minmax")[1].changed == ("algorithm",)
    assert setting.calibrate(algorithm="minmax", tile_overlap=0.2)[1].changed == ("preprocessing",)
    first = list_images(setting.pictures)[0]
    first.write_bytes(list_images(setting.pictures)[1].read_bytes())
    _, status = setting.calibrate()
    assert status.changed == ("images", "preprocessing", "algorithm")
    bias = next(t for t in setting.model.graph.initializer if t.name == "stem.conv.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    onnx.save(setting.model, setting.onnx)
    assert setting.calibrate()[1].changed == ("model",)
    assert setting.calibrate()[1].cached


def test_neither_names_nor_metadata_count(setting: Setting) -> None:
    setting.calibrate()
    first = list_images(setting.pictures)[0]
    first.rename(first.with_name("zzz.png"))
    setting.model.metadata_props.add(key="date", value="today")
    onnx.save(setting.model, setting.onnx)
    assert setting.calibrate()[1].cached


def test_a_network_of_fixed_batch_is_calibrated_in_its_batches(setting: Setting) -> None:
    dynamic, _ = setting.calibrate()
    setting.model = tiny_yolo(batch=3)
    onnx.save(setting.model, setting.onnx)
    fixed, status = setting.calibrate()
    assert status.images == 4
    assert set(fixed.tensors) == set(dynamic.tensors)


def test_nothing_is_written_when_no_image_can_be_read(setting: Setting) -> None:
    for path in list_images(setting.pictures):
        path.write_bytes(b"")
    with pytest.raises(ImageError):
        setting.calibrate()
    assert not setting.cache.exists()


def test_what_is_written_is_read_back(setting: Setting, tmp_path: Path) -> None:
    made, _ = setting.calibrate()
    assert read_ranges(write_ranges(tmp_path / "copy.json", made)) == made


def test_caches_that_call_the_gpu_style_by_its_earlier_name_are_read(setting: Setting) -> None:
    made, _ = setting.calibrate()
    text = setting.cache.read_text()
    assert text.count('"gpu": {') == 1
    setting.cache.write_text(text.replace('"gpu": {', '"tensorrt": {'))
    assert read_ranges(setting.cache) == made
    assert setting.calibrate()[1].cached


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e999", "-1e39", '"3"', "true", "null", "[]", "9" * 400, "9" * 5000]
)
@pytest.mark.parametrize("place", ["hi", "noise"])
def test_hostile_numbers_are_refused(
    ranges: CalibrationRanges, tmp_path: Path, value: str, place: str
) -> None:
    name = next(iter(ranges.tensors))
    marked = dataclasses.replace(ranges.tensors[name], hi=123.0)
    noise = {style: {"layer": 123.0} for style in STYLES}
    changed = dataclasses.replace(ranges, tensors={name: marked})
    if place == "noise":
        changed = dataclasses.replace(ranges, noise=noise)
    cache = write_ranges(tmp_path / "net.calib.json", changed)
    cache.write_text(cache.read_text().replace("123.0", value, 1))
    with pytest.raises(ArtifactError):
        read_ranges(cache)


@pytest.mark.parametrize(
    "missing", ["model", "algorithm", "method", "preprocessing", "tensors", "noise", "images"]
)
def test_missing_parts_are_refused(setting: Setting, missing: str) -> None:
    setting.calibrate()
    document = json.loads(setting.cache.read_text())
    del document[missing]
    setting.cache.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="damaged"):
        read_ranges(setting.cache)
