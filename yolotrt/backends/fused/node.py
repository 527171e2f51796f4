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
