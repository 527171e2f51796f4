"""Q/DQ for ONNX Runtime on a CPU: as much of the body as possible becomes 8-bit kernels.

ONNX Runtime fuses ``DQ -> op -> Q`` into integer kernels, so every tensor between two integer kernels
needs a pair. Activations are asymmetric uint8, weights symmetric int8 per output channel, biases int32
in the accumulator's scale.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

from yolotrt.calibration.graph import COMMUTING, GraphView
from yolotrt.calibration.insertion import QdqWriter, weight_scales
from yolotrt.calibration.ranges import CalibrationRanges
from yolotrt.errors import CalibrationError

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
    for tensor in _paired_tensors(view, convolutions):
        scale, zero_point = uint8_parameters(ranges, tensor)
        writer.activation(tensor, scale, zero_point, np.uint8)
        writer.read(tensor, lambda _: True)
    for node in convolutions:
        weights = view.constant(node.input[1])
        assert weights is not None
        scales = weight_scales(weights, 0, weight_levels)
        writer.weights(node, weights, scales, 0, weight_levels)
        if len(node.input) > 2:
            bias = view.constant(node.input[2])
            assert bias is not None
            input_scale, _ = uint8_parameters(ranges, node.input[0])
            writer.bias(node, bias, scales.astype(np.float64) * np.float32(input_scale))
    return writer.finish()


def integer_convolutions(view: GraphView, exclude: Collection[str]) -> list[onnx.NodeProto]:
    """Return the convolutions that run in 8 bits on a CPU, in order."""
    ends = {n.output[0] for n in view.head_convolutions}
    return [
        n
        for n in view.body
        if n.op_type == "Conv"
        and n.output[0] not in ends
        and n.name not in exclude
        and all(view.constant(name) is not None for name in n.input[1:] if name)
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


def _paired_tensors(view: GraphView, convolutions: list[onnx.NodeProto]) -> list[str]:
    """Return the tensors that lie on an 8-bit path: inputs and outputs of its operations, in order."""
    integer = {id(n) for n in convolutions}
    paired = dict.fromkeys(n.input[0] for n in convolutions)
    for node in view.body:
        if node.op_type in COMMUTING:
            runs = node.input[0] in paired
        elif node.op_type in POINTWISE:
            runs = all(name in paired for name in node.input)
        else:
            runs = id(node) in integer
        if runs:
            paired.update(dict.fromkeys(node.output))
    return list(paired)
