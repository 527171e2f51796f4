"""Reading what TensorRT says about its layers, in all the forms that it uses."""

from __future__ import annotations

import json

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import Layer
from yolotrt.backends.layers import is_convolution, summarise
from yolotrt.backends.tensorrt.layers import from_inspector, from_report, with_lost_fusions

TENSOR = "{{ Name: t, Dimensions: [1,16,8,8], Datatype: {}, Format: (NHWC) Channel major format }}"


def line(name: str, kind: str, inputs: str, weights: str, outputs: str, nodes: str) -> str:
    tensors = [", ".join(TENSOR.format(t) for t in types.split()) for types in (inputs, weights, outputs)]
    origin = "".join(f"[ONNX Layer: {node}]" for node in nodes.split())
    read, constant, written = tensors
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [ {read}], Constants: [ {constant}], "
        f"Outputs: [ {written}], TacticName: , StreamId: 0, Metadata: {origin}"
    )


REPORT = "\n".join(
    [
        "Layers:",
        line("__myl_CorrSilu_myl0_1", "runtime_fusion", "Half", "Half Half", "Half", "a b"),
        line("/a/Conv [profile 1]_myl1_1", "correlation", "Int8", "Int8 Float", "Float", "a"),
        line("__myl_MulSilu_myl1_2", "kgen", "Float", "Half", "Int8", "a b"),
        line("__myl_FcAddSilu_myl1_3", "runtime_fusion", "Half", "Half", "Half", "c"),
        line("/attn/MatMul_myl1_4", "gemm", "Half Half", "Float", "Half", "d"),
        line("fp8_myl1_5", "deconv", "FP8", "FP8", "Float", "e"),
        "",
        "I/O Tensors:",
        " Name: images, IOMode: Input, DataType: Float",
    ]
)


def test_the_report_of_a_build_gives_the_layers_of_the_last_profile() -> None:
    layers = from_report(REPORT)
    assert [layer.name for layer in layers] == [
        "/a/Conv [profile 1]_myl1_1",
        "__myl_MulSilu_myl1_2",
        "__myl_FcAddSilu_myl1_3",
        "/attn/MatMul_myl1_4",
        "fp8_myl1_5",
    ]
    assert layers[0] == Layer(
        "/a/Conv [profile 1]_myl1_1", "correlation", ("INT8",), ("INT8", "FP32"), ("FP32",), ("a",),
        moved_bytes=16 * 8 * 8 * (1 + 4),
    )  # fmt: skip
    assert summarise(layers).moved_bytes == 16 * 8 * 8 * sum((1 + 4, 4 + 1, 2 + 2, 2 + 2 + 2, 1 + 4))
    assert [is_convolution(layer) for layer in layers] == [True, False, True, False, True]
    assert summarise(layers).convolutions == {"INT8": 1, "FP16": 1, "FP8": 1}


def test_one_profile_needs_no_marks() -> None:
    assert len(from_report(line("__myl_CorrSilu_myl0_1", "runtime_fusion", "Half", "Half", "Half", "a"))) == 1


@pytest.mark.parametrize(
    ("entry", "layer"),
    [
        (  # TensorRT 10
            {
                "Name": "conv [profile 2]",
                "LayerType": "CaskConvolution",
                "ParameterType": "Convolution",
                "Inputs": [{"Name": "x", "Format/Datatype": "Channel major INT8 format, channel % 4 == 0"}],
                "Outputs": [{"Name": "y", "Format/Datatype": "Two wide channel vectorized row major FP16"}],
                "Weights": {"Type": "Int8", "Count": 9},
                "Bias": {"Type": "Float", "Count": 1},
                "Metadata": "[ONNX Layer: a [profile 2]]\u001e[ONNX Layer: b]",
            },
            Layer("conv [profile 2]", "Convolution", ("INT8",), ("INT8", "FP32"), ("FP16",), ("a", "b")),
        ),
        (  # TensorRT 11 and RTX
            {
                "Name": "__myl_Conv_myl2_7",
                "LayerType": "correlation",
                "Inputs": [{"Name": "x", "Datatype": "Half", "Format": "(NHWC) Channel major format"}],
                "Constants": [{"Name": "w", "Datatype": "Half"}],
                "Outputs": [{"Name": "y", "Datatype": "BFloat16"}],
                "Metadata": "",
            },
            Layer("__myl_Conv_myl2_7", "correlation", ("FP16",), ("FP16",), ("BF16",), ()),
        ),
    ],
)
def test_the_inspector_speaks_two_dialects(entry: dict[str, object], layer: Layer) -> None:
    other = {"Name": "conv", "LayerType": "Reformat", "Inputs": [], "Outputs": []}
    assert from_inspector(json.dumps({"Layers": [other, entry], "Bindings": ["x"]})) == (layer,)


def test_an_engine_that_was_not_built_to_tell_has_no_layers() -> None:
    assert from_inspector(json.dumps({"Layers": ["conv", "silu"]})) == ()


@given(st.one_of(st.text(), st.from_regex(r"Name: .*, LayerType: .*", fullmatch=True)))
@settings(deadline=None, derandomize=True)
def test_any_text_is_read_without_failing(text: str) -> None:
    from_report(text)
    from_inspector(text)


def test_an_activation_in_another_layer_is_a_lost_fusion() -> None:
    model = tiny_yolo()
    scaled = next(n for n in model.graph.node if n.name == "down2.conv")
    for part in ("Mul", "Add"):  # as behind 8-bit weights with one scale
        model.graph.initializer.append(onnx.helper.make_tensor(f"a {part}", 1, [], [1.0]))
        target, scaled.output[0] = scaled.output[0], f"{part} reads this"
        model.graph.node.append(onnx.helper.make_node(part, [scaled.output[0], f"a {part}"], [target]))

    def layer(name: str, *nodes: str) -> Layer:
        return Layer(name, "correlation", ("FP16",), ("FP16",), ("FP16",), nodes)

    layers = with_lost_fusions(
        [
            layer("fused", "stem.conv", "stem.sigmoid", "stem.silu"),
            layer("alone", "down2.conv"),
            layer("head", "join.head"),
            layer("__myl_CorrSilu_myl0_9", "down3.conv"),
        ],
        model,
    )
    assert {x.name: x.activation_elsewhere for x in layers} == {
        "fused": (),
        "alone": ("down2.sigmoid", "down2.silu"),
        "head": (),
        "__myl_CorrSilu_myl0_9": (),
    }
    assert summarise(layers).unfused == ("alone",)
