"""What other exporters make of a network: the same values in another shape."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if output in n.output)


def _apart(model: onnx.ModelProto, name: str) -> str:
    maker = _node(model, name)
    inner = f"{name}.{len(model.graph.node)}"
    maker.output[list(maker.output).index(name)] = inner
    return inner


def taking(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """Let it take its images as another type."""
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "images":
                node.input[i] = "images.fp32"
    cast = helper.make_node("Cast", ["images"], ["images.fp32"], name="widen", to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    model.graph.input[0].type.tensor_type.elem_type = kind
    return model


def giving(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """Let it give its outputs as another type."""
    for output in model.graph.output:
        inner = _apart(model, output.name)
        model.graph.node.append(
            helper.make_node("Cast", [inner], [output.name], name=f"narrow {output.name}", to=kind)
        )
        output.type.tensor_type.elem_type = kind
    return model


def transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let it give the head as (anchors, 4 + classes + coefficients)."""
    inner = _apart(model, "output0")
    model.graph.node.append(helper.make_node("Transpose", [inner], ["output0"], name="turn", perm=[0, 2, 1]))
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = dims[2].dim_value, dims[1].dim_value
    return model


def reordered(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """Write the nodes in another order."""
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model


def backwards(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write the nodes in the opposite of the order that they are computed in."""
    return reordered(model, list(model.graph.node)[::-1])


def named_all(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Give all nodes one name, or none."""
    for node in model.graph.node:
        node.name = name
    return model


def with_maps(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let it give feature maps too, one of them of the size of the prototypes."""
    for name, dims in (("down4.silu", [16, 4, 4]), ("res.add", [8, 16, 16])):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *dims]))
    return model


def prototypes_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Swap the outputs."""
    outputs = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in model.graph.output][::-1]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model


def open_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the outputs' sizes open."""
    for output in model.graph.output:
        for axis in (2, *range(3, len(output.type.tensor_type.shape.dim))):
            output.type.tensor_type.shape.dim[axis].dim_param = f"{output.name}_{axis}"
    return model


def suppressing(model: onnx.ModelProto, threshold: float, *, apart: bool = False) -> onnx.ModelProto:
    """Let its output depend on a suppression with this threshold, in the node or ``apart`` before it."""
    graph = model.graph
    constants = {
        "corners": np.tile(np.float32([0, 0, 8, 8]), (1, 84, 1)),
        "most": np.int64([9]),
        "iou": np.float32([0.7]),
        "least": np.float32([threshold]),
        "nothing": np.float32(0),
    }
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    inner, node = _apart(model, "output0"), helper.make_node
    scores = "cls.sig"
    if apart:
        graph.node.append(node("Greater", [scores, "least"], ["passes"], name="passes"))
        graph.node.append(node("Where", ["passes", scores, "nothing"], ["passing"], name="passing"))
        scores = "passing"
    given = ["corners", scores, "most", "iou", *([] if apart else ["least"])]
    graph.node.extend(
        [
            node("NonMaxSuppression", given, ["chosen"], name="nms"),
            node("Cast", ["chosen"], ["chosen.fp32"], name="chosen.fp32", to=TensorProto.FLOAT),
            node("ReduceSum", ["chosen.fp32"], ["total"], name="total", keepdims=0),
            node("Mul", ["total", "nothing"], ["none"], name="none"),
            node("Add", [inner, "none"], ["output0"], name="output0"),
        ]
    )
    return model


def looping(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let its head pass through a loop that never ends."""
    inner, info = _apart(model, "output0"), helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("value", "same"))],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("value", 1, None)],
        [info("on", TensorProto.BOOL, []), info("same", 1, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.int64(2**62), "trips"))
    model.graph.initializer.append(numpy_helper.from_array(np.bool_(True), "yes"))
    model.graph.node.append(
        helper.make_node("Loop", ["trips", "yes", inner], ["output0"], name="endless", body=body)
    )
    return model
