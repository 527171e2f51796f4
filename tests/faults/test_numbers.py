"""NaN and infinity are named with the layer; silent, constant and tiny tensors are no trouble."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.quantization.graphs import Net, images, run
from tests.tiny_yolo import tiny_yolo
from yolotrt.data.images import list_images
from yolotrt.errors import BuildError, CalibrationError, ExecutionError, ModelError
from yolotrt.model.finite import first_not_finite, require_finite_weights
from yolotrt.model.onnxfile import read_spec
from yolotrt.pipeline.decode import decode
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.quantization.algorithms import ALGORITHMS, Algorithm
from yolotrt.quantization.cache import load_or_calibrate, read_ranges, write_ranges
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.observe import collect
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, find_ranges
from yolotrt.quantization.sensitivity import measure_noise
from yolotrt.quantization.styles import STYLES
from yolotrt.workflow.build import BuildRequest, build_engine

Change = Callable[[np.ndarray], np.ndarray]


def changed(name: str, change: Change) -> onnx.ModelProto:
    """The tiny network with one of its weights changed."""
    model = tiny_yolo()
    (weight,) = (w for w in model.graph.initializer if w.name == name)
    weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)), name))
    return model


def with_one(value: float) -> Change:
    def change(weights: np.ndarray) -> np.ndarray:
        broken = weights.copy()
        broken.flat[3] = value
        return broken

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_weights_are_named_with_their_layer_by_build(tmp_path: Path, value: float) -> None:
    path = tmp_path / "broken.onnx"
    onnx.save(changed("down3.conv.weight", with_one(value)), path)
    for precision in ("fp32", "fp16", "int8"):
        with pytest.raises(ModelError, match=r"'down3\.conv\.weight' of Conv 'down3\.conv'") as caught:
            build_engine(
                BuildRequest(path, precision, engines=tmp_path, calib_data=tmp_path),  # type: ignore[arg-type]
                say=lambda _message: None,
            )
        assert "broken.onnx" in caught.value.message
        assert caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["broken.onnx"]


def test_an_infinity_that_is_no_weight_is_left_alone() -> None:
    model = tiny_yolo()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(np.inf), "limit"))
    model.graph.node.append(onnx.helper.make_node("Min", ["output0", "limit"], ["capped"]))
    require_finite_weights(model, "capped")


def scaled_to(largest: float) -> Change:
    return lambda weights: (weights / np.abs(weights).max() * np.float32(largest)).astype(np.float32)


HUGE = changed("down4.conv.weight", scaled_to(3e38))
"""Finite weights whose activations overflow."""


def test_overflowing_activations_are_named_by_calibrate(tmp_path: Path, pictures: Path) -> None:
    onnx.save(HUGE, tmp_path / "huge.onnx")
    with pytest.raises(CalibrationError, match=r"Conv node 'down4\.conv'") as caught:
        load_or_calibrate(
            tmp_path / "huge.onnx", read_spec(HUGE, "huge"), list_images(pictures), tmp_path / "c.json"
        )
    assert caught.value.hint
    assert not (tmp_path / "c.json").exists()


def test_overflowing_outputs_are_named_by_build(tmp_path: Path) -> None:
    onnx.save(HUGE, tmp_path / "huge.onnx")
    with pytest.raises(BuildError, match=r"'output0' of huge in fp32 holds .* is Conv 'down4\.conv'"):
        build_engine(BuildRequest(tmp_path / "huge.onnx", engines=tmp_path), say=lambda _message: None)
    assert not list(tmp_path.glob("*.onnxruntime.onnx"))


def test_the_first_layer_is_found_and_a_healthy_network_has_none() -> None:
    picture = {"images": np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
    assert first_not_finite(tiny_yolo(), picture) is None
    assert first_not_finite(changed("res.conv.bias", with_one(np.nan)), picture) == "Conv 'res.conv'"


def test_an_engines_broken_output_is_named_while_it_runs() -> None:
    spec = read_spec(tiny_yolo(), "tiny")
    head = np.zeros((1, 10, 84), np.float32)
    head[0, 5, 7] = np.nan
    from yolotrt.geometry.letterbox import Letterbox

    with pytest.raises(ExecutionError, match="'output0' holds NaN or infinity") as caught:
        decode(head, np.zeros((1, 4, 16, 16), np.float32), spec, [Letterbox.fit((64, 64), (64, 64))])
    assert caught.value.hint


def dividing() -> onnx.ModelProto:
    """The tiny network behind a division by each channel's mean: fine, but for black pictures."""
    model = tiny_yolo()
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "images":
                node.input[index] = "normal"
    mean = onnx.helper.make_node("GlobalAveragePool", ["images"], ["mean"], "mean")
    divide = onnx.helper.make_node("Div", ["images", "mean"], ["normal"], "divide")
    model.graph.node.insert(0, divide)
    model.graph.node.insert(0, mean)
    return model


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("mode", ["tiled", "global"])
def test_a_running_engine_names_the_layer(
    tmp_path: Path,
    cli: Cli,  # noqa: F811
    precision: str,
    mode: str,
) -> None:
    onnx.save(dividing(), tmp_path / "dividing.onnx")
    assert cli("build", "dividing.onnx", f"--{precision}", "--backend", "onnxruntime").code == 0
    for name, value in (("gray", 90), ("black", 0)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 64, 3), value, np.uint8))
    engine = f"engines/dividing.{precision}.onnxruntime.onnx"
    assert cli("predict", engine, "gray.png", "--mode", mode).code == 0
    done = cli("predict", engine, "black.png", "--mode", mode)
    assert done.code == 1
    assert "'output0' holds NaN or infinity" in done.err
    assert "the first to make one is Div 'divide'" in done.err
    assert "hint: " in done.err


