"""What an engine's own layer report must say about a network, convolution by convolution."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from yolotrt.backends.base import Layer
from yolotrt.backends.layers import is_convolution
from yolotrt.model.spec import ModelSpec
from yolotrt.model.tail import decode_tail


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose")]


def meant_for_8_bits(model: onnx.ModelProto) -> set[str]:
    """Return the convolutions whose input and weight come out of a Q/DQ pair."""
    dequantised = {o for n in model.graph.node if n.op_type == "DequantizeLinear" for o in n.output}
    return {n.name for n in convolutions(model) if {n.input[0], n.input[1]} <= dequantised}


def computed_in(model: onnx.ModelProto, layers: Iterable[Layer], narrow: str) -> set[str]:
    """Return the convolutions that a layer computes with inputs and weights of a type."""
    by_node = {node: layer for layer in layers if is_convolution(layer) for node in layer.nodes}
    return {
        n.name
        for n in convolutions(model)
        if by_node[n.name].inputs[0] == by_node[n.name].weights[0] == narrow
    }


def never_in_8_bits(original: onnx.ModelProto, spec: ModelSpec) -> set[str]:
    """Return the convolutions that must stay in FP16: depthwise, transposed, and the head's last ones."""
    _, heads = decode_tail(original, (spec.head_output,))
    nodes = convolutions(original)
    depthwise = {n.name for n in nodes if any(a.name == "group" and a.i > 1 for a in n.attribute)}
    return depthwise | set(heads) | {n.name for n in nodes if n.op_type == "ConvTranspose"}
