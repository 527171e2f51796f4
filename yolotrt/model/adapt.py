"""Foreign networks brought into the shape that everything here expects, to the same values.

Exports differ in what their meaning does not depend on: the type of input and outputs, whether the raw head
is transposed, further outputs. Bringing them into one shape here, once, spares every reader the cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.errors import ModelError
from yolotrt.model.interface import Port, interface_of, reads, subgraphs
from yolotrt.model.order import name_nodes, sort_nodes
from yolotrt.model.reading import image_input, outputs_of

if TYPE_CHECKING:
    import onnx


def adapted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network, changed in place, with an FP32 image input, and a raw head as columns, if it has one.

    A network that is none of ours is only sorted: what reads its interface says what it is.
    """
    sort_nodes(model)
    try:
        image = image_input(interface_of(model), "the network")
        _infer_sizes(model)
        head, protos, found = outputs_of(interface_of(model), "the network")
    except ModelError:
        name_nodes(model)
        return model
    if len(model.graph.output) > 2:
        _keep_outputs(model, (head.name, protos.name))
    if found.form == "transposed":
        _transpose(model.graph, head)
    for port in (head, protos):
        if port.kind != "float":
            _give_fp32(model.graph, port)
    if image.kind != "float":
        _take_fp32(model.graph, image)
    name_nodes(model)
    return model


def _infer_sizes(model: onnx.ModelProto) -> None:
    """Fill in sizes of outputs that the exporter left open though they follow from the input's."""
    from onnx import shape_inference

    if all(isinstance(size, int) for o in interface_of(model).outputs for size in o.dims[1:]):
        return
    for value, found in zip(
        model.graph.output, shape_inference.infer_shapes(model).graph.output, strict=True
    ):
        value.CopyFrom(found)


def _keep_outputs(model: onnx.ModelProto, names: tuple[str, ...]) -> None:
    """Drop the other outputs, and the nodes that only they need."""
    graph = model.graph
    kept = [o for o in graph.output if o.name in names]
    needed = set(names)
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(reads(node))
    nodes = [type(n).FromString(n.SerializeToString()) for n in reversed(nodes)]
    kept = [type(o).FromString(o.SerializeToString()) for o in kept]
    del graph.output[:], graph.node[:]
    graph.output.extend(kept)
    graph.node.extend(nodes)


def _transpose(graph: onnx.GraphProto, head: Port) -> None:
    from onnx import helper

    source = _apart(graph, head.name, "rows")
    graph.node.append(
        helper.make_node("Transpose", [source], [head.name], name=f"{head.name}.transpose", perm=[0, 2, 1])
    )
    dims = next(o for o in graph.output if o.name == head.name).type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = dims[2].dim_value, dims[1].dim_value


def _give_fp32(graph: onnx.GraphProto, port: Port) -> None:
    from onnx import TensorProto, helper

    source = _apart(graph, port.name, port.kind)
    graph.node.append(
        helper.make_node("Cast", [source], [port.name], name=f"{port.name}.cast", to=TensorProto.FLOAT)
    )
    next(o for o in graph.output if o.name == port.name).type.tensor_type.elem_type = TensorProto.FLOAT


def _take_fp32(graph: onnx.GraphProto, port: Port) -> None:
    from onnx import TensorProto, helper

    value = next(i for i in graph.input if i.name == port.name)
    kind = value.type.tensor_type.elem_type
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    target = _free(graph, f"{port.name}.{port.kind}")
    _rename(graph, port.name, target, outputs=False)
    graph.node.insert(0, helper.make_node("Cast", [port.name], [target], name=f"{port.name}.cast", to=kind))


def _apart(graph: onnx.GraphProto, output: str, suffix: str) -> str:
    """Rename what makes an output, so that a node can be put between; return the new name."""
    inner = _free(graph, f"{output}.{suffix}")
    _rename(graph, output, inner, outputs=True)
    return inner


def _free(graph: onnx.GraphProto, name: str) -> str:
    """Return a name that no tensor of the main graph has, this one if it can be."""
    taken = {tensor for node in graph.node for tensor in (*node.input, *node.output)}
    while name in taken:
        name += "_"
    return name


def _rename(graph: onnx.GraphProto, old: str, new: str, *, outputs: bool) -> None:
    """Rename a tensor wherever nodes read it, and with ``outputs`` where they make it."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
        for i, name in enumerate(node.output):
            if outputs and name == old:
                node.output[i] = new
        for inner in subgraphs(node):
            _rename(inner, old, new, outputs=False)
    for value in graph.value_info:
        if value.name == old:
            value.name = new
