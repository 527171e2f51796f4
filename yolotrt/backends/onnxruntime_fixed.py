"""A network for one batch size, with the types that a GPU pipeline writes and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yolotrt.cuda.tensor import TensorType
from yolotrt.model.spec import ModelSpec

if TYPE_CHECKING:
    import onnx


def fixed_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return the network for batches of exactly ``batch`` images, without casts at its borders.

    With all shapes known, ONNX Runtime folds every shape computation and the whole graph runs on the GPU,
    which capturing it in a CUDA graph asks for. Where the first thing that the network does to its input
    is a cast to FP16, or the last thing to an output a cast from FP16, the cast goes and the tensor
    becomes FP16: the GPU pipeline writes and reads FP16 just as well, and the values are the same.

    Args:
        model: The network; not changed.
        batch: Number of images.
    """
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model).graph.value_info
    half = {v.name for v in inferred if v.type.tensor_type.elem_type == _fp16()}
    fixed = type(model)()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # shapes of the dynamic batch
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    for value in fixed.graph.input:
        _drop_input_cast(fixed.graph, value)
    for value in fixed.graph.output:
        _drop_output_cast(fixed.graph, value, half)
    return fixed


def tensor_types(model: onnx.ModelProto, spec: ModelSpec) -> dict[str, TensorType]:
    """Return type and shape of input, head and prototypes of a network with a fixed batch."""
    values = {v.name: v.type.tensor_type for v in (*model.graph.input, *model.graph.output)}
    half = {name: v.elem_type == _fp16() for name, v in values.items()}
    return {
        name: TensorType(
            np.dtype(np.float16 if half[name] else np.float32),
            tuple(d.dim_value for d in values[name].shape.dim),
        )
        for name in (spec.input_name, spec.head_output, spec.proto_output)
    }


def _drop_input_cast(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
    users = [n for n in graph.node if value.name in n.input]
    if not users or not all(_is_cast(n, _fp16()) for n in users):
        return
    for cast in users:
        _rename_input(graph, cast.output[0], value.name)
        graph.node.remove(cast)
    value.type.tensor_type.elem_type = _fp16()


def _drop_output_cast(graph: onnx.GraphProto, value: onnx.ValueInfoProto, half: set[str]) -> None:
    from onnx import TensorProto

    cast = next((n for n in graph.node if value.name in n.output), None)
    if cast is None or not _is_cast(cast, TensorProto.FLOAT) or cast.input[0] not in half:
        return
    source = cast.input[0]
    maker = next((n for n in graph.node if source in n.output), None)
    if maker is None or any(value.name in n.input for n in graph.node):  # others want it in FP32
        return
    graph.node.remove(cast)
    _rename_input(graph, source, value.name)
    maker.output[list(maker.output).index(source)] = value.name
    value.type.tensor_type.elem_type = _fp16()


def _rename_input(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new


def _is_cast(node: onnx.NodeProto, to: int) -> bool:
    return bool(node.op_type == "Cast" and any(a.name == "to" and a.i == to for a in node.attribute))


def _fp16() -> int:
    from onnx import TensorProto

    return int(TensorProto.FLOAT16)
