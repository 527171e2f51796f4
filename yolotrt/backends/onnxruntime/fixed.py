"""A network for one batch size, with the types that a GPU pipeline writes and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolotrt.cuda.tensor import TensorType
from yolotrt.model.spec import ModelSpec

if TYPE_CHECKING:
    import onnx


def fixed_batch(model: onnx.ModelProto, batch: int, *, channels_last: bool = False) -> onnx.ModelProto:
    """Return the network for batches of exactly ``batch`` images, without casts at its borders.

    With all shapes known, ONNX Runtime folds every shape computation and the whole graph runs on the GPU,
    which capturing it in a CUDA graph asks for. Where the first thing that the network does to its input
    is a cast to FP16, or the last thing to an output a cast from FP16, the cast goes and the tensor
    becomes FP16: the GPU pipeline writes and reads FP16 just as well, and the values are the same.

    Two operators are rewritten for the CUDA provider, to the same values. A transposed convolution whose
    windows do not overlap becomes a convolution of single pixels, which runs on tensor cores; the bias of any
    other is added apart, as the provider cannot fuse it and fails where all biases are to be fused. With the
    channels last, pictures are enlarged by copies: the provider's Resize wants the channels first, so that
    each would cost two transpositions.

    Args:
        model: The network; not changed.
        batch: Number of images.
        channels_last: The provider will run the network with the channels last.
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
    for node in [n for n in fixed.graph.node if n.op_type == "ConvTranspose"]:
        if not (channels_last and _convolve_and_spread(fixed.graph, node)):
            _add_bias_apart(fixed.graph, node)
    if channels_last:
        shapes = _shapes(shape_inference.infer_shapes(fixed).graph)
        for node in [n for n in fixed.graph.node if n.op_type == "Resize"]:
            _repeat_channels_last(fixed.graph, node, shapes.get(node.input[0], ()))
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


def _convolve_and_spread(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Write a transposed convolution whose stride is its size n as one of single pixels.

    Each pixel becomes n x n pixels that no other pixel touches: n x n times as many channels of a 1 x 1
    convolution, which DepthToSpace puts where they belong.

    Returns:
        Whether it is of this kind; if not, the graph is as it was.
    """
    from onnx import helper, numpy_helper

    given = [value for name in node.input[1:] if (value := _constant(graph, name)) is not None]
    how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if not given or len(given) < len(node.input) - 1:
        return False
    weights, *biases = given
    size = weights.shape[2]
    plain = {"strides": [size, size], "kernel_shape": [size, size], "dilations": [1, 1], "pads": [0] * 4,
             "output_padding": [0, 0], "group": 1, "auto_pad": b"NOTSET"}  # fmt: skip
    if weights.shape[2:] != (size, size) or how.get("strides") != plain["strides"]:
        return False
    if any(name not in plain or value != plain[name] for name, value in how.items()):
        return False
    out, place = node.output[0], list(graph.node).index(node)
    values = [weights.transpose(2, 3, 1, 0).reshape(-1, weights.shape[0], 1, 1)]
    values += [np.tile(bias, size * size) for bias in biases]
    names = [f"{out}.spread{i}" for i in range(len(values))]
    for name, value in zip(names, values, strict=True):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    conv = helper.make_node("Conv", [node.input[0], *names], [f"{out}.deep"], name=f"{out}.conv")
    spread = helper.make_node(
        "DepthToSpace", [f"{out}.deep"], [out], name=f"{out}.spread", blocksize=size, mode="DCR"
    )
    graph.node.remove(node)
    for step in (spread, conv):
        graph.node.insert(place, step)
    return True


def _add_bias_apart(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Take the bias of a transposed convolution, if it has one, out of it."""
    from onnx import helper, numpy_helper

    bias = _constant(graph, node.input[2]) if len(node.input) > 2 else None
    if bias is None:
        return
    out = node.output[0]
    graph.initializer.append(numpy_helper.from_array(bias.reshape(1, -1, 1, 1), f"{out}.bias"))
    del node.input[2]
    node.output[0] = f"{out}.unbiased"
    add = helper.make_node("Add", [f"{out}.unbiased", f"{out}.bias"], [out], name=f"{out}.add")
    graph.node.insert(list(graph.node).index(node) + 1, add)


def _repeat_channels_last(graph: onnx.GraphProto, node: onnx.NodeProto, shape: tuple[int, ...]) -> None:
    """Write a Resize that repeats every pixel n x n times as copies with the channels last.

    (batch, h, w, c) is read as (batch, h, 1, w, 1, c), expanded to (batch, h, n, w, n, c), and read as
    (batch, n h, n w, c). Anything else that a Resize can do is left to it.

    Args:
        graph: Where the node is.
        node: The Resize.
        shape: Of its input, (batch, c, h, w).
    """
    from onnx import helper, numpy_helper

    times = _repetition(graph, node)
    if times is None or len(shape) != 4 or 0 in shape:
        return
    batch, channels, height, width = shape
    out, steps = node.output[0], []
    sizes = {
        "apart": (batch, height, 1, width, 1, channels),
        "times": (batch, height, times, width, times, channels),
        "whole": (batch, height * times, width * times, channels),
    }
    for name, size in sizes.items():
        graph.initializer.append(numpy_helper.from_array(np.array(size, np.int64), f"{out}.{name}"))
    source = node.input[0]
    for kind, target, given in (
        ("Transpose", f"{out}.last", {"perm": [0, 2, 3, 1]}),
        ("Reshape", f"{out}.spread", "apart"),
        ("Expand", f"{out}.copied", "times"),
        ("Reshape", f"{out}.joined", "whole"),
        ("Transpose", out, {"perm": [0, 3, 1, 2]}),
    ):
        inputs, attributes = (
            ([source], given) if isinstance(given, dict) else ([source, f"{out}.{given}"], {})
        )
        steps.append(helper.make_node(kind, inputs, [target], name=f"{target}.{kind.lower()}", **attributes))
        source = target
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for step in reversed(steps):
        graph.node.insert(place, step)


def _repetition(graph: onnx.GraphProto, node: onnx.NodeProto) -> int | None:
    """Return how often a Resize repeats every pixel in both directions, or None if it does anything else."""
    how = {a.name: a.s.decode() for a in node.attribute if a.s}
    plain = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if any(how.get(key) != value for key, value in plain.items()) or len(node.input) != 3:
        return None
    found = _constant(graph, node.input[2])
    scales = found.tolist() if found is not None else []
    if len(scales) != 4 or scales[:2] != [1, 1] or scales[2] != scales[3] or scales[2] % 1:
        return None
    return int(scales[2])


def _constant(graph: onnx.GraphProto, name: str) -> npt.NDArray[Any] | None:
    """Return the values of an initializer, or None if the tensor is computed."""
    from onnx import numpy_helper

    found = next((i for i in graph.initializer if i.name == name), None)
    return None if found is None else numpy_helper.to_array(found)


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that are known, by tensor; 0 for a side that is not."""
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
    }
