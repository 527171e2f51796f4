"""From ONNX nodes to operations: activations, sums and concatenations become part of their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from yolotrt.backends.fused.attention import AttentionBlock
from yolotrt.backends.fused.graph import NetworkGraph, Node, refusal
from yolotrt.backends.fused.integers import scale_of
from yolotrt.backends.fused.node import square
from yolotrt.backends.fused.plan_ops import (
    ChannelSlice,
    ConvWeights,
    NetworkDraft,
    Op,
    Tensor,
    Value,
    channels_of,
    cut,
    joined,
)

MOST_POOLS = MOST_SUMMANDS = 3
LARGEST_KERNEL = 5
"""A pixel's valid taps are bits of one word."""


class Importer:
    """One walk through the nodes of a network.

    Args:
        graph: The network.
        entry: Name of its input.
        blocks: Its attention blocks.
        skip: Names of nodes that decode detections.
    """

    def __init__(self, graph: NetworkGraph, entry: str, blocks: list[AttentionBlock], skip: set[str]) -> None:
        self.graph = graph
        self.draft = NetworkDraft()
        self._input = entry
        self._images = {entry}  # the input under all its names
        self._skip = skip | {n.name for block in blocks for n in block.nodes}
        self._blocks = {block.nodes[-1].name: block for block in blocks}
        self._gates: dict[str, str] = {}  # sigmoids, and what they are of
        self._handlers: dict[str, Callable[[Node], None]] = {
            "Cast": self._alias, "Identity": self._alias, "Conv": self._conv, "ConvTranspose": self._deconv,
            "Sigmoid": self._sigmoid, "Mul": self._mul, "Add": self._add, "Concat": self._concat,
            "Split": self._split, "Slice": self._slice, "Resize": self._resize, "MaxPool": self._pool,
            "QuantizeLinear": self._rounded, "DequantizeLinear": self._rounded,
        }  # fmt: skip

    def run(self) -> NetworkDraft:
        """Return the operations.

        Raises:
            BuildError: A node is not known, or used in a way that is not.
        """
        for node in self.graph.nodes:
            if node.name in self._blocks:
                self._attention(self._blocks[node.name])
            elif node.name not in self._skip:
                handler = self._handlers.get(node.op)
                if handler is None:
                    raise refusal(node, "the operator is not known")
                handler(node)
        return self.draft

    def _value(self, node: Node, index: int) -> Value:
        name = node.inputs[index]
        if name not in self.draft.values:
            raise refusal(node, f"it reads {name}, which is no feature map")
        return self.draft.values[name]

    def _new(self, name: str, channels: int | None = None) -> int:
        """Add a tensor, and let the ONNX tensor of this name be it."""
        _, there, height, width = self.graph.shapes[name]
        self.draft.tensors.append(Tensor(name, channels or there, height, width))
        index = len(self.draft.tensors) - 1
        self.draft.values[name] = self.draft.whole(index)
        return index

    def _alias(self, node: Node) -> None:
        if node.inputs[0] in self._images:
            self._images.add(node.outputs[0])
            return
        self.draft.values[node.outputs[0]] = self._value(node, 0)

    def _rounded(self, node: Node) -> None:
        """A tensor that is rounded to INT8 stays what it is; who reads it may take it as INT8."""
        scale = scale_of(node, self.graph.constants)
        self._alias(node)
        self.draft.scales[node.outputs[0]] = scale

    def _weights(self, node: Node) -> ConvWeights:
        weight = self.graph.constant(node, 1).astype(np.float32)
        if weight.ndim != 4:
            raise refusal(node, f"its kernel has {weight.ndim - 2} dimensions")
        has_bias = len(node.inputs) > 2 and node.inputs[2]
        outputs = weight.shape[1 if node.op == "ConvTranspose" else 0]
        bias = self.graph.constant(node, 2) if has_bias else np.zeros(outputs)
        integers = self.graph.integers.get(node.inputs[1])
        return ConvWeights(weight, bias.astype(np.float32), integers=integers)

    def _conv(self, node: Node) -> None:
        weights, how = self._weights(node), node.attributes
        kernel, (stride, pad) = weights.weight.shape[2], square(node)
        group = how.get("group", 1)
        if node.inputs[0] in self._images:
            if group != 1:
                raise refusal(node, "the first convolution is grouped")
            _, _, height, width = self.graph.shapes[self._input]
            self._append("stem", node, [], height, width, kernel, stride, pad, weights)
            return
        value = self._value(node, 0)
        _, channels, height, width = self.graph.shapes[node.inputs[0]]
        depthwise = group == channels == weights.weight.shape[0]
        if group != 1 and not depthwise:
            raise refusal(node, f"it has {group} groups")
        if kernel > LARGEST_KERNEL and not depthwise:
            raise refusal(node, f"its kernel of {kernel} x {kernel} is larger than {LARGEST_KERNEL}")
        kind = "depthwise" if depthwise and channels > 1 else "conv"
        op = self._append(kind, node, [value], height, width, kernel, stride, pad, weights)
        op.scale = self.draft.scales.get(node.inputs[0], 0.0)

    def _deconv(self, node: Node) -> None:
        weights, how = self._weights(node), node.attributes
        inputs, outputs, size, _ = weights.weight.shape
        plain = how.get("group", 1) == 1 and not any(how.get("output_padding", [0]))
        if square(node) != (size, 0) or not plain:
            raise refusal(node, "its windows overlap")
        # Each pixel becomes size x size pixels: as many times the channels, the places row by row.
        weight = weights.weight.transpose(2, 3, 1, 0).reshape(size * size * outputs, inputs, 1, 1)
        flat = ConvWeights(np.ascontiguousarray(weight), np.tile(weights.bias, size * size))
        _, _, height, width = self.graph.shapes[node.inputs[0]]
        op = self._append("conv", node, [self._value(node, 0)], height, width, 1, 1, 0, flat)
        op.spread = size

    def _append(
        self, kind: str, node: Node, inputs: list[Value], height: int, width: int, kernel: int,
        stride: int, pad: int, weights: ConvWeights | None, extra: Any = None,
    ) -> Op:  # fmt: skip
        out = self._new(node.outputs[0])
        op = Op(kind, node.name, [node.name], inputs, [out], height, width, kernel, stride, pad, weights)
        op.extra = extra
        self.draft.ops.append(op)
        return op

    def _sigmoid(self, node: Node) -> None:
        self._gates[node.outputs[0]] = node.inputs[0]

    def _mul(self, node: Node) -> None:
        """A value times its own sigmoid is the activation of the convolution that made it."""
        if any(constant := [name in self.graph.constants for name in node.inputs]):
            self._gain(node, constant.index(True))
            return
        gates = [name for name in node.inputs if name in self._gates]
        source = self._gates[gates[0]] if gates else ""
        if not gates or source not in node.inputs or source not in self.draft.values:
            raise refusal(node, "it is not part of a SiLU")
        op = self._last_of(self.draft.values[source])
        readers = {n.op for n in self.graph.readers[source]}
        if op is None or op.weights is None or op.act != "none" or op.ended or readers != {"Sigmoid", "Mul"}:
            raise refusal(node, "its SiLU is not behind a convolution")
        op.weights.act = "silu"
        self._extend(op, node, [self.graph.makers[gates[0]].name])

    def _gain(self, node: Node, index: int) -> None:
        """A value times a number for each channel ends in the convolution that made it."""
        op, factors = self._last_of(self._value(node, 1 - index)), self.graph.constants[node.inputs[index]]
        if op is None or op.kind != "conv" or not op.weights or op.spread > 1:
            raise refusal(node, "it is not behind a convolution")
        each = factors.size in (1, len(op.weights.bias)) and factors.shape[-2:] in ((), (1, 1))
        if op.ended or not each or self.graph.consumers(self.draft.tensors[op.outputs[0]].name) != [node]:
            raise refusal(node, "it multiplies not channel by channel, or what others read as it is")
        op.weights.gain = np.broadcast_to(factors.reshape(-1), op.weights.bias.shape).astype(np.float32)
        self._extend(op, node)

    def _add(self, node: Node) -> None:
        """A sum ends in the convolution that made one of its sides, if nobody else wants that side."""
        sides = [self._value(node, 0), self._value(node, 1)]
        makers = self.draft.makers()
        ends: list[tuple[int, int]] = []
        for i, side in enumerate(sides):
            op, other = self._last_of(side), sides[1 - i]
            alone = len(self.graph.readers[node.inputs[i]]) == 1
            if op is None or not alone:
                continue
            at = makers[op.outputs[-1]]
            before = all(makers[piece.tensor] < at for piece in other)
            if op.kind == "sum" and len(op.inputs) < MOST_SUMMANDS and len(other) == 1:
                op.inputs.append(other)
                self.draft.ops.remove(op)  # nobody has read it: it can wait until all of it is there
                self.draft.ops.append(op)
                self._extend(op, node)
                return
            alike = len(other) == 1 and other[0].zoom == 1
            if op.weights and op.spread == 1 and not op.residual and before and alike:
                ends.append((at, i))
        if ends:
            at, i = max(ends)
            self.draft.ops[at].residual = sides[1 - i]
            self.draft.ops[at].residual_scale = self.draft.scales.get(node.inputs[1 - i], 0.0)
            self._extend(self.draft.ops[at], node)
            return
        if any(len(side) != 1 for side in sides):
            raise refusal(node, "it adds concatenations")
        _, _, height, width = self.graph.shapes[node.outputs[0]]
        self._append("sum", node, sides, height, width, 1, 1, 0, None)

    def _last_of(self, value: Value) -> Op | None:
        """Return the operation that made a value if the value is all that it made."""
        if not self.draft.is_one_tensor(value):
            return None
        op = self.draft.ops[self.draft.makers()[value[0].tensor]]
        return op if op.outputs == [value[0].tensor] else None

    def _extend(self, op: Op, node: Node, more: list[str] | None = None) -> None:
        """Let an operation compute one more node."""
        op.nodes += [*(more or []), node.name]
        op.name = node.name
        self.draft.tensors[op.outputs[-1]].name = node.outputs[0]
        self.draft.values[node.outputs[0]] = self.draft.whole(op.outputs[-1])

    def _concat(self, node: Node) -> None:
        if node.attributes.get("axis") not in (1, -3):
            raise refusal(node, f"it is along axis {node.attributes.get('axis')}")
        pieces = [piece for i in range(len(node.inputs)) for piece in self._value(node, i)]
        self.draft.values[node.outputs[0]] = joined(pieces)

    def _split(self, node: Node) -> None:
        value, parts = self._value(node, 0), len(node.outputs)
        if node.attributes.get("axis", 0) not in (1, -3):
            raise refusal(node, f"it is along axis {node.attributes.get('axis', 0)}")
        even = [channels_of(value) // parts] * parts
        sizes = self.graph.constant(node, 1).tolist() if len(node.inputs) > 1 else even
        first = 0
        for name, size in zip(node.outputs, sizes, strict=True):
            self.draft.values[name] = cut(value, first, size)
            first += size

    def _slice(self, node: Node) -> None:
        value = self._value(node, 0)
        begin, end, axes = (self.graph.constant(node, i).tolist() for i in (1, 2, 3))
        steps = self.graph.constant(node, 4).tolist() if len(node.inputs) > 4 else [1]
        if axes not in ([1], [-3]) or steps != [1] or begin[0] < 0 or end[0] < 0:
            raise refusal(node, f"it is along axis {axes} in steps of {steps}")
        stop = min(end[0], channels_of(value))
        self.draft.values[node.outputs[0]] = cut(value, begin[0], stop - begin[0])

    def _resize(self, node: Node) -> None:
        how, value = node.attributes, self._value(node, 0)
        before, after = self.graph.shapes[node.inputs[0]], self.graph.shapes[node.outputs[0]]
        zoom = after[2] // before[2]
        whole = (before[2] * zoom, before[3] * zoom) == after[2:] and zoom in (2, 4, 8)
        nearest = how.get("mode", "nearest") == "nearest"
        floor = how.get("coordinate_transformation_mode", "half_pixel") == "asymmetric"
        floor = floor and how.get("nearest_mode", "round_prefer_floor") == "floor"
        if not (whole and nearest and floor):
            raise refusal(node, "it does not repeat pixels 2, 4 or 8 times")
        self.draft.values[node.outputs[0]] = tuple(
            ChannelSlice(p.tensor, p.first, p.channels, p.zoom * zoom) for p in value
        )

    def _pool(self, node: Node) -> None:
        kernel = node.attributes["kernel_shape"][0]
        value = self._value(node, 0)
        if square(node) != (1, kernel // 2) or not kernel % 2 or node.attributes.get("ceil_mode", 0):
            raise refusal(node, "it does not keep the size")
        if len(value) != 1 or value[0].zoom != 1:
            raise refusal(node, "it reads a concatenation")
        tensor = value[0].tensor
        made = self.draft.ops[self.draft.makers()[tensor]]
        chained = made.kind == "pools" and made.kernel == kernel and made.outputs[-1] == tensor
        if chained and self.draft.is_one_tensor(value) and len(made.outputs) < MOST_POOLS:
            made.outputs.append(self._new(node.outputs[0]))
            made.nodes.append(node.name)
            made.name = node.name
            return
        _, _, height, width = self.graph.shapes[node.inputs[0]]
        self._append("pools", node, [value], height, width, kernel, 1, kernel // 2, None)

    def _attention(self, block: AttentionBlock) -> None:
        node = block.nodes[-1]
        value = self.draft.values[block.source]
        if len(value) != 1 or value[0].zoom != 1:
            raise refusal(node, "it reads a concatenation")
        _, _, height, width = self.graph.shapes[block.source]
        positional = self._weights(block.positional)
        kernel = positional.weight.shape[2]
        if square(block.positional) != (1, kernel // 2):
            raise refusal(block.positional, "it does not keep the size")
        op = self._append(
            "attention", node, [value], height, width, kernel, 1, kernel // 2, positional, block
        )
        op.nodes = [n.name for n in block.nodes]
