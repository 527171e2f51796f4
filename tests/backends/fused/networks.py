"""Small networks with every block that YOLO-seg networks are made of, written node by node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Shape:
    """What a network is like.

    Attributes:
        size: Height and width of the input.
        classes: Number of classes.
        coeffs: Number of mask coefficients.
        bins: Bins of a distance's distribution; 1 gives the distances themselves.
        keep: Detections of an end-to-end head; 0 gives a raw one.
        areas: Parts that the attention is cut into.
        width: Channels of the first layer.
        gains: A residual is scaled channel by channel, as in the larger YOLO12.
    """

    size: int = 64
    classes: int = 3
    coeffs: int = 8
    bins: int = 4
    keep: int = 0
    areas: int = 1
    width: int = 8
    gains: bool = False


class Builder:
    """Nodes and weights of a graph."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._count = 0

    def const(self, value: Any, dtype: Any = np.int64) -> str:
        self._count += 1
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), f"const{self._count}"))
        return f"const{self._count}"

    def node(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> Any:
        self._count += 1
        names = [f"{op.lower()}{self._count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}{self._count}", **attributes))
        return names[0] if outputs == 1 else names

    def conv(
        self, x: str, cin: int, cout: int, kernel: int = 1, stride: int = 1, *, silu: bool = True,
        depthwise: bool = False,
    ) -> str:  # fmt: skip
        inner = 1 if depthwise else cin
        scale = 1.6 / np.sqrt(inner * kernel * kernel)
        weight = self.const(self.rng.normal(0, scale, (cout, inner, kernel, kernel)), np.float32)
        bias = self.const(self.rng.normal(0, 0.2, cout), np.float32)
        y = self.node(
            "Conv", [x, weight, bias], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[kernel // 2] * 4, group=cin if depthwise else 1,
        )  # fmt: skip
        return self.node("Mul", [y, self.node("Sigmoid", [y])]) if silu else y

    def split(self, x: str, sizes: list[int], axis: int = 1) -> list[str]:
        return self.node("Split", [x, self.const(sizes)], len(sizes), axis=axis)

    def join(self, parts: list[str], axis: int = 1) -> str:
        return self.node("Concat", parts, axis=axis)

    def up(self, x: str, times: int = 2) -> str:
        scales = self.const([1, 1, times, times], np.float32)
        return self.node(
            "Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )  # fmt: skip

    def c3k2(self, x: str, cin: int, cout: int) -> str:
        """A split, a bottleneck with a residual, and all of it joined."""
        c = cout // 2
        parts = self.split(self.conv(x, cin, 2 * c), [c, c])
        inner = self.conv(self.conv(parts[1], c, max(8, c // 2), 3), max(8, c // 2), c, 3)
        return self.conv(self.join([*parts, self.node("Add", [parts[1], inner])]), 3 * c, cout)

    def c3k(self, x: str, cin: int, cout: int) -> str:
        """Two convolutions of the same input, one with bottlenecks behind it."""
        c = cout // 2
        a, b = self.conv(x, cin, c), self.conv(x, cin, c)
        a = self.node("Add", [a, self.conv(self.conv(a, c, c, 3), c, c, 3)])
        return self.conv(self.join([a, b]), 2 * c, cout)

    def sppf(self, x: str, channels: int) -> str:
        c = channels // 2
        parts = [self.conv(x, channels, c)]
        for _ in range(3):
            parts.append(self.node("MaxPool", [parts[-1]], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4))
        return self.conv(self.join(parts), 4 * c, channels)

    def attention(self, x: str, channels: int, pixels: int, side: int, areas: int) -> str:
        """Two heads of 8 key channels, as YOLO11 (one area) and YOLO12 (several) write them."""
        heads, key, value = 2, 8, channels // 2
        each = 2 * key + value
        qkv = self.conv(x, channels, heads * each, silu=False)
        if areas == 1:
            flat = self.node("Reshape", [qkv, self.const([-1, heads, each, pixels])])
        else:
            flat = self.node("Reshape", [qkv, self.const([-1, heads * each, pixels])])
            flat = self.node("Transpose", [flat], perm=[0, 2, 1])
            flat = self.node("Reshape", [flat, self.const([-1, pixels // areas, heads, each])])
            flat = self.node("Transpose", [flat], perm=[0, 2, 3, 1])
        q, k, v = self.split(flat, [key, key, value], 2)
        q = self.node(
            "Transpose", [self.node("Mul", [q, self.const(key**-0.5, np.float32)])], perm=[0, 1, 3, 2]
        )
        scores = self.node("Softmax", [self.node("MatMul", [q, k])], axis=-1)
        mixed = self.node("MatMul", [v, self.node("Transpose", [scores], perm=[0, 1, 3, 2])])

        def back(y: str) -> str:
            shape = [-1, channels, side, side]
            if areas == 1:
                return self.node("Reshape", [y, self.const(shape)])
            y = self.node("Transpose", [y], perm=[0, 3, 1, 2])
            y = self.node("Reshape", [y, self.const([-1, side, side, channels])])
            return self.node("Transpose", [y], perm=[0, 3, 1, 2])

        positional = self.conv(back(v), channels, channels, 3, silu=False, depthwise=True)
        total = self.node("Add", [back(mixed), positional])
        x = self.node("Add", [x, self.conv(total, channels, channels, silu=False)])
        inner = self.conv(self.conv(x, channels, 2 * channels), 2 * channels, channels, silu=False)
        return self.node("Add", [x, inner])


def yolo(shape: Shape = Shape(), seed: int = 0) -> onnx.ModelProto:
    """Return a YOLO-seg network in miniature: backbone, neck, three heads and prototypes."""
    b, w = Builder(seed), shape.width
    x = b.conv("images", 3, w, 3, 2)
    x = b.conv(x, w, 2 * w, 3, 2)
    p3 = b.c3k2(b.conv(x, 2 * w, 2 * w, 3, 2), 2 * w, 2 * w)
    p4 = b.c3k(b.conv(p3, 2 * w, 4 * w, 3, 2), 4 * w, 4 * w)
    p5 = b.sppf(b.conv(p4, 4 * w, 4 * w, 3, 2), 4 * w)
    side = shape.size // 32
    a, keep = b.split(b.conv(p5, 4 * w, 4 * w), [2 * w, 2 * w])
    a = b.attention(a, 2 * w, side * side, side, shape.areas)
    p5 = b.conv(b.join([a, keep]), 4 * w, 4 * w)
    n4 = b.c3k2(b.join([b.up(p5), p4]), 8 * w, 4 * w)
    n3 = b.c3k2(b.join([b.up(n4), p3]), 6 * w, 2 * w)
    n4 = b.c3k2(b.join([b.conv(n3, 2 * w, 2 * w, 3, 2), n4]), 6 * w, 4 * w)
    if shape.gains:
        gains = b.const(b.rng.normal(0, 1, (1, 4 * w, 1, 1)), np.float32)
        n4 = b.node("Add", [n4, b.node("Mul", [gains, b.conv(n4, 4 * w, 4 * w)])])
    n5 = b.c3k2(b.join([b.conv(n4, 4 * w, 4 * w, 3, 2), p5]), 8 * w, 4 * w)
    refined = b.node(
        "Add", [b.node("Add", [n3, b.up(b.conv(n4, 4 * w, 2 * w))]), b.up(b.conv(n5, 4 * w, 2 * w), 4)]
    )
    grown = b.node(
        "ConvTranspose",
        [b.conv(refined, 2 * w, w, 3), b.const(b.rng.normal(0, 0.3, (w, w, 2, 2)), np.float32),
         b.const(b.rng.normal(0, 0.3, w), np.float32)],
        kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4,
    )  # fmt: skip
    protos = b.conv(b.conv(grown, w, w, 3), w, shape.coeffs)
    b.nodes[-1].output[0] = "output1"
    assert protos
    _head(b, shape, [(n3, 2 * w, 8), (n4, 4 * w, 16), (n5, 4 * w, 32)])
    return _model(b, shape)


def _head(b: Builder, shape: Shape, levels: list[tuple[str, int, int]]) -> None:
    sides, scores, coeffs = [], [], []
    for x, cin, _ in levels:
        box = b.conv(b.conv(b.conv(x, cin, 16, 3), 16, 16, 3), 16, 4 * shape.bins, silu=False)
        inner = b.conv(b.conv(x, cin, cin, 3, depthwise=True), cin, 16)
        inner = b.conv(b.conv(inner, 16, 16, 3, depthwise=True), 16, 16)
        score = b.conv(inner, 16, shape.classes, silu=False)
        coeff = b.conv(b.conv(x, cin, 8, 3), 8, shape.coeffs, silu=False)
        for rows, y, n in (
            (sides, box, 4 * shape.bins),
            (scores, score, shape.classes),
            (coeffs, coeff, shape.coeffs),
        ):
            rows.append(b.node("Reshape", [y, b.const([0, n, -1])]))
    cells = [shape.size // stride for _, _, stride in levels]
    count = sum(c * c for c in cells)
    flat = b.join(sides, 2)
    if shape.bins > 1:
        d = b.node("Reshape", [flat, b.const([0, 4, shape.bins, count])])
        d = b.node("Softmax", [b.node("Transpose", [d], perm=[0, 2, 1, 3])], axis=1)
        kernel = b.const(np.arange(shape.bins).reshape(1, -1, 1, 1), np.float32)
        flat = b.node("Reshape", [b.node("Conv", [d, kernel]), b.const([0, 4, count])])
    left, right = b.split(flat, [2, 2])
    centres = [np.stack(np.meshgrid(np.arange(c) + 0.5, np.arange(c) + 0.5)).reshape(1, 2, -1) for c in cells]
    anchors = b.const(np.concatenate(centres, 2), np.float32)
    strides = b.const(np.repeat([s for _, _, s in levels], [c * c for c in cells])[None, None], np.float32)
    low, high = b.node("Sub", [anchors, left]), b.node("Add", [anchors, right])
    if shape.keep:
        boxes = b.join([low, high])
    else:
        centre = b.node("Div", [b.node("Add", [low, high]), b.const(2.0, np.float32)])
        boxes = b.join([centre, b.node("Sub", [high, low])])
    score = b.node("Sigmoid", [b.join(scores, 2)])
    rows = b.join([b.node("Mul", [boxes, strides]), score, b.join(coeffs, 2)])
    if shape.keep:
        _best(b, shape, rows)
    b.nodes[-1].output[0] = "output0"


def _best(b: Builder, shape: Shape, rows: str) -> None:
    """The end of an end-to-end head: the best rows, then the best pairs of row and class."""
    nc, keep = shape.classes, b.const([shape.keep])
    boxes, scores, coeffs = b.split(b.node("Transpose", [rows], perm=[0, 2, 1]), [4, nc, shape.coeffs], 2)
    best = b.node("ReduceMax", [scores, b.const([-1])], keepdims=0)
    _, first = b.node("TopK", [best, keep], 2, axis=1)
    wide = b.node("Expand", [b.node("Unsqueeze", [first, b.const([2])]), b.const([1, 1, nc])])
    pairs = b.node("Flatten", [b.node("GatherElements", [scores, wide], axis=1)], axis=1)
    value, index = b.node("TopK", [pairs, keep], 2, axis=1)
    number = b.const(nc)
    label, place = b.node("Mod", [index, number]), b.node("Div", [index, number])
    row = b.node("Unsqueeze", [b.node("GatherElements", [first, place], axis=1), b.const([2])])
    picked = [
        b.node("GatherElements", [part, b.node("Expand", [row, b.const([1, 1, n])])], axis=1)
        for part, n in ((boxes, 4), (coeffs, shape.coeffs))
    ]
    last = b.const([2])
    label = b.node("Cast", [b.node("Unsqueeze", [label, last])], to=TensorProto.FLOAT)
    b.join([picked[0], b.node("Unsqueeze", [value, last]), label, picked[1]], 2)


def _model(b: Builder, shape: Shape) -> onnx.ModelProto:
    f32, size = TensorProto.FLOAT, shape.size
    count = sum((size // s) ** 2 for s in (8, 16, 32))
    columns = [shape.keep, 6 + shape.coeffs] if shape.keep else [4 + shape.classes + shape.coeffs, count]
    graph = helper.make_graph(
        b.nodes,
        "miniature",
        [helper.make_tensor_value_info("images", f32, ["batch", 3, size, size])],
        [
            helper.make_tensor_value_info("output0", f32, ["batch", *columns]),
            helper.make_tensor_value_info("output1", f32, ["batch", shape.coeffs, size // 4, size // 4]),
        ],
        b.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model.metadata_props.add(key="names", value=repr({i: f"c{i}" for i in range(shape.classes)}))
    onnx.checker.check_model(model)
    return model
