"""What Q/DQ insertion gives each kind of runtime, checked on the graph and by running it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.quantization.graphs import Net, c3k2, images, run
from yolotrt.errors import CalibrationError
from yolotrt.model.fp8 import to_fp8
from yolotrt.quantization import qdq
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.observe import collect
from yolotrt.quantization.qdq import (
    careful_exclusions,
    default_exclusions,
    quantize,
    quantized_convolutions,
)
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, find_ranges
from yolotrt.quantization.sensitivity import LayerNoise, layers_of
from yolotrt.quantization.styles import STYLES, QdqStyle


def calibrated(model: onnx.ModelProto, x: np.ndarray | None = None) -> CalibrationRanges:
    histograms = collect(model, [images(8) if x is None else x], threads=1)
    return CalibrationRanges(
        find_ranges(GraphView(model), histograms, "mse"), CalibrationKey("key", (), {}, "mse")
    )


def quantized(style: QdqStyle, model: onnx.ModelProto | None = None, **options: object) -> onnx.ModelProto:
    model = model or c3k2()
    return quantize(model, calibrated(model), style, **{"exclude": (), **options})  # type: ignore[arg-type]


def sources(model: onnx.ModelProto, node: str) -> list[str]:
    """Return for each input of a node: 'Q' if it comes out of a pair or stored integers, else its name."""
    view = GraphView(model)
    found = next(n for n in view.nodes if n.name == node)

    def is_pair(name: str) -> bool:
        return name in view.producer and view.producer[name].op_type == "DequantizeLinear"

    return ["Q" if is_pair(name) else name for name in found.input]


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(2))
def test_the_result_stays_close_to_the_original(style: QdqStyle, seed: int) -> None:
    model, x = c3k2(seed), images(8)
    low = quantize(model, calibrated(model), style, exclude=())
    for exact, rough in zip(run(model, x), run(low, x), strict=True):
        noise = np.square(rough - exact).mean() / exact.var()
        assert noise < {"cpu": 0.012, "gpu": 0.06}[style]


@pytest.mark.parametrize("style", STYLES)
def test_the_original_is_left_alone_and_the_result_is_reproducible(style: QdqStyle) -> None:
    model = c3k2()
    before = model.SerializeToString()
    ranges = calibrated(model)
    first, second = (quantize(model, ranges, style, exclude=()) for _ in range(2))
    assert model.SerializeToString() == before
    assert first.SerializeToString() == second.SerializeToString()
    assert [o.name for o in first.graph.output] == ["scores", "proto"]


@pytest.mark.parametrize("style", STYLES)
def test_head_convolutions_and_the_tail_keep_their_precision(style: QdqStyle) -> None:
    low = quantized(style)
    for name in ("head", "proto"):
        assert sources(low, name)[1:] == [f"{name}.w", f"{name}.b"]
    assert sources(low, "scores") == ["head"]


def test_onnx_runtime_makes_integer_kernels_of_the_whole_body(tmp_path: Path) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    low = quantized("cpu").SerializeToString()
    ort.InferenceSession(low, options, providers=["CPUExecutionProvider"])
    kinds = Counter(n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["QLinearConv"] == 8
    assert kinds["QLinearAdd"] == 1
    assert kinds["QLinearConcat"] == 2
    assert kinds["QLinearSigmoid"] >= 6  # the two before the floating head may float
    assert kinds["Conv"] == 2


def test_cpu_style_is_uint8_with_int32_biases() -> None:
    low = quantized("cpu")
    values = constants(low)
    for node in low.graph.node:
        if node.op_type == "QuantizeLinear":
            assert values[node.input[2]].dtype == np.uint8
    assert {v.dtype for k, v in values.items() if k.endswith("b.of.b2.conv.quantized")} == {
        np.dtype(np.int32)
    }
    for name in ("stem.conv", "deep.conv"):
        assert sources(low, name) == ["Q", "Q", "Q"]


def test_the_bias_of_a_channel_without_weights_survives() -> None:
    """With weights of zero the accumulator's scale would be so small that no bias fits into 32 bits."""
    net = Net()
    weights = np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)).astype(np.float32)
    weights[2] = 0
    first = net.silu(net.conv("x", "dead", 3, 4, weights=weights), "act")
    model = net.model([net.conv(net.conv_silu(first, "next", 4, 4), "end", 4, 2)])
    for tensor in model.graph.initializer:
        if tensor.name == "dead.b":
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, 1, -1.8, 2], np.float32), "dead.b"))
    low = quantized("cpu", model)
    for exact, rough in zip(run(model, images()), run(low, images()), strict=True):
        assert np.abs(rough - exact).max() < 0.03 * np.ptp(exact)


def test_weights_can_be_held_to_seven_bits() -> None:
    for levels in (127, 63):
        values = constants(quantized("cpu", weight_levels=levels))
        weights = [v for k, v in values.items() if ".w.of." in k and k.endswith(".quantized")]
        assert weights
        assert max(int(np.abs(w).max()) for w in weights) == levels


