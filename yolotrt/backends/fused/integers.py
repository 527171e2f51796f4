"""What an ONNX network says about 8-bit integers: Q/DQ pairs around weights and feature maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.backends.fused.node import Node, refusal

Constants = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Integers:
    """Weights as INT8.

    Attributes:
        values: (outputs, inputs, kernel, kernel) int8.
        scales: (outputs,) FP32: what 1 counts for in each output channel.
    """

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    def joined(self, other: Integers) -> Integers:
        """Return these channels and another's behind them."""
        return Integers(
            np.concatenate([self.values, other.values]), np.concatenate([self.scales, other.scales])
        )


def stored_integers(node: Node, constants: Constants, integers: dict[str, Integers]) -> bool:
    """Replace a DequantizeLinear of constants by its values.

    Args:
        node: Any node.
        constants: Get the FP32 values.
        integers: Get the INT8 values, if they are weights with a scale per output channel.

    Returns:
        Whether the node was one.
    """
    if node.op != "DequantizeLinear" or node.inputs[0] not in constants:
        return False
    values, scales = constants[node.inputs[0]], constants[node.inputs[1]].astype(np.float32)
    zero: npt.NDArray[Any] | int = constants[node.inputs[2]] if len(node.inputs) > 2 else 0
    axis = node.attributes.get("axis", 1)
    shape = [-1 if i == axis % values.ndim else 1 for i in range(values.ndim)]
    column = scales.reshape(shape) if scales.size > 1 else scales.reshape([1] * values.ndim)
    lowest = np.reshape(zero, column.shape if np.size(zero) > 1 else [1] * values.ndim)
    constants[node.outputs[0]] = ((values.astype(np.int64) - lowest) * column).astype(np.float32)
    by_output = scales.size == 1 or axis % values.ndim == 0
    if values.dtype == np.int8 and values.ndim == 4 and by_output and not np.any(zero):
        integers[node.outputs[0]] = Integers(values, np.broadcast_to(scales.ravel(), len(values)).copy())
    return True


def scale_of(node: Node, constants: Constants) -> float:
    """Return the scale of a QuantizeLinear or DequantizeLinear of a feature map.

    Raises:
        BuildError: It is not symmetric INT8 with one scale for the whole map.
    """
    scale = constants.get(node.inputs[1])
    zero = constants.get(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1, np.uint8)
    if scale is None or zero is None:
        raise refusal(node, "its scale is computed, not constant")
    if zero.dtype != np.int8 or np.any(zero) or scale.size != 1:
        raise refusal(node, "only symmetric INT8 with one scale for a whole feature map is known")
    return float(np.float32(scale.reshape(-1)[0]))