def test_an_engine_that_is_gone_names_its_output_at_least(tmp_path: Path) -> None:
    onnx.save(changed("res.conv.bias", with_one(np.nan)), tmp_path / "nan.onnx")
    with TiledPipeline.open(tmp_path / "nan.onnx", trust=True, mode="global") as pipeline:
        pipeline.prepare((64, 64))
        (tmp_path / "nan.onnx").unlink()
        with pytest.raises(ExecutionError, match="'output0' holds NaN or infinity: the engine is broken"):
            pipeline(np.full((64, 64, 3), 90, np.uint8))


def network(kind: str) -> onnx.ModelProto:
    """A chain of convolutions in which one layer is silent, constant, or tiny."""
    net = Net()
    stem = net.conv_silu("x", "stem", 3, 8, 3)
    weights = net.rng.normal(0, 0.5, (8, 8, 3, 3)).astype(np.float32)
    scale = {"constant": 0.0, "silent": 0.0, "denormal": 1e-41, "tiny": 1e-37, "dead": 1.0}[kind]
    odd = net.conv(stem, "odd", 8, 8, 3, weights=(weights * np.float32(scale)).astype(np.float32))
    bias = next(c for c in net.constants if c.name == "odd.b")
    level = {"constant": 3.0, "dead": -1e4}.get(kind, 0.0)
    bias.CopyFrom(numpy_helper.from_array(np.full(8, level, np.float32), "odd.b"))
    after = net.node("Relu", [odd], "odd.relu") if kind == "dead" else net.silu(odd, "odd.silu")
    point = net.conv_silu(net.conv_silu(after, "next", 8, 8, 3), "point", 8, 8)
    scores = net.node("Sigmoid", [net.conv(point, "head", 8, 6)], "scores")
    return net.model([scores, net.conv(net.conv_silu(point, "p1", 8, 8), "proto", 8, 4)])


@pytest.mark.parametrize("kind", ["constant", "silent", "denormal", "tiny", "dead"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_odd_tensors_calibrate_quantise_and_run(kind: str, algorithm: Algorithm, tmp_path: Path) -> None:
    model, batch = network(kind), images(2)
    histograms = collect(model, [batch], threads=1)
    key = CalibrationKey("", (), {}, algorithm)
    ranges = CalibrationRanges(find_ranges(GraphView(model), histograms, algorithm), key)
    for name, found in ranges.tensors.items():
        assert np.isfinite([found.lo, found.hi, found.amax, found.mean_abs, *found.quantiles]).all(), name
        assert found.lo <= 0 <= found.hi, name
    noise = {}
    for style in STYLES:
        quantized = quantize(model, ranges, style, exclude=())
        noise[style] = measure_noise(model, quantized, [batch], threads=1)
        assert np.isfinite(list(noise[style].values())).all()
        exact = run(model, batch)
        for optimised in (False, True) if style == "cpu" else (False,):
            for got, expected in zip(run(quantized, batch, optimised=optimised), exact, strict=True):
                assert np.isfinite(got).all()
                assert np.abs(got - expected).mean() <= 0.1 * np.abs(expected).max() + 1e-6
    whole = CalibrationRanges(ranges.tensors, key, noise)
    assert read_ranges(write_ranges(tmp_path / "c.json", whole)).tensors == whole.tensors
