"""NaN and infinity in a network: which weights hold them, and which layer makes them first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolotrt.errors import ModelError

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization")
"""Operators whose constants are weights. Elsewhere an infinity may be meant, as in a mask or a limit."""


def require_finite_weights(model: onnx.ModelProto, name: str) -> None:
    """Refuse a network that can only compute NaN.

    Args:
        model: The network.
        name: What to call it in the message.

    Raises:
        ModelError: Weights hold NaN or infinity; the layer is named.
    """
    from onnx import TensorProto, numpy_helper

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type in floats}
    for node in model.graph.node:
        for source in node.input if node.op_type in WEIGHTED else ():
            if source in weights and not np.isfinite(numpy_helper.to_array(weights[source])).all():
                raise ModelError(
                    f"The weights of {name} are broken: {source!r} of {_layer(node)} holds NaN or infinity.",
                    hint="Training diverged, or the file is damaged; export an earlier checkpoint.",
                )


def first_not_finite(model: onnx.ModelProto, inputs: dict[str, npt.NDArray[Any]]) -> str | None:
    """Return the layer whose output is the first to hold NaN or infinity, in words, or None.

    Runs the network on the CPU with one more output per float tensor: the sum of its values times zero,
    which is NaN if one of them is not finite, and else zero.

    Args:
        model: A network that ONNX Runtime can run; it is not changed.
        inputs: Arrays by input name.
    """
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, shape_inference

    typed = shape_inference.infer_shapes(model).graph
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    known = {
        value.name
        for value in (*typed.value_info, *typed.output)
        if value.type.tensor_type.elem_type in floats
    }
    watched = [(node, name) for node in model.graph.node for name in node.output if name in known]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.initializer.append(helper.make_tensor("probe.zero", TensorProto.FLOAT, [], [0.0]))
    for index, (_, name) in enumerate(watched):
        cast, product, total = (f"probe{index}.{part}" for part in ("cast", "product", "sum"))
        probed.graph.node.extend(
            (
                helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT),
                helper.make_node("Mul", [cast, "probe.zero"], [product]),
                helper.make_node("ReduceSum", [product], [total], keepdims=0),
            )
        )
        probed.graph.output.append(helper.make_tensor_value_info(total, TensorProto.FLOAT, []))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(probed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sums = session.run([f"probe{index}.sum" for index in range(len(watched))], inputs)
    for (node, _), total in zip(watched, sums, strict=True):
        if np.isnan(total):
            return _layer(node)
    return None


def _layer(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"
