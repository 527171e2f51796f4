"""The two styles of Q/DQ graphs, each for one kind of kernels."""

from __future__ import annotations

from typing import Literal, get_args

QdqStyle = Literal["cpu", "gpu"]
"""``cpu`` for ONNX Runtime's CPU kernels (uint8 asymmetric activations), ``gpu`` for TensorRT 10, 11 and RTX
(int8 symmetric)."""

STYLES: tuple[QdqStyle, ...] = get_args(QdqStyle)
