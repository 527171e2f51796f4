"""Q/DQ for ONNX Runtime on a CPU: as much of the body as possible becomes 8-bit kernels.

ONNX Runtime fuses ``DQ -> op -> Q`` into integer kernels, so every tensor between two integer kernels
needs a pair. Activations are asymmetric uint8, weights symmetric int8 per output channel, biases int32
in the accumulator's scale.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

from yolotrt.errors import CalibrationError
from yolotrt.quantization.graph import COMMUTING, GraphView
from yolotrt.quantization.insertion import SMALLEST_SCALE, QdqWriter, weight_scales
from yolotrt.quantization.ranges import CalibrationRanges

POINTWISE = ("Sigmoid", "Mul", "Add", "Concat", "LeakyRelu", "Relu")
"""Operations with an 8-bit kernel that is faster than converting back and forth."""


def quantize_for_cpu(
    model: onnx.ModelProto, ranges: CalibrationRanges, exclude: Collection[str], weight_levels: int
) -> onnx.ModelProto:
    """Return the model with Q/DQ for ONNX Runtime's CPU kernels.

    The last convolutions before the decoding tail, the tail itself, attention products and transposed
    convolutions stay in floating point.

    Args:
        model: The FP32 model, opset 13 or later.
        ranges: Its calibration.
        exclude: Names of further convolutions to keep in floating point.
        weight_levels: Largest magnitude of a quantised weight.
    """
    writer = QdqWriter(model)
    view = writer.view
    convolutions = integer_convolutions(view, exclude)
    integer = {id(n) for n in convolutions}
    results = {n.output[0] for n in convolutions}
    integer |= _integer_links(view, integer)
    for tensor in _paired_tensors(view, integer):
        scale, zero_point = uint8_parameters(ranges, tensor)
        writer.activation(tensor, scale, zero_point, np.uint8)
        for node in view.consumers[tensor]:
            # An integer convolution has no other result; what floats anyway stays exact for who floats.
            if tensor in results or id(node) in integer:
                writer.read(tensor, node)
    for node in convolutions:
        _quantize_constants(writer, node, uint8_parameters(ranges, node.input[0])[0], weight_levels)
    return writer.finish()


def _quantize_constants(
    writer: QdqWriter, node: onnx.NodeProto, input_scale: float, weight_levels: int
) -> None:
    weights = writer.view.constant(node.input[1])
    assert weights is not None
    scales = weight_scales(weights, weight_levels)
    if len(node.input) > 2:
        bias = writer.view.constant(node.input[2])
        assert bias is not None
        accumulator = np.float64(np.float32(max(input_scale, SMALLEST_SCALE)))
        # The bias of a channel with (all but) zero weights must still fit into the accumulator.
        scales = np.maximum(scales, np.abs(bias) / (accumulator * 2**30)).astype(np.float32)
        writer.bias(node, bias, scales * accumulator)
    writer.weights(node, weights, scales, weight_levels)


def integer_convolutions(view: GraphView, exclude: Collection[str]) -> list[onnx.NodeProto]:
    """Return the convolutions that run in 8 bits on a CPU, in order."""
    return [
        n
        for n in view.inner_convolutions(exclude)
        if all(view.constant(name) is not None for name in n.input[2:] if name)
    ]


def uint8_parameters(ranges: CalibrationRanges, tensor: str) -> tuple[float, int]:
    """Return scale and zero-point of a tensor as uint8.

    Raises:
        CalibrationError: The calibration does not know the tensor.
    """
    if tensor not in ranges.tensors:
        raise CalibrationError(
            f"The calibration has no range for tensor {tensor!r}.",
            hint="It belongs to another network; calibrate this one.",
        )
    found = ranges.tensors[tensor]
    scale = (found.hi - found.lo) / 255
    return scale, 0 if scale == 0 else min(255, max(0, round(-found.lo / scale)))


def _integer_links(view: GraphView, convolutions: set[int]) -> set[int]:
    """Return the other operations that are best done in 8 bits: those between 8-bit convolutions.

    An operation is one if all it reads is 8-bit anyway and somebody reads its result in 8 bits.
    """
    paired = {n.input[0] for n in view.body if id(n) in convolutions}
    links: set[int] = set()
    for node in view.body:
        sources = list(node.input) if node.op_type in POINTWISE else list(node.input[:1])
        links_op = node.op_type in (*POINTWISE, *COMMUTING)
        if id(node) in convolutions or (links_op and paired.issuperset(sources)):
            paired.update(node.output)
            links |= set() if id(node) in convolutions else {id(node)}
    for node in reversed(view.body):
        readers = [n for out in node.output for n in view.consumers[out]]
        if id(node) in links and not any(id(n) in convolutions or id(n) in links for n in readers):
            links.discard(id(node))
    return links


def _paired_tensors(view: GraphView, integer: set[int]) -> list[str]:
    """Return what the 8-bit operations read and write, in order."""
    paired: dict[str, None] = {}
    for node in view.body:
        if id(node) in integer:
            sources = node.input if node.op_type in POINTWISE else node.input[:1]
            paired.update(dict.fromkeys([*sources, *node.output]))
    return list(paired)
