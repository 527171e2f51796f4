"""The real network through TensorRT-RTX's builder: every precision, convolution by convolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.backends.rtx_checks import computed_in, meant_for_8_bits, never_in_8_bits
from yolotrt.backends.base import BuildConfig, BuiltEngine, Precision
from yolotrt.backends.layers import is_convolution, summarise
from yolotrt.backends.profiles import parse_profiles
from yolotrt.backends.registry import backend
from yolotrt.data.images import list_images
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.model.export import export
from yolotrt.model.fp8 import to_fp8
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import no_progress
from yolotrt.quantization.cache import load_or_calibrate
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationRanges

pytestmark = [pytest.mark.real, pytest.mark.export]

IMAGES = 16
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", "fp8")


@dataclass(frozen=True)
class Networks:
    """YOLO11n-seg in every precision, as it is handed to TensorRT."""

    spec: ModelSpec
    ranges: CalibrationRanges
    models: dict[Precision, onnx.ModelProto]
    images: np.ndarray
    reference: np.ndarray


@pytest.fixture(scope="module")
def networks(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Networks:
    pytest.importorskip("ultralytics", reason="needs the export extra")
    folder = tmp_path_factory.mktemp("rtx")
    path = folder / "yolo11n-seg.onnx"
    export(test_data / "models" / "yolo11n-seg.pt", path)
    model = load_onnx(path)
    spec = read_spec(model, "yolo11n-seg")
    pictures = list_images(test_data / "coco-mini" / "calib")[:IMAGES]
    ranges, _ = load_or_calibrate(path, spec, pictures, folder / "calib.json", algorithm="mse")
    int8, floating = (quantize(model, ranges, "rtx", floating=each) for each in (False, True))
    models: dict[Precision, onnx.ModelProto] = {
        "fp32": model,
        "fp16": to_fp16(model, spec),
        "int8": to_fp16(int8, spec),
        "fp8": to_fp16(to_fp8(floating, model), spec),
    }
    frames = [cv2.imread(str(p)) for p in list_images(test_data / "coco-mini" / "val")[:4]]
    images = np.empty((4, 3, 640, 640), np.float32)
    boxed = [Letterbox.fit((f.shape[1], f.shape[0]), spec.input_wh).apply(f) for f in frames]
    network_input(boxed, out=images)
    return Networks(spec, ranges, models, images, run(spec, model, images))


@pytest.fixture(scope="module")
def engines(networks: Networks) -> dict[Precision, BuiltEngine]:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")
    rtx = backend("tensorrt-rtx")
    config = {
        p: BuildConfig(networks.spec, parse_profiles("1"), p, compute_capabilities=("SM120",))
        for p in PRECISIONS
    }
    return {p: rtx.build(networks.models[p], config[p], no_progress) for p in PRECISIONS}


@pytest.mark.rtx
@pytest.mark.parametrize(("precision", "narrow"), [("int8", "INT8"), ("fp8", "FP8")])
def test_every_quantised_convolution_runs_in_8_bits(
    networks: Networks, engines: dict[Precision, BuiltEngine], precision: Precision, narrow: str
) -> None:
    model = networks.models[precision]
    meant = meant_for_8_bits(model)
    found = computed_in(model, engines[precision].layers, narrow)
    assert found == meant
    assert len(meant) > 60, "most of the 101: the budget for the rest is one of multiply-adds"
    assert not found & never_in_8_bits(networks.models["fp32"], networks.spec)
    layers = [x for x in engines[precision].layers if is_convolution(x) and x.inputs[:1] == (narrow,)]
    assert {x.outputs for x in layers} == {("FP16",)}


@pytest.mark.rtx
def test_fp16_fuses_every_silu_but_those_before_an_output(engines: dict[Precision, BuiltEngine]) -> None:
    summary = summarise(engines["fp16"].layers)
    assert summary.convolutions == {"FP16": 100, "FP32": 1}, "the one is DFL's expectation in the decoder"
    assert len(summary.unfused) <= 2
    assert len(engines["fp16"].data) < 0.75 * len(engines["fp32"].data)


BOUNDS = {"fp16": (0.005, 0.0005), "int8": (0.6, 0.03), "fp8": (1.2, 0.08)}
"""Mean difference of boxes (px) and of scores to FP32, of anchors that FP32 scores above 0.5.

About twice what was found: (0.002, 0.0001), (0.29, 0.018) and (0.61, 0.052)."""


@pytest.mark.parametrize("precision", BOUNDS)
def test_the_graphs_we_hand_over_stay_close_to_fp32(networks: Networks, precision: Precision) -> None:
    boxes, scores = distance(networks, networks.models[precision])
    assert boxes < BOUNDS[precision][0]
    assert scores < BOUNDS[precision][1]


@pytest.mark.parametrize(("precision", "factor"), [("int8", 2.0), ("fp8", 0.5)])
def test_the_bounds_notice_ranges_that_are_wrong_by_a_factor_of_two(
    networks: Networks, precision: Precision, factor: float
) -> None:
    """Except FP8 ranges that are too large: its numbers are as exact in every octave."""
    ranges = networks.ranges
    wrong = {
        name: replace(r, lo=r.lo * factor, hi=r.hi * factor, amax=r.amax * factor)
        for name, r in ranges.tensors.items()
    }
    fp32 = networks.models["fp32"]
    low = quantize(fp32, replace(ranges, tensors=wrong), "rtx", floating=precision == "fp8")
    model = to_fp16(to_fp8(low, fp32) if precision == "fp8" else low, networks.spec)
    found = distance(networks, model)
    assert any(value > bound for value, bound in zip(found, BOUNDS[precision], strict=True))


def run(spec: ModelSpec, model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([spec.head_output], {spec.input_name: images})[0]


def distance(networks: Networks, model: onnx.ModelProto) -> tuple[float, float]:
    """Return how far boxes (px) and scores are from FP32's, for anchors that it is sure of.

    By ONNX Runtime, which is told to compute the graph as written instead of fusing its Q/DQ.
    """
    full, rounded = networks.reference, run(networks.spec, model, networks.images)
    scores = slice(4, 4 + len(networks.spec.names))
    sure = full[:, scores].max(axis=1) > 0.5
    assert sure.sum() > 50
    difference = np.abs(np.moveaxis(full - rounded, 1, 2)[sure])
    best = np.abs(full[:, scores].max(axis=1) - rounded[:, scores].max(axis=1))[sure]
    return float(difference[:, :4].mean()), float(best.mean())
