"""Writing QuantizeLinear and DequantizeLinear into a copy of a model."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from yolotrt.arrays import F32
from yolotrt.quantization.graph import GraphView

SMALLEST_SCALE = 2.0**-40
"""Scale of tensors that are (all but) zero: positive, as runtimes demand, and harmless in products."""

Array = npt.NDArray[Any]


def weight_scales(weights: Array, levels: int) -> F32:
    """Return the symmetric scale per output channel that lets the largest weight reach ``levels``.

    Args:
        weights: A convolution's weights, output channels first.
        levels: Largest magnitude of a quantised weight.
    """
    reach = np.abs(weights.astype(np.float64)).reshape(len(weights), -1).max(axis=1)
    scales: F32 = np.maximum(reach / levels, SMALLEST_SCALE).astype(np.float32)
    return scales


class QdqWriter:
    """Collects Q/DQ pairs and quantised weights, then rebuilds the graph in topological order.

    Args:
        model: The FP32 model; it is not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.view = GraphView(model)
        self._after: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._first: list[onnx.NodeProto] = []
        self._rename: dict[tuple[int, int], str] = {}
        self._position = {id(n): i for i, n in enumerate(self.view.nodes)}
        self._dequantized: dict[str, str] = {}
        self._factors: dict[int, F32] = {}

    def activation(self, tensor: str, scale: float, zero_point: int, dtype: type) -> None:
        """Put a pair behind a tensor; readers are switched to it one by one, by :meth:`read`."""
        if tensor in self._dequantized:
            return
        quantized, dequantized = f"{tensor}.quantized", f"{tensor}.dequantized"
        parameters = [f"{tensor}.scale", f"{tensor}.zero_point"]
        self._add(parameters[0], np.array(max(scale, SMALLEST_SCALE), np.float32))
        self._add(parameters[1], np.array(zero_point, dtype))
        self._after[tensor] += [
            helper.make_node("QuantizeLinear", [tensor, *parameters], [quantized], name=f"{tensor}.quantize"),
            helper.make_node(
                "DequantizeLinear", [quantized, *parameters], [dequantized], name=f"{tensor}.dequantize"
            ),
        ]
        self._dequantized[tensor] = dequantized

    def read(self, tensor: str, node: onnx.NodeProto) -> None:
        """Let a node read the dequantised tensor."""
        for slot, name in enumerate(node.input):
            if name == tensor:
                self._rename[self._position[id(node)], slot] = self._dequantized[tensor]

    def weights(self, node: onnx.NodeProto, values: Array, scales: F32, levels: int) -> None:
        """Store a convolution's weights as int8.

        Args:
            node: The convolution.
            values: Its weights, output channels first.
            scales: (channels,) scales, or () one for all.
            levels: Largest magnitude used, 127 or less.
        """
        column = scales.reshape(-1, *[1] * (values.ndim - 1))
        integers = np.clip(np.rint(values / column), -levels, levels).astype(np.int8)
        self._constant(node, 1, integers, scales)

    def multiply_behind(self, node: onnx.NodeProto, factors: F32) -> None:
        """Multiply a convolution's output channels, and add its bias, if it has one, only then.

        Args:
            node: The convolution.
            factors: (channels, 1, 1) as they are spread over its output; one dimension less for a 1-D one.
        """
        self._factors[self._position[id(node)]] = factors

    def bias(self, node: onnx.NodeProto, values: Array, scales: npt.NDArray[np.float64]) -> None:
        """Store a node's bias as int32 in the scale of its accumulator."""
        limit = 2**31 - 1
        integers = np.clip(np.rint(values / scales), -limit, limit).astype(np.int32)
        self._constant(node, 2, integers, scales.astype(np.float32))

    def finish(self) -> onnx.ModelProto:
        """Return the new model, without the weights that nothing reads any more.

        Raises:
            onnx.checker.ValidationError: The result is not a valid model (a bug).
        """
        graph = self.model.graph
        nodes = list(self._first)
        for name in self.view.inputs:
            nodes += self._after[name]
        for i, node in enumerate(graph.node):
            for slot in range(len(node.input)):
                node.input[slot] = self._rename.get((i, slot), node.input[slot])
            written = list(node.output)
            nodes.append(node)
            if i in self._factors:
                nodes += self._multiplied(node, self._factors[i])
            for name in written:
                nodes += self._after[name]
        rebuilt = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
        del graph.node[:]
        graph.node.extend(rebuilt)
        used = {name for n in graph.node for name in n.input} | {o.name for o in graph.output}
        kept = [t for t in graph.initializer if t.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        onnx.checker.check_model(self.model)
        return self.model

    def _multiplied(self, node: onnx.NodeProto, factors: F32) -> list[onnx.NodeProto]:
        """Rename what a convolution writes, take its bias, and return what makes the old name of it."""
        name = node.output[0]
        parts = [("factor", "Mul", factors)]
        if len(node.input) > 2:
            bias = self.view.constant(node.input.pop())
            assert bias is not None
            parts.append(("bias", "Add", bias.reshape(factors.shape)))
        found, source = [], f"{name}.unscaled"
        node.output[0] = source
        for part, operator, values in parts:
            self._add(f"{name}.unscaled.{part}", values)
            target = name if part == parts[-1][0] else f"{name}.scaled"
            found.append(
                helper.make_node(
                    operator, [source, f"{name}.unscaled.{part}"], [target], name=f"{name}.{operator}"
                )
            )
            source = target
        return found

    def _constant(self, node: onnx.NodeProto, slot: int, integers: Array, scales: F32) -> None:
        """Replace a constant input by integers and a DequantizeLinear, once per node."""
        name = f"{node.input[slot]}.of.{node.output[0]}"
        parts = [f"{name}.quantized", f"{name}.scale", f"{name}.zero_point"]
        for part, values in zip(
            parts, (integers, scales, np.zeros(np.shape(scales), integers.dtype)), strict=True
        ):
            self._add(part, values)
        axis = {"axis": 0} if np.ndim(scales) else {}
        dequantize = helper.make_node(
            "DequantizeLinear", parts, [f"{name}.dequantized"], name=f"{name}.dequantize", **axis
        )
        self._first.append(dequantize)
        self._rename[self._position[id(node)], slot] = f"{name}.dequantized"

    def _add(self, name: str, values: Array) -> None:
        self.model.graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name)
        )
