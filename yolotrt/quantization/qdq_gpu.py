"""Q/DQ for TensorRT: pairs where its INT8 kernels want them, nothing where its fusions would break.

Everything is symmetric int8 with zero-point 0. A convolution's input has a pair, its output has none,
so that the activation function stays fused to it in high precision. Pairs repeat, with one common
scale, through operations that only move values (concatenation, split, pooling, resize): TensorRT can
then pull them together and keep those operations in INT8. Sources: NvInfer.h (``IQuantizeLayer``), the
developer guide's "Explicit Quantization" and "Q/DQ Layer-Placement Recommendations".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import numpy as np
import onnx

from yolotrt.errors import CalibrationError
from yolotrt.quantization.graph import COMMUTING, GraphView
from yolotrt.quantization.insertion import QdqWriter, weight_scales
from yolotrt.quantization.ranges import CalibrationRanges

WeightScales = Literal["channels", "behind", "one"]
"""Where the scales of a weight's output channels are.

``channels``: each has its own, as TensorRT wants it. TensorRT-RTX lets an 8-bit convolution write FP16 only
if its weight has one scale, and FP32 otherwise (``findings/``). So for it what tells channels apart is
multiplied ``behind`` the convolution, and the bias is added there: in the kernel of the activation function,
which has to read and write the values anyway. What is computed is the same. ``one``: one for all, which costs
accuracy in INT8; in FP8, whose steps are relative to each weight, noise of weights grows by 5 to 15 %.
"""


def quantize_for_gpu(
    model: onnx.ModelProto,
    ranges: CalibrationRanges,
    exclude: Collection[str],
    *,
    scales: WeightScales = "channels",
) -> onnx.ModelProto:
    """Return the model with Q/DQ for TensorRT, all of it still in FP32 otherwise.

    Depthwise convolutions, the last convolutions before the decoding tail, the tail, transposed
    convolutions and attention products stay in high precision.

    Args:
        model: The FP32 model, opset 19 or later.
        ranges: Its calibration.
        exclude: Names of further convolutions to keep in high precision.
        scales: Where the scales of a weight's output channels are.
    """
    writer = QdqWriter(model)
    view = writer.view
    convolutions = int8_convolutions(view, exclude)
    readers = _reads(view, convolutions)
    tensors = list(dict.fromkeys(n for node in view.nodes for n in node.input if (id(node), n) in readers))
    limits = _common_limits(view, ranges, tensors, readers)
    for tensor in tensors:
        writer.activation(tensor, limits[tensor] / 127, 0, np.int8)
        for node in view.consumers[tensor]:
            if (id(node), tensor) in readers:
                writer.read(tensor, node)
    for node in convolutions:
        weights = view.constant(node.input[1])
        assert weights is not None
        steps = weight_scales(weights, 127)
        if scales == "channels" or (scales == "behind" and _computes_bias(view, node)):
            writer.weights(node, weights, steps, 127)
            continue
        widest = steps.max().reshape(())
        if scales == "behind" and (steps != widest).any():
            factors = (steps / widest).reshape(-1, *[1] * (weights.ndim - 2))
            weights = weights / factors[..., None]
            writer.multiply_behind(node, factors)
        writer.weights(node, weights, widest, 127)
    return writer.finish()


def _computes_bias(view: GraphView, node: onnx.NodeProto) -> bool:
    return len(node.input) > 2 and view.constant(node.input[2]) is None


def int8_convolutions(view: GraphView, exclude: Collection[str]) -> list[onnx.NodeProto]:
    """Return the convolutions that run in INT8 on TensorRT, in order."""
    return [n for n in view.inner_convolutions(exclude) if not view.is_depthwise(n)]


def _reads(view: GraphView, convolutions: list[onnx.NodeProto]) -> set[tuple[int, str]]:
    """Return who reads which tensor in INT8, as the node's identity and the tensor's name."""
    readers = {(id(n), n.input[0]) for n in convolutions}
    readers |= {(id(node), skip) for node, skip in _residual_skips(view, convolutions)}
    return _moving_readers(view, readers)


def _residual_skips(view: GraphView, convolutions: list[onnx.NodeProto]) -> list[tuple[onnx.NodeProto, str]]:
    """Return each addition to an INT8 convolution's result, with the input that bypassed it.

    The branch that comes straight from the convolution gets no pair, or the addition could not be fused
    to it.
    """
    integer = {n.output[0] for n in convolutions}

    def is_branch(name: str) -> bool:
        node = view.producer.get(name)
        source = name if node is None else view.silu_source(node) or name
        return source in integer and len(view.consumers[name]) == 1

    found = []
    for node in view.body:
        if node.op_type == "Add" and sum(map(is_branch, node.input)) == 1:
            skip = node.input[0] if is_branch(node.input[1]) else node.input[1]
            if view.constant(skip) is None:
                found.append((node, skip))
    return found


def _moving_readers(view: GraphView, readers: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Return the reads by operations that only move values to where every reader wants INT8."""
    found = set(readers)
    for node in reversed(view.body):
        moves = node.op_type in (*COMMUTING, "Concat")
        wanted = [(id(n), out) for out in node.output for n in view.consumers[out]]
        if moves and wanted and found.issuperset(wanted):
            found |= {(id(node), name) for name in moved_inputs(node)}
    return found


def _common_limits(
    view: GraphView, ranges: CalibrationRanges, tensors: Iterable[str], readers: set[tuple[int, str]]
) -> Mapping[str, float]:
    """Return the magnitude that INT8 covers for each tensor: one for all that are tied together.

    The largest limit of a group holds for all, because what one member clips all would clip.
    """
    wanted = set(tensors)
    tied = _tied(view, wanted, readers)
    limits: dict[str, float] = {}
    for name in wanted:
        if name not in ranges.tensors:
            raise CalibrationError(
                f"The calibration has no range for tensor {name!r}.",
                hint="It belongs to another network; calibrate this one.",
            )
        root = tied.root(name)
        limits[root] = max(limits.get(root, 0.0), ranges.tensors[name].amax)
    return {name: limits[tied.root(name)] for name in wanted}


def shared_scales(view: GraphView) -> dict[str, str]:
    """Return by tensor the name that stands for all that share its scale when everything is quantised."""
    readers = _reads(view, int8_convolutions(view, ()))
    tensors = {name for node in view.nodes for name in node.input if (id(node), name) in readers}
    tied = _tied(view, tensors, readers)
    return {name: tied.root(name) for name in tensors}


def _tied(view: GraphView, wanted: Collection[str], readers: set[tuple[int, str]]) -> _Groups:
    """Return which tensors share a scale: those tied by operations that move values in INT8."""
    tied = _Groups()
    for node in view.body:
        sources = moved_inputs(node)
        if node.op_type in (*COMMUTING, "Concat") and (id(node), sources[0]) in readers:
            for name in [*sources[1:], *(o for o in node.output if o in wanted)]:
                tied.tie(sources[0], name)
    return tied


def moved_inputs(node: onnx.NodeProto) -> list[str]:
    """Return the inputs whose values an operation moves, without shapes and indices."""
    return list(node.input) if node.op_type == "Concat" else list(node.input[:1])


class _Groups:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._up: dict[str, str] = {}

    def root(self, name: str) -> str:
        while name in self._up:
            name = self._up[name]
        return name

    def tie(self, a: str, b: str) -> None:
        a, b = self.root(a), self.root(b)
        if a != b:
            self._up[b] = a
