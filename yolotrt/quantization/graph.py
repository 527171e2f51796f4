"""Questions about an ONNX graph that calibration and Q/DQ insertion ask: structure only, never names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from yolotrt.model.tail import decode_tail

WEIGHTED = ("Conv", "ConvTranspose")
"""Layers whose weights are quantised."""

RESHAPING = (
    "Split",
    "Slice",
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Resize",
    "Identity",
)
"""Operations that move or repeat their first input's values and so keep its distribution. (A ``Resize``
by interpolation stays inside its range.)"""

COMMUTING = (*RESHAPING, "MaxPool")
"""Operations that give the same result before and after rounding to a common scale."""


class GraphView:
    """An ONNX graph with its edges at hand. The model is not changed.

    Attributes:
        model: The model.
        nodes: Its nodes in topological order.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.producer: dict[str, onnx.NodeProto] = {o: n for n in self.nodes for o in n.output if o}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.consumers[name].append(node)
        self.initializers = {t.name: t for t in model.graph.initializer}
        self.inputs = [i.name for i in model.graph.input if i.name not in self.initializers]
        self.outputs = [o.name for o in model.graph.output]

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """Return the value of an initializer or ``Constant`` node, or None."""
        if name in self.initializers:
            return np.asarray(numpy_helper.to_array(self.initializers[name]))
        node = self.producer.get(name)
        if node is not None and node.op_type == "Constant":
            return np.asarray(numpy_helper.to_array(attribute(node, "value")))
        return None

    @cached_property
    def head_convolutions(self) -> list[onnx.NodeProto]:
        """The last convolutions before the decoding tail, one per output branch and scale."""
        return [n for n in self.nodes if n.name in self._end[1]]

    @cached_property
    def _end(self) -> tuple[set[str], set[str]]:
        """Names of the nodes that decode, and of the convolutions that feed them."""
        decoding, convolutions = decode_tail(self.model, tuple(self.outputs))
        return set(decoding), set(convolutions)

    @cached_property
    def body(self) -> list[onnx.NodeProto]:
        """The nodes before the decoding tail that compute floats, in order."""
        return [n for n in self.nodes if n.name not in self._end[0] and self.is_float(n.output[0])]

    def inner_convolutions(self, exclude: Collection[str]) -> list[onnx.NodeProto]:
        """Return the convolutions with constant weights that feed no output by themselves, in order.

        Args:
            exclude: Names of nodes to leave out.
        """
        ends = {n.output[0] for n in self.head_convolutions}
        return [
            n
            for n in self.body
            if n.op_type == "Conv"
            and n.output[0] not in ends
            and n.name not in exclude
            and self.constant(n.input[1]) is not None
        ]

    @cached_property
    def shapes(self) -> dict[str, list[int | None]]:
        """Dimensions of all tensors as far as they can be inferred; None where a dimension is dynamic."""
        return {n: d for n, (_, d) in self._types.items()}

    @cached_property
    def _types(self) -> dict[str, tuple[int, list[int | None]]]:
        inferred = onnx.shape_inference.infer_shapes(self.model)
        result = {}
        for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
            tensor = value.type.tensor_type
            dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
            result[value.name] = (tensor.elem_type, dims)
        return result

    def is_float(self, name: str) -> bool:
        """Return whether a tensor holds computed FP32 numbers; what cannot be inferred counts as that."""
        if self.constant(name) is not None:
            return False
        return name not in self._types or self._types[name][0] == onnx.TensorProto.FLOAT

    def is_depthwise(self, node: onnx.NodeProto) -> bool:
        """Return whether a convolution has as many groups as input channels (more than one)."""
        groups = int(attribute(node, "group", 1))
        weights = self.constant(node.input[1])
        return groups > 1 and weights is not None and weights.shape[1] == 1

    def multiply_adds(self, node: onnx.NodeProto) -> int:
        """Return the multiply-adds of a convolution for one image; 0 where shapes are unknown."""
        weights = self.constant(node.input[1])
        at = node.output[0] if node.op_type == "Conv" else node.input[0]
        dims = self.shapes.get(at, [])
        if weights is None or len(dims) < 3 or None in dims[2:]:
            return 0
        positions = int(np.prod([d or 0 for d in dims[2:]]))
        return int(weights.size) * positions

    def silu_source(self, node: onnx.NodeProto) -> str | None:
        """Return x if ``node`` is the multiplication of ``x * sigmoid(x)``, else None."""
        if node.op_type != "Mul" or len(node.input) != 2:
            return None
        a, b = str(node.input[0]), str(node.input[1])
        for x, gate in ((a, b), (b, a)):
            source = self.producer.get(gate)
            if source is not None and source.op_type == "Sigmoid" and source.input[0] == x:
                return x
        return None


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute, or ``default``."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default
