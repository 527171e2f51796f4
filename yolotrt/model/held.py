"""The precision that an ONNX file holds already, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.errors import ModelError
from yolotrt.model.interface import all_nodes
from yolotrt.model.spec import Precision

if TYPE_CHECKING:
    import onnx

QUANTISED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
)
"""ONNX's operators of quantised networks; those of ONNX Runtime and TensorRT are told by their names."""

MARKS = (b"QuantizeLinear", b"DequantizeLinear", b"QLinear", b"ConvInteger", b"MatMulInteger", b"QGemm")
"""Parts of those names: a file without any of them is not quantised."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def held_precision(model: onnx.ModelProto) -> Precision:
    """Return the precision that a network computes its layers in, the narrowest if it is mixed."""
    from onnx import TensorProto

    if any(map(_quantised, all_nodes(model))):
        eights = (TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2)
        return "fp8" if any(t.data_type in eights for t in model.graph.initializer) else "int8"
    halves = {
        t.name for t in model.graph.initializer if t.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    }
    for node in model.graph.node:
        if node.op_type == "Constant" and any(a.t.data_type == TensorProto.FLOAT16 for a in node.attribute):
            halves.update(node.output)
    weighted = (node for node in model.graph.node if node.op_type in WEIGHTED)
    return "fp16" if any(name in halves for node in weighted for name in node.input) else "fp32"


def require_fp32(model: onnx.ModelProto, name: str) -> None:
    """Refuse to calibrate a network whose numbers are no longer those of FP32.

    Raises:
        ModelError: It is quantised or in half precision.
    """
    held = held_precision(model)
    if held in ("int8", "fp8"):
        raise ModelError(
            f"{name} is already quantised ({held.upper()}, by Q/DQ or integer operators): there is nothing "
            "to calibrate.",
            hint=f"Build it as it is (yolotrt build {name} --{held}), or calibrate the FP32 network that it "
            "was made from.",
        )
    if held == "fp16":
        raise ModelError(
            f"{name} holds FP16 weights; calibration needs the FP32 network.",
            hint="Export it again without half precision: yolotrt export WEIGHTS.pt",
        )


def _quantised(node: onnx.NodeProto) -> bool:
    kind = node.op_type
    return kind in QUANTISED or kind.startswith(("QLinear", "TRT_FP8", "TRT_INT4")) or kind == "QGemm"
