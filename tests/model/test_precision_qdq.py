"""FP16 and FP8 in networks with Q/DQ nodes, and what FP16 must not touch."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.backends.qdq_by_hand import quantize_by_hand
from tests.tiny_yolo import tiny_yolo
from yolotrt.errors import ModelError
from yolotrt.model.fp8 import to_fp8
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16

CONVS = ("stem.conv", "down2.conv", "res.conv", "down3.conv")
IMAGES = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)


def run(model: onnx.ModelProto, *more: str) -> list[np.ndarray]:
    """Run a network as it is written: ONNX Runtime's own Q/DQ kernels know no FP16."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    wider = quantized_in_fp32(model)
    for name in more:
        wider.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = ort.InferenceSession(wider.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": IMAGES})


def quantized_in_fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that quantises FP16 tensors by way of FP32, to the same integers.

    Before 1.30 ONNX Runtime's FP16 QuantizeLinear cuts values off on a processor instead of rounding them.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    half = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
    for node in [n for n in copy.graph.node if n.op_type == "QuantizeLinear" and n.input[1] in half]:
        for i in (0, 1):
            wide = f"{node.name}.{i}.fp32"
            cast = helper.make_node("Cast", [node.input[i]], [wide], to=TensorProto.FLOAT)
            copy.graph.node.insert(list(copy.graph.node).index(node), cast)
            node.input[i] = wide
    return copy


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {t.name: t for t in model.graph.initializer}


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max() / np.abs(a).max())


def test_decoded_values_are_never_rounded_to_fp16() -> None:
    model = tiny_yolo(64)
    half = to_fp16(model, read_spec(model, "tiny"))
    producers = {o: n for n in half.graph.node for o in n.output}
    boxes = producers[producers["output0"].input[0]]
    while boxes.op_type not in ("Cast", "Conv"):
        boxes = producers[boxes.input[0]]
    assert boxes.op_type == "Cast"
    assert producers[boxes.input[0]].op_type == "Conv", "one cast behind the last convolution, none later"
    assert sum(n.op_type == "Cast" for n in half.graph.node) == 1 + 3 + 1, "input, three heads, prototypes"


def test_integers_stay_and_scales_become_fp16_never_smaller() -> None:
    model = tiny_yolo()
    int8 = quantize_by_hand(model, CONVS)
    mixed = to_fp16(int8, read_spec(model, "tiny"))
    onnx.checker.check_model(mixed, full_check=True)
    before, after = constants(int8), constants(mixed)
    assert after["res.conv.w.int8"].data_type == TensorProto.INT8
    for name in ("res.conv.w.scale", "res.conv.x.scale"):
        assert after[name].data_type == TensorProto.FLOAT16
        exact, rounded = numpy_helper.to_array(before[name]), numpy_helper.to_array(after[name])
        assert (rounded >= exact).all()
        assert (rounded <= exact * 1.002).all()
    for full, integer, half in zip(run(model), run(int8), run(mixed), strict=True):
        loss = np.abs(full - integer).mean()
        assert np.abs(full - half).mean() < 1.1 * loss, "FP16 adds next to nothing to the loss of INT8"


def test_a_constant_that_is_a_scale_and_a_factor_is_rounded_for_each_use() -> None:
    model = tiny_yolo()
    int8 = quantize_by_hand(model, ("stem.conv",))
    scale = constants(int8)["stem.conv.x.scale"]
    scale.CopyFrom(numpy_helper.from_array(np.float32(0.1000003), scale.name))
    silu = next(n for n in int8.graph.node if n.name == "stem.silu")
    silu.input[1] = scale.name
    mixed = to_fp16(int8, read_spec(model, "tiny"))
    values = {n: numpy_helper.to_array(t) for n, t in constants(mixed).items() if n.startswith(scale.name)}
    nearest = np.float16(0.1)
    assert sorted(values.values()) == [nearest, np.nextafter(nearest, np.float16(1))]


def test_weights_beyond_fp16_are_refused() -> None:
    model = tiny_yolo()
    weight = constants(model)["stem.conv.weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1e6, weight.name))
    with pytest.raises(ModelError, match=r"stem\.conv\.weight holds values beyond 65504"):
        to_fp16(model, read_spec(model, "tiny"))


def test_resize_keeps_its_scale_factors() -> None:
    model = tiny_yolo()
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1, 1], np.float32), "factors"))
    pool = next(n for n in graph.node if n.name == "pool")
    pool.CopyFrom(
        helper.make_node("Resize", [pool.input[0], "", "factors"], ["pool"], name="pool", mode="nearest")
    )
    half = to_fp16(model, read_spec(model, "tiny"))
    onnx.checker.check_model(half, full_check=True)
    assert constants(half)["factors"].data_type == TensorProto.FLOAT
    assert relative(run(model)[0], run(half)[0]) < 5e-3


class TestFp8:
    def test_scales_reach_448_and_weights_come_from_the_original(self) -> None:
        model = tiny_yolo()
        int8 = quantize_by_hand(model, CONVS, amax=3.0)
        fp8 = to_fp8(int8, model)
        onnx.checker.check_model(fp8, full_check=True)
        found = constants(fp8)
        assert numpy_helper.to_array(found["res.conv.x.scale"]) == pytest.approx(3.0 / 448)
        assert found["res.conv.x.zero"].data_type == TensorProto.FLOAT8E4M3FN
        weight = numpy_helper.to_array(constants(model)["res.conv.weight"])
        dequantized = run(fp8, "res.conv.w")[-1]
        np.testing.assert_allclose(dequantized, weight, rtol=1 / 16, atol=np.abs(weight).max() / 448 / 2**9)
        assert not np.array_equal(dequantized, weight)

    def test_it_computes_nearly_the_same_and_takes_fp16_around_it(self) -> None:
        model = tiny_yolo()
        fp8 = to_fp8(quantize_by_hand(model, CONVS), model)
        mixed = to_fp16(fp8, read_spec(model, "tiny"))
        for full, rounded, half in zip(run(model), run(fp8), run(mixed), strict=True):
            assert relative(full, rounded) < 0.15
            assert relative(rounded, half) < 0.05

    def test_asymmetric_networks_are_refused(self) -> None:
        model = tiny_yolo()
        int8 = quantize_by_hand(model, CONVS)
        zero = constants(int8)["res.conv.x.zero"]
        zero.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), zero.name))
        with pytest.raises(ModelError, match="is not symmetric INT8"):
            to_fp8(int8, model)

    def test_another_network_is_refused(self) -> None:
        model = tiny_yolo()
        other = tiny_yolo()
        for node in other.graph.node:
            node.name += "x"
        with pytest.raises(ModelError, match="not in the original"):
            to_fp8(quantize_by_hand(model, CONVS), other)

    def test_an_old_opset_is_refused(self) -> None:
        model = tiny_yolo()
        with pytest.raises(ModelError, match="opset 19"):
            to_fp8(model, model)
