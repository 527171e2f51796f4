"""The least that makes a convolution INT8: a pair on its input, integers for its weights."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter


def quantize_by_hand(model: onnx.ModelProto, convs: Collection[str], amax: float = 4.0) -> onnx.ModelProto:
    """Return the network at opset 19 with symmetric INT8 Q/DQ around some convolutions."""
    result = version_converter.convert_version(model, 19)
    graph = result.graph
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name in convs:
            x, w = node.input[0], weights[node.input[1]]
            scales = np.abs(w).reshape(len(w), -1).max(axis=1).astype(np.float32) / 127
            integers = np.rint(w / scales[:, None, None, None]).astype(np.int8)
            for name, value in (
                (f"{node.name}.x.scale", np.float32(amax / 127)),
                (f"{node.name}.x.zero", np.int8(0)),
                (f"{node.name}.w.int8", integers),
                (f"{node.name}.w.scale", scales),
                (f"{node.name}.w.zero", np.zeros(len(w), np.int8)),
            ):
                graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
            pair, stored = [f"{node.name}.x.scale", f"{node.name}.x.zero"], f"{node.name}.w"
            nodes += [
                helper.make_node("QuantizeLinear", [x, *pair], [f"{node.name}.x.q"], name=f"{node.name}.q"),
                helper.make_node(
                    "DequantizeLinear",
                    [f"{node.name}.x.q", *pair],
                    [f"{node.name}.x"],
                    name=f"{node.name}.dq",
                ),
                helper.make_node(
                    "DequantizeLinear",
                    [f"{stored}.int8", f"{stored}.scale", f"{stored}.zero"],
                    [stored],
                    name=f"{stored}.dq",
                    axis=0,
                ),
            ]
            node.input[0], node.input[1] = f"{node.name}.x", stored
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return result
