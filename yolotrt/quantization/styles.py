"""The styles of Q/DQ graphs, each for one kind of kernels."""

from __future__ import annotations

from typing import Literal

QdqStyle = Literal["cpu", "gpu", "rtx"]
"""``cpu`` for ONNX Runtime's CPU kernels (uint8 asymmetric activations), ``gpu`` for TensorRT 10 and 11 (int8
symmetric), ``rtx`` for TensorRT-RTX: the same numbers from weights with one scale each."""

STYLES: tuple[QdqStyle, ...] = ("cpu", "gpu")
"""Those whose noise and shift of scores a calibration measures."""


def measured_as(style: QdqStyle) -> QdqStyle:
    """Return the style whose noise and shift stand for those of another."""
    return style if style in STYLES else "gpu"
