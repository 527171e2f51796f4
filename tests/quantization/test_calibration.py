"""Calibration end to end on a tiny network: ranges, cache, both Q/DQ styles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt.data.images import list_images, read_image
from yolotrt.errors import ArtifactError, CalibrationError, StorageError
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.model.onnxfile import read_spec
from yolotrt.quantization.cache import load_or_calibrate, read_ranges
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationRanges


@pytest.fixture
def onnx_path(tmp_path: Path) -> Path:
    return write_tiny_yolo(tmp_path / "tiny.onnx")


def _calibrate(onnx_path: Path, pictures: Path, cache: Path, **options: object) -> CalibrationRanges:
    spec = read_spec(tiny_yolo(), "tiny")
    return load_or_calibrate(onnx_path, spec, list_images(pictures), cache, **options)[0]  # type: ignore[arg-type]


def _inputs(pictures: Path) -> np.ndarray:
    images = [read_image(p) for p in list_images(pictures)]
    return network_input([Letterbox.fit((i.shape[1], i.shape[0]), (64, 64)).apply(i) for i in images])


def _run(
    model: onnx.ModelProto, images: np.ndarray, names: list[str], *, fake_quantized: bool = False
) -> list[np.ndarray]:
    options = ort.SessionOptions()
    if fake_quantized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(names, {"images": images})


def test_ranges_see_exactly_what_inference_sees(onnx_path: Path, pictures: Path, tmp_path: Path) -> None:
    """Extremes of convolution results equal those of running the network on letterboxed images."""
    ranges = _calibrate(onnx_path, pictures, tmp_path / "c.json", algorithm="minmax")
    model = tiny_yolo()
    convs = [n.output[0] for n in model.graph.node if n.op_type == "Conv" and n.output[0] in ranges.tensors]
    assert convs
    for name in convs:
        model.graph.output.add(name=name)
    for name, values in zip(convs, _run(model, _inputs(pictures), convs), strict=True):
        assert ranges.tensors[name].maximum == pytest.approx(float(values.max()), rel=1e-4, abs=1e-5)
        assert ranges.tensors[name].minimum == pytest.approx(float(values.min()), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("style", ["cpu", "gpu"])
def test_both_styles_stay_near_the_network(
    onnx_path: Path, pictures: Path, tmp_path: Path, style: str
) -> None:
    model = tiny_yolo()
    low = quantize(model, _calibrate(onnx_path, pictures, tmp_path / "c.json"), style, exclude=())  # type: ignore[arg-type]
    onnx.checker.check_model(low)
    assert any(n.op_type == "QuantizeLinear" for n in low.graph.node)
    images = _inputs(pictures)
    for full, quantized in zip(
        _run(model, images, ["output0", "output1"]),
        _run(low, images, ["output0", "output1"], fake_quantized=True),
        strict=True,
    ):
        assert np.abs(full - quantized).max() <= 0.1 * np.abs(full).max()


def test_gpu_style_is_symmetric_and_leaves_the_head_alone(
    onnx_path: Path, pictures: Path, tmp_path: Path
) -> None:
    low = quantize(tiny_yolo(), _calibrate(onnx_path, pictures, tmp_path / "c.json"), "gpu", exclude=())
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in low.graph.initializer}
    dequantized = {n.output[0] for n in low.graph.node if n.op_type == "DequantizeLinear"}
    for node in low.graph.node:
        if node.op_type == "QuantizeLinear":
            assert constants[node.input[2]].dtype == np.int8
            assert not constants[node.input[2]].any()
        if node.op_type == "Conv" and node.name.endswith(".head"):
            assert node.input[0] not in dequantized
        if node.name == "output0":
            assert not set(node.input) & dequantized


def test_a_damaged_cache_is_made_again_and_a_file_of_others_stays(
    onnx_path: Path, pictures: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "c.json"
    good = _calibrate(onnx_path, pictures, cache)
    whole = cache.read_bytes()
    spec, images = read_spec(tiny_yolo(), "tiny"), list_images(pictures)
    for damaged in (whole[: len(whole) // 2], b""):
        cache.write_bytes(damaged)
        ranges, status = load_or_calibrate(onnx_path, spec, images, cache)
        assert not status.cached
        assert status.warning
        assert ranges.tensors == good.tensors
    for foreign in (b'{"format": "else"}', b"\x00\xff"):
        cache.write_bytes(foreign)
        with pytest.raises(StorageError, match="not a calibration cache"):
            load_or_calibrate(onnx_path, spec, images, cache)
        assert cache.read_bytes() == foreign
        ranges, status = load_or_calibrate(onnx_path, spec, images, cache, overwrite=True)
        assert ranges.tensors == good.tensors


@pytest.mark.parametrize(
    "change",
    [
        {"tensors": {}},
        {"tensors": {"x": {"lo": 1}}},
        {"tensors": []},
        {"images": None},
        {"algorithm": "magic"},
        {"model": 5},
    ],
)
def test_every_wrong_value_is_one_clear_error(
    onnx_path: Path, pictures: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    cache = tmp_path / "c.json"
    _calibrate(onnx_path, pictures, cache)
    document = json.loads(cache.read_text()) | change
    cache.write_text(json.dumps(document))
    with pytest.raises(ArtifactError):
        read_ranges(cache)


def test_nan_weights_are_named(tmp_path: Path, pictures: Path) -> None:
    model = tiny_yolo()
    for weight in model.graph.initializer:
        if weight.name == "down3.conv.weight":
            values = onnx.numpy_helper.to_array(weight) * np.float32("nan")
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(CalibrationError, match="down3"):
        _calibrate(tmp_path / "nan.onnx", pictures, tmp_path / "c.json")


def test_unreadable_images_are_skipped_and_counted(onnx_path: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "broken.jpg").write_bytes(b"no jpeg")
    spec = read_spec(tiny_yolo(), "tiny")
    _, status = load_or_calibrate(onnx_path, spec, list_images(pictures), tmp_path / "c.json")
    assert status.images == 4
    assert len(status.skipped) == 1
    assert "broken.jpg" in status.skipped[0]
