"""A node of an ONNX network, and how one is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from yolotrt.errors import BuildError


@dataclass
class Node:
    """One ONNX node.

    Attributes:
        op: Its operator.
        name: Its name.
        inputs: Tensors that it reads; empty names are inputs left out.
        outputs: Tensors that it writes.
        attributes: By name; texts are decoded.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)


def refusal(node: Node, reason: str) -> BuildError:
    """Return the error for a node that no fused step computes."""
    return BuildError(
        f"The fused backend cannot build this network: {node.op} {node.name}: {reason}.",
        hint="Build it with another backend: --backend tensorrt, tensorrt-rtx or onnxruntime",
    )


def square(node: Node) -> tuple[int, int]:
    """Return stride and padding of a node that treats both directions alike.

    Raises:
        BuildError: It does not, or it is dilated.
    """
    how = node.attributes
    strides, pads = how.get("strides", [1, 1]), how.get("pads", [0] * 4)
    kernel = how.get("kernel_shape", [1, 1])
    same = len(set(strides)) == len(set(pads)) == len(set(kernel)) == 1
    if not same or set(how.get("dilations", [1])) != {1} or how.get("auto_pad", "NOTSET") != "NOTSET":
        raise refusal(node, f"strides {strides}, pads {pads}, dilations {how.get('dilations')}")
    return strides[0], pads[0]