def test_gpu_style_is_symmetric_and_reads_only() -> None:
    low = quantized("gpu")
    values = constants(low)
    view = GraphView(low)
    pairs = [n for n in view.nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all(values[n.input[2]].dtype == np.int8 and not values[n.input[2]].any() for n in pairs)
    assert all((values[n.input[1]] > 0).all() for n in pairs)
    for name in ("stem.conv", "b1.conv", "out.conv", "point.conv"):
        assert sources(low, name) == ["Q", "Q", f"{name}.b"], "biases are not quantised"
        assert {n.op_type for n in view.consumers[name]} == {"Sigmoid", "Mul"}, "nor results"
    assert low.opset_import[0].version >= 19


def test_gpu_style_leaves_depthwise_convolutions_alone() -> None:
    low = quantized("gpu")
    assert sources(low, "deep.conv")[1:] == ["deep.conv.w", "deep.conv.b"]
    assert sources(low, "deep.conv")[0] == "mix"


def test_gpu_style_quantises_only_the_skipped_input_of_a_residual() -> None:
    assert sources(quantized("gpu"), "add") == ["Q", "b2"]


def test_what_moves_values_shares_one_scale_and_stays_in_int8() -> None:
    low = quantized("gpu")
    values = constants(low)
    assert sources(low, "join") == ["Q", "Q", "Q"]
    assert sources(low, "split")[0] == "Q"
    joined = {float(values[f"{t}.scale"]) for t in ("stem", "left", "right", "add", "join")}
    assert len(joined) == 1
    # `out` is also read by a depthwise convolution's branch in high precision: both versions exist.
    assert sources(low, "pool") == ["Q"]
    assert values["pool.scale"] == values["out.scale"] == values["sppf.scale"]


def test_transposed_convolutions_and_attention_products_float() -> None:
    net = Net()
    a = net.conv_silu("x", "a", 3, 4)
    weights = net.constant("up.w", net.rng.normal(0, 1, (4, 4, 2, 2)).astype(np.float32))
    up = net.node("ConvTranspose", [a, weights], "up", strides=[2, 2])
    product = net.node("MatMul", [net.conv(up, "q", 4, 4), net.conv(up, "k", 4, 4)], "product")
    mixed = net.node("Softmax", [product], "soft", axis=-1)
    model = net.model([net.conv(net.conv_silu(mixed, "b", 4, 4), "end", 4, 2)])
    low = quantized("gpu", model)
    assert sources(low, "up") == ["a", "up.w"]
    assert sources(low, "product") == ["q", "k"]
    assert sources(low, "b.conv")[:2] == ["Q", "Q"]
    assert sources(quantized("cpu", model), "up") == ["a", "up.w"]
    for style in STYLES:
        for exact, rough in zip(run(model, images()), run(quantized(style, model), images()), strict=True):
            assert np.abs(rough - exact).max() < 0.05 * np.ptp(exact)


@pytest.mark.parametrize("style", STYLES)
def test_an_excluded_convolution_reads_what_was_never_rounded(style: QdqStyle) -> None:
    low = quantized(style, exclude=["b1.conv"])
    assert sources(low, "b1.conv") == ["right", "b1.conv.w", "b1.conv.b"]
    assert sources(low, "b2.conv")[:2] == ["Q", "Q"]


def test_cpu_style_floats_what_only_a_floating_layer_reads() -> None:
    low = quantized("cpu", exclude=["out.conv"])
    assert sources(low, "join") == ["left", "right", "add"]


@pytest.mark.parametrize("style", STYLES)
def test_a_layer_that_suffers_most_is_left_out_unless_asked_otherwise(style: QdqStyle) -> None:
    model = c3k2()
    quiet = {n.name: 1e-6 for n in model.graph.node if n.op_type == "Conv"}
    ranges = calibrated(model)
    loud = CalibrationRanges(ranges.tensors, ranges.key, {style: {**quiet, "b2.conv": 0.5}})
    assert default_exclusions(model, loud, style) in (["b2.conv"], [])  # it may cost more than the budget
    assert default_exclusions(model, ranges, style) == []


def test_82_percent_of_the_work_stay_in_int8_if_so_much_can_be() -> None:
    """``out.conv`` is 9.5 % of the work: it is left out only where 82 % remain without it."""
    model = c3k2()
    ranges = calibrated(model)

    def left_out(*, quantised_elsewhere: float, never: set[str]) -> list[str]:
        names = {n.name for n in model.graph.node if n.op_type == "Conv"} - never
        noise = {"gpu": {**dict.fromkeys(names, 1e-6), "out.conv": 0.5}}
        known = CalibrationRanges(ranges.tensors, ranges.key, noise)
        work = sum(layer.cost for layer in layers_of(model, noise["gpu"]))
        assert work == pytest.approx(quantised_elsewhere + 0.0952, abs=1e-3)
        return default_exclusions(model, known, "gpu")

    assert left_out(quantised_elsewhere=0.8254, never={"head", "proto"}) == ["out.conv"]
    assert left_out(quantised_elsewhere=0.8095, never={"p1.conv", "proto"}) == []


def test_tensorrt_rtx_gets_the_same_numbers_from_weights_with_one_scale() -> None:
    model = c3k2()
    weights = {t.name: t for t in model.graph.initializer}
    loud = next(n for n in model.graph.node if n.name == "b2.conv").input[1]
    uneven = numpy_helper.to_array(weights[loud]).copy()
    uneven[0] *= 100  # one scale alone would leave the others a step or two
    weights[loud].CopyFrom(numpy_helper.from_array(uneven, loud))
    low, per_channel = quantized("rtx", model), quantized("gpu", model)
    names = [n.name for n in quantized_convolutions(GraphView(model), "rtx", ())]
    assert all(sources(low, n) == sources(per_channel, n)[:2] == ["Q", "Q"] for n in names)
    view, known = GraphView(low), constants(low)
    for node in (n for n in low.graph.node if n.name in names):
        assert known[view.producer[node.input[1]].input[1]].shape == ()
        scaled = view.consumers[node.output[0]][0]
        assert known[scaled.input[1]].max() == 1
        assert view.consumers[scaled.output[0]][0].op_type == "Add"
    for same, value in zip(run(per_channel, images(8)), run(low, images(8)), strict=True):
        np.testing.assert_allclose(value, same, rtol=1e-4, atol=1e-4 * np.abs(same).max())


def test_fp8_keeps_small_channels_under_one_scale() -> None:
    """Steps of E4M3 are relative, so channels 20 times smaller than others lose hardly more."""
    model = c3k2()
    weights = {t.name: t for t in model.graph.initializer}
    name = next(n for n in model.graph.node if n.name == "b2.conv").input[1]
    uneven = numpy_helper.to_array(weights[name]).copy()
    uneven[1:] /= 20
    weights[name].CopyFrom(numpy_helper.from_array(uneven, name))
    ranges, noise = calibrated(model), []
    for style in ("gpu", "rtx"):
        low = to_fp8(quantize(model, ranges, style, exclude=(), floating=True), model)
        pairs = zip(run(model, images(8)), run(low, images(8)), strict=True)
        noise.append(sum(np.square(rough - exact).mean() / exact.var() for exact, rough in pairs))
    assert {n.op_type for n in low.graph.node} == {n.op_type for n in quantized("gpu").graph.node}
    assert noise[1] < 1.5 * noise[0]
    with pytest.raises(ValueError, match="behind"):
        to_fp8(quantized("rtx", model), model)


def test_ranges_of_another_network_are_refused() -> None:
    net = Net()
    other = net.model([net.conv(net.conv_silu("x", "other", 3, 4), "end", 4, 2)])
    for style in STYLES:
        with pytest.raises(CalibrationError, match="no range for tensor"):
            quantize(c3k2(), calibrated(other), style, exclude=())


def test_tensors_of_zeros_get_a_positive_scale() -> None:
    model = c3k2()
    ranges = calibrated(model, np.zeros((2, 3, 16, 16), np.float32))
    for style in STYLES:
        low = quantize(model, ranges, style, exclude=())
        for exact, rough in zip(
            run(model, np.zeros((1, 3, 16, 16), np.float32)),
            run(low, np.zeros((1, 3, 16, 16), np.float32)),
            strict=True,
        ):
            assert np.isfinite(rough).all()
            assert np.abs(rough - exact).max() < 0.1


def test_an_old_opset_is_raised() -> None:
    net = Net()
    old = net.model([net.conv(net.conv_silu("x", "a", 3, 4), "end", 4, 2)], opset=12)
    assert quantized("gpu", old).opset_import[0].version == 19
    assert quantized("cpu", old).opset_import[0].version == 13


@pytest.mark.parametrize(
    ("quantisable", "cost", "left_out"),
    [
        (1.0, 0.079, True),
        (1.0, 0.081, False),
        (0.86, 0.039, True),
        (0.86, 0.041, False),
        (0.81, 0.001, False),
    ],
)
def test_the_default_leaves_82_percent_in_int8_if_so_much_can_be(
    monkeypatch: pytest.MonkeyPatch, quantisable: float, cost: float, left_out: bool
) -> None:
    """Where a part of the work cannot be INT8 anyway, less is left for convolutions that would suffer."""
    rest = [LayerNoise(f"quiet{i}", 1e-6, (1.0,), (quantisable - cost) / 8) for i in range(8)]
    layers = [LayerNoise("loud", 1.0, (1.0,), cost), *rest]
    monkeypatch.setattr(qdq, "layers_of", lambda *_: layers)
    ranges = SimpleNamespace(noise={})
    assert default_exclusions(onnx.ModelProto(), ranges, "cpu") == ["loud"] * left_out  # type: ignore[arg-type]
    careful = careful_exclusions(onnx.ModelProto(), ranges, "cpu")  # type: ignore[arg-type]
    assert careful == ["loud"] * (cost < 0.15 and quantisable - cost >= 0.81)
    most = careful_exclusions(onnx.ModelProto(), ranges, "cpu", least=0.95)  # type: ignore[arg-type]
    assert most == ["loud"] * (quantisable - cost >= 0.95)
