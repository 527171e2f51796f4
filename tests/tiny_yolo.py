"""A real but tiny YOLO-seg network, so that tests of everything around a network take milliseconds.

It has the parts that matter: SiLU convolutions, a residual Add, a Concat, strides 8, 16 and 32, a raw
head of (B, 4 + classes + coefficients, anchors) and prototypes at a quarter of the input size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 2
COEFFS = 4


class _Graph:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x: str, name: str, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> str:
        scale = 1.5 / np.sqrt(cin * kernel * kernel)
        weight = self.rng.normal(0, scale, (cout, cin, kernel, kernel)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, cout).astype(np.float32)
        pad = kernel // 2
        return self.node(
            "Conv",
            [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)],
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def conv_silu(self, x: str, name: str, cin: int, cout: int, stride: int = 1) -> str:
        y = self.conv(x, f"{name}.conv", cin, cout, stride=stride)
        gate = self.node("Sigmoid", [y], f"{name}.sigmoid")
        return self.node("Mul", [y, gate], f"{name}.silu")


def tiny_yolo(
    size: int = 64,
    *,
    width: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    names: bool = True,
    p6: bool = False,
) -> onnx.ModelProto:
    """Return the network for inputs of ``size`` px, square unless a ``width`` is given.

    ``batch`` None is dynamic; ``p6`` adds a level.
    """
    width = width or size
    g = _Graph(seed)
    p1 = g.conv_silu("images", "stem", 3, 8, stride=2)
    p2 = g.conv_silu(p1, "down2", 8, 8, stride=2)
    res = g.node("Add", [p2, g.conv_silu(p2, "res", 8, 8)], "res.add")
    p3 = g.conv_silu(res, "down3", 8, 16, stride=2)
    p4 = g.conv_silu(p3, "down4", 16, 16, stride=2)
    p5 = g.conv_silu(p4, "down5", 16, 16, stride=2)
    up = g.node("MaxPool", [p3], "pool", kernel_shape=[1, 1])
    joined = g.node("Concat", [p3, up], "join", axis=1)
    channels = 4 + CLASSES + COEFFS
    shape = g.constant("flat", np.array([0, channels, -1], np.int64))
    flat = []
    levels = [(joined, 32), (p4, 16), (p5, 16)]
    if p6:
        levels.append((g.conv_silu(p5, "down6", 16, 16, stride=2), 16))
    for x, cin in levels:
        head = g.conv(x, f"{x}.head", cin, channels, kernel=1)
        flat.append(g.node("Reshape", [head, shape], f"{x}.flat"))
    rows = g.node("Concat", flat, "rows", axis=2)
    split = g.constant("parts", np.array([4, CLASSES, COEFFS], np.int64))
    g.nodes.append(helper.make_node("Split", [rows, split], ["box", "cls", "coef"], name="split", axis=1))
    boxes = g.node(
        "Mul", [g.node("Sigmoid", ["box"], "box.sig"), g.constant("size", np.float32(size))], "box.px"
    )
    scores = g.node("Sigmoid", ["cls"], "cls.sig")
    g.node("Concat", [boxes, scores, "coef"], "output0", axis=1)
    g.conv(res, "output1", 8, COEFFS)
    anchors = sum((size // s) * (width // s) for s in (8, 16, 32, 64)[: len(levels)])
    n = batch or "batch"
    f32 = TensorProto.FLOAT
    graph = helper.make_graph(
        g.nodes,
        "tiny",
        [helper.make_tensor_value_info("images", f32, [n, 3, size, width])],
        [
            helper.make_tensor_value_info("output0", f32, [n, channels, anchors]),
            helper.make_tensor_value_info("output1", f32, [n, COEFFS, size // 4, width // 4]),
        ],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model.metadata_props.add(key="stride", value="64" if p6 else "32")
    if names:
        model.metadata_props.add(key="names", value=repr({0: "cat", 1: "dog"}))
    onnx.checker.check_model(model)
    return model


def write_tiny_yolo(path: Path, size: int = 64, **options: object) -> Path:
    path.write_bytes(tiny_yolo(size, **options).SerializeToString())  # type: ignore[arg-type]
    return path
