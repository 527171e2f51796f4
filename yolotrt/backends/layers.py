"""An engine's layers in numbers and one by one, whichever library reported them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yolotrt.backends.base import Layer

_FUSED_KERNEL = re.compile(r"^__myl_(Corr|Deco|Fc)")
"""Names that TensorRT gives to kernels of convolutions."""


@dataclass(frozen=True)
class LayerSummary:
    """An engine in a few numbers.

    Attributes:
        layers: Number of layers.
        convolutions: Number of convolutions by the type of their inputs, such as ``{"INT8": 83}``.
        unfused: Convolutions whose activation function is computed by another layer, which moves the
            data through memory once more.
        moved_bytes: Size of what all layers read and write besides constants; None if it is not known.
    """

    layers: int
    convolutions: Mapping[str, int]
    unfused: tuple[str, ...]
    moved_bytes: int | None = None


def summarise(layers: Sequence[Layer]) -> LayerSummary:
    """Return an engine's layers in a few numbers."""
    convolutions = [layer for layer in layers if is_convolution(layer)]
    types = Counter(layer.inputs[0] if layer.inputs else "?" for layer in convolutions)
    unfused = tuple(layer.name for layer in convolutions if layer.activation_elsewhere)
    moved = [layer.moved_bytes for layer in layers if layer.moved_bytes is not None]
    return LayerSummary(len(layers), dict(types.most_common()), unfused, sum(moved) if moved else None)


def is_convolution(layer: Layer) -> bool:
    """Whether a layer multiplies by the weights of a convolution, perhaps with other work fused in.

    TensorRT turns some 1x1 convolutions into matrix products with constant weights; they count.
    """
    kind = layer.kind.lower()
    if "conv" in kind or kind == "correlation":
        return True
    product = kind == "gemm" and len(layer.inputs) == 1
    return bool(layer.weights) and (product or _FUSED_KERNEL.match(layer.name) is not None)


def describe_layers(layers: tuple[Layer, ...]) -> dict[str, Any]:
    """Return the layers in numbers and one by one; nothing if the engine does not tell them."""
    if not layers:
        return {"layers": "unknown (built without detailed profiling verbosity)"}
    summary = summarise(layers)
    return {
        "layers": summary.layers,
        "convolutions": dict(summary.convolutions),
        "activations_not_fused": len(summary.unfused),
        **({} if summary.moved_bytes is None else {"moved_bytes": summary.moved_bytes}),
        "layer_table": [_row(layer) for layer in layers],
    }


def _row(layer: Layer) -> dict[str, str]:
    types = " x ".join(layer.inputs[:1] + layer.weights[:1]) if is_convolution(layer) else ""
    return {
        "name": layer.name,
        "kind": layer.kind,
        "types": f"{types or ', '.join(layer.inputs)} -> {', '.join(layer.outputs)}",
        "computes": ", ".join(layer.nodes),
        "not_fused": ", ".join(layer.activation_elsewhere),
    }
