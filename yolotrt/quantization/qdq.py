"""The door to Q/DQ insertion: one set of ranges, one style for each kind of runtime."""

from __future__ import annotations

from collections.abc import Collection

import onnx
import onnx.version_converter

from yolotrt.errors import ModelError
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.qdq_cpu import integer_convolutions, quantize_for_cpu
from yolotrt.quantization.qdq_gpu import WeightScales, int8_convolutions, quantize_for_gpu
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.quantization.sensitivity import choose_exclusions, layers_of
from yolotrt.quantization.styles import QdqStyle, measured_as

BUDGET: dict[QdqStyle, float] = {"cpu": 0.08, "gpu": 0.12, "rtx": 0.12}
"""Share of the convolutions' multiply-adds that may stay in high precision where that prevents most harm."""

LEAST_IN_INT8 = 0.82
"""Share of the convolutions' multiply-adds that the default leaves in INT8, if so much of it can be."""

CAREFUL = 0.15
"""The same share where an accuracy bound is to be kept: noise falls by a quarter to a third."""

CAREFULLY_IN_INT8 = 0.81
"""Share that stays in INT8 then, if so much of it can be."""

_FIRST_OPSET: dict[QdqStyle, int] = {"cpu": 13, "gpu": 19, "rtx": 19}
"""First opset whose QuantizeLinear knows scales per channel, and scales in FP16."""


def quantize(
    model: onnx.ModelProto,
    ranges: CalibrationRanges,
    style: QdqStyle,
    *,
    exclude: Collection[str] | None = None,
    weight_levels: int = 127,
    floating: bool = False,
) -> onnx.ModelProto:
    """Return the model with 8-bit convolutions, as Q/DQ nodes.

    Args:
        model: The FP32 model; it is not changed.
        ranges: Its calibration.
        style: For which kernels.
        exclude: Names of convolutions to keep in high precision. None takes those whose quantisation
            hurts most, as the calibration has measured it; an empty list takes none.
        weight_levels: Largest magnitude of a quantised weight. 63 instead of 127 rules out that CPUs
            without VNNI saturate when they add up pairs of products in 16 bits.
        floating: It will be FP8, by :func:`yolotrt.model.fp8.to_fp8`.

    Raises:
        CalibrationError: The ranges belong to another network.
        ModelError: The network's opset is too old and cannot be raised.
    """
    if exclude is None:
        exclude = default_exclusions(model, ranges, style)
    model = _with_opset(model, _FIRST_OPSET[style])
    if style == "cpu":
        return quantize_for_cpu(model, ranges, exclude, weight_levels)
    apart: WeightScales = "one" if floating else "behind"
    return quantize_for_gpu(model, ranges, exclude, scales=apart if style == "rtx" else "channels")


def quantized_convolutions(
    view: GraphView, style: QdqStyle, exclude: Collection[str]
) -> list[onnx.NodeProto]:
    """Return the convolutions that run in 8 bits, in order."""
    return (integer_convolutions if style == "cpu" else int8_convolutions)(view, exclude)


def default_exclusions(model: onnx.ModelProto, ranges: CalibrationRanges, style: QdqStyle) -> list[str]:
    """Return the convolutions that stay in high precision unless asked otherwise."""
    return _exclusions(model, ranges, style, BUDGET[style], LEAST_IN_INT8)


def careful_exclusions(
    model: onnx.ModelProto, ranges: CalibrationRanges, style: QdqStyle, least: float = 0.0
) -> list[str]:
    """Return the convolutions that stay in high precision where an accuracy bound is to be kept.

    Args:
        model: The FP32 model.
        ranges: Its calibration.
        style: For which kernels.
        least: Share of the convolutions' multiply-adds that must be INT8, if so much of it can be.
    """
    return _exclusions(model, ranges, style, CAREFUL, max(CAREFULLY_IN_INT8, least))


def _exclusions(
    model: onnx.ModelProto, ranges: CalibrationRanges, style: QdqStyle, budget: float, least: float
) -> list[str]:
    layers = layers_of(model, ranges.noise.get(measured_as(style), {}))
    spare = sum(layer.cost for layer in layers) - least
    return choose_exclusions(layers, max(0.0, min(budget, spare)))


def _with_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    if max(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")) >= least:
        return model
    try:
        return onnx.version_converter.convert_version(model, least)
    except (RuntimeError, onnx.version_converter.ConvertError) as exc:
        raise ModelError(
            f"The network cannot be brought to opset {least} ({exc}).", hint="Export it again with opset 19."
        ) from exc
