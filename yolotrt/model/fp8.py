"""FP8: an INT8 network's Q/DQ nodes, rewritten for E4M3 floating point.

The pairs stay where INT8 has them. A scale maps the largest magnitude to 448, E4M3's largest number,
instead of 127. Weights are quantised anew from the originals: they would otherwise be rounded twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.errors import ModelError

if TYPE_CHECKING:
    import onnx

RATIO = 127 / 448
"""From a scale of symmetric INT8 to one of E4M3 for the same range."""

FIRST_OPSET = 19
"""First opset whose QuantizeLinear knows E4M3."""


def to_fp8(quantized: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Return an INT8 network with E4M3 in place of INT8; everything else stays as it is.

    Args:
        quantized: The network with symmetric INT8 Q/DQ nodes; not changed.
        original: The same network in FP32, whose convolutions have the same names.

    Raises:
        ModelError: The network is not symmetric INT8, or its opset is too old.
        ValueError: Its channels are told apart behind its convolutions, which INT8 alone needs.
    """
    if max(o.version for o in quantized.opset_import if o.domain in ("", "ai.onnx")) < FIRST_OPSET:
        raise ModelError(f"FP8 needs a network of opset {FIRST_OPSET} or newer.", hint="Export it again.")
    result = type(quantized)()
    result.CopyFrom(quantized)
    pairs = [n for n in result.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    _restore_weights(result, pairs, original)
    _rewrite_parameters(result, pairs)
    return result


def _rewrite_parameters(model: onnx.ModelProto, pairs: list[onnx.NodeProto]) -> None:
    """Change scales and zero points, each once although a pair shares them."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {t.name: t for t in model.graph.initializer}
    for name in dict.fromkeys(node.input[1] for node in pairs):
        scale = numpy_helper.to_array(constants[name])
        constants[name].CopyFrom(numpy_helper.from_array((scale * RATIO).astype(scale.dtype), name))
    for name in dict.fromkeys(node.input[2] for node in pairs):
        zeros = constants[name]
        if zeros.data_type != TensorProto.INT8 or numpy_helper.to_array(zeros).any():
            raise ModelError(
                f"{name} is not symmetric INT8, so it has no FP8 counterpart.",
                hint="FP8 is TensorRT's: use --backend tensorrt or tensorrt-rtx.",
            )
        count = numpy_helper.to_array(zeros).size
        zeros.CopyFrom(helper.make_tensor(name, TensorProto.FLOAT8E4M3FN, list(zeros.dims), [0.0] * count))


def _restore_weights(model: onnx.ModelProto, pairs: list[onnx.NodeProto], original: onnx.ModelProto) -> None:
    """Replace weights that were stored as INT8 by the original ones and a node that quantises them."""
    from onnx import helper, numpy_helper

    stored = {t.name: t for t in model.graph.initializer}
    weights = {t.name: t for t in original.graph.initializer}
    convolutions = [n for n in original.graph.node if n.op_type in ("Conv", "ConvTranspose")]
    kernels = {n.name: n.input[1] for n in convolutions}
    written = {n.name: list(n.output) for n in convolutions}
    readers = {name: node for node in model.graph.node for name in node.input}
    nodes = []
    for node in pairs:
        if node.op_type != "DequantizeLinear" or node.input[0] not in stored:
            continue
        reader, integers = readers[node.output[0]], node.input[0]
        if kernels.get(reader.name) not in weights:
            raise ModelError(
                f"The weights of {reader.name} are not in the original network.",
                hint="Both networks must come from one ONNX file.",
            )
        if list(reader.output) != written[reader.name]:
            raise ValueError(f"the channels of {reader.name} are scaled behind it")
        name = f"{integers}.original"
        kernel = numpy_helper.to_array(weights[kernels[reader.name]])
        stored[integers].CopyFrom(numpy_helper.from_array(kernel, name))
        quantize = helper.make_node(
            "QuantizeLinear", [name, *node.input[1:]], [integers], name=f"{integers}.quantize"
        )
        quantize.attribute.extend(node.attribute)
        nodes.append(quantize)
    rest = [type(n).FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    pairs[:] = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
