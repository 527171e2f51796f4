"""The door to Q/DQ insertion: one set of ranges, one style for each kind of runtime."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import onnx
import onnx.version_converter

from yolotrt.calibration.qdq_cpu import quantize_for_cpu
from yolotrt.calibration.ranges import CalibrationRanges

Style = Literal["cpu", "tensorrt"]

_FIRST_OPSET = 13
"""First opset whose QuantizeLinear knows per-channel scales."""


def quantize(
    model: onnx.ModelProto,
    ranges: CalibrationRanges,
    style: Style,
    *,
    exclude: Collection[str] = (),
    weight_levels: int = 127,
) -> onnx.ModelProto:
    """Return the model with 8-bit convolutions, as Q/DQ nodes.

    Args:
        model: The FP32 model; it is not changed.
        ranges: Its calibration.
        style: ``cpu`` for ONNX Runtime's CPU kernels (uint8 asymmetric activations).
        exclude: Names of convolutions to keep in floating point.
        weight_levels: Largest magnitude of a quantised weight. 63 instead of 127 rules out that CPUs
            without VNNI saturate when they add up pairs of products in 16 bits.

    Raises:
        CalibrationError: The ranges belong to another network.
    """
    if _opset(model) < _FIRST_OPSET:
        model = onnx.version_converter.convert_version(model, _FIRST_OPSET)
    return quantize_for_cpu(model, ranges, exclude, weight_levels)


def _opset(model: onnx.ModelProto) -> int:
    return max(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))
