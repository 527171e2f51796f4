"""Small networks with one property each, for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """Builds a network node by node; every tensor is named after its node."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self,
        x: str,
        name: str,
        cin: int,
        cout: int,
        kernel: int = 1,
        group: int = 1,
        weights: np.ndarray | None = None,
    ) -> str:
        if weights is None:
            weights = self.rng.normal(0, 0.5, (cout, cin // group, kernel, kernel)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, cout).astype(np.float32)
        names = [x, self.constant(f"{name}.w", weights), self.constant(f"{name}.b", bias)]
        return self.node("Conv", names, name, pads=[kernel // 2] * 4, group=group)

    def silu(self, x: str, name: str) -> str:
        return self.node("Mul", [x, self.node("Sigmoid", [x], f"{name}.gate")], name)

    def conv_silu(self, x: str, name: str, cin: int, cout: int, kernel: int = 1, group: int = 1) -> str:
        return self.silu(self.conv(x, f"{name}.conv", cin, cout, kernel, group), name)

    def model(
        self, outputs: Sequence[str], *, channels: int = 3, size: int = 16, opset: int = 18
    ) -> onnx.ModelProto:
        f32 = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", f32, ["n", channels, size, size])],
            [helper.make_tensor_value_info(o, f32, None) for o in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model)
        for output, found in zip(model.graph.output, inferred.graph.output, strict=True):
            output.CopyFrom(found)
        onnx.checker.check_model(model)
        return model


def c3k2(seed: int = 0) -> onnx.ModelProto:
    """A block as in YOLO11 (split, residual bottleneck, concat), then depthwise, head and prototypes."""
    net = Net(seed)
    stem = net.conv_silu("x", "stem", 3, 8, 3)
    sizes = net.constant("sizes", np.array([4, 4], np.int64))
    net.nodes.append(helper.make_node("Split", [stem, sizes], ["left", "right"], name="split", axis=1))
    inner = net.conv_silu(net.conv_silu("right", "b1", 4, 4, 3), "b2", 4, 4, 3)
    added = net.node("Add", ["right", inner], "add")
    joined = net.node("Concat", ["left", "right", added], "join", axis=1)
    out = net.conv_silu(joined, "out", 12, 8)
    pooled = net.node("MaxPool", [out], "pool", kernel_shape=[3, 3], pads=[1] * 4)
    both = net.conv_silu(net.node("Concat", [out, pooled], "sppf", axis=1), "mix", 16, 8)
    deep = net.conv_silu(both, "deep", 8, 8, 3, group=8)
    point = net.conv_silu(deep, "point", 8, 8)
    head = net.conv(point, "head", 8, 6)
    scores = net.node("Sigmoid", [head], "scores")
    proto = net.conv(net.conv_silu(both, "p1", 8, 8), "proto", 8, 4)
    return net.model([scores, proto])


def run(model: onnx.ModelProto, x: np.ndarray, *, optimised: bool = False) -> list[np.ndarray]:
    """Run a model; without graph optimisation unless asked, so that Q/DQ act as they are written."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


def images(n: int = 4, seed: int = 0, size: int = 16) -> np.ndarray:
    """Return n random network inputs in [0, 1]."""
    return np.random.default_rng(seed).random((n, 3, size, size), dtype=np.float32)
