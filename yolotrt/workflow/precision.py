"""A network in its final precision: FP16 casts and Q/DQ nodes, written into the ONNX."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.backends.base import Precision, QdqStyle
from yolotrt.errors import BuildError
from yolotrt.model.fp8 import to_fp8
from yolotrt.model.held import held_precision
from yolotrt.model.onnxfile import load_onnx
from yolotrt.model.precision import to_fp16
from yolotrt.model.spec import ModelSpec
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationRanges

if TYPE_CHECKING:
    import onnx

NEEDS_RANGES: tuple[Precision, ...] = ("int8", "fp8")


def is_calibrated(model: Path) -> bool:
    """Return whether a model needs images to become INT8: not a file that is quantised already, or FP16.

    Raises:
        ModelError: It is an ONNX file that cannot be read.
    """
    return model.suffix.lower() != ".onnx" or held_precision(load_onnx(model)) == "fp32"


def as_held(model: onnx.ModelProto, spec: ModelSpec, style: QdqStyle) -> onnx.ModelProto:
    """Return a network that already is in its precision, as the backend of a Q/DQ style wants the rest.

    Raises:
        ModelError: It cannot be converted.
    """
    mixed = any(tensor.data_type == tensor.FLOAT16 for tensor in model.graph.initializer)
    return model if mixed or style == "cpu" else to_fp16(model, spec)


def require_held(network: onnx.ModelProto, precision: Precision, name: str) -> None:
    """Refuse a network that is not in the precision that its engine would claim.

    Raises:
        BuildError: Nothing of it could be quantised.
    """
    if precision in NEEDS_RANGES and held_precision(network) != precision:
        raise BuildError(
            f"Nothing of {name} can be computed in {precision.upper()}: it has no convolution with constant "
            "weights before its last ones.",
            hint="Build it with --fp16 or --fp32.",
        )


def in_precision(
    model: onnx.ModelProto,
    spec: ModelSpec,
    precision: Precision,
    style: QdqStyle,
    ranges: CalibrationRanges | None,
    exclude: Collection[str] | None = None,
) -> onnx.ModelProto:
    """Return the network in a precision, as the backend of a Q/DQ style wants it.

    What TensorRT does not compute in 8 bits it computes in FP16; a CPU has no FP16 arithmetic, so there
    the rest stays FP32.

    Args:
        model: The FP32 network; it is not changed.
        spec: Its interface.
        precision: The precision wanted.
        style: For which kernels Q/DQ nodes are.
        ranges: Activation ranges, for :data:`NEEDS_RANGES`.
        exclude: Convolutions that 8 bits leave in high precision; None lets the calibration choose.

    Raises:
        CalibrationError: The ranges belong to another network.
        ModelError: The network cannot be converted.
    """
    if precision == "fp32":
        return model
    if precision == "fp16":
        return to_fp16(model, spec)
    if ranges is None:
        raise ValueError(f"{precision} needs ranges")
    quantized = quantize(model, ranges, style, exclude=exclude, floating=precision == "fp8")
    if precision == "fp8":
        quantized = to_fp8(quantized, model)
    return quantized if style == "cpu" else to_fp16(quantized, spec)
