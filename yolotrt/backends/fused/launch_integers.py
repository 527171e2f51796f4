"""What kernels are told about INT8: maps, weights by output channel, and what 1 counts for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from yolotrt.backends.fused.arguments import Address, Arg, WeightsBlob
from yolotrt.backends.fused.parts import Act, Dense, Slice, round_up
from yolotrt.backends.fused.steps import Conv, Depthwise, Network, Stem, Step

ACTS: dict[Act, int] = {"none": 0, "silu": 1, "sigmoid": 2}

SILU_OF_ONE = 3
"""SiLU of networks that hold INT8."""

PITCH = 16
"""INT8 weights of an output channel begin at multiples of this."""


@dataclass(frozen=True)
class Weights:
    """Weights as a kernel gets them.

    Attributes:
        address: Where they are.
        by_product: Values from product to product.
        by_output: Values from output channel to output channel.
    """

    address: Address | None
    by_product: int = 0
    by_output: int = 0


def weights_of(dense: Dense | None, blob: WeightsBlob) -> Weights:
    """Store weights: FP16 by product, INT8 by output channel, as the tensor cores want them.

    Args:
        dense: The weights; None stores nothing.
        blob: Where they are stored.
    """
    if dense is None:
        return Weights(None)
    if dense.weight.dtype != np.int8:
        return Weights(blob.add(dense.weight), dense.outputs, 1)
    products = len(dense.weight)
    pitch = round_up(products, PITCH)
    across = np.pad(dense.weight.T, ((0, 0), (0, pitch - products)))
    return Weights(blob.add(np.ascontiguousarray(across)), 1, pitch)


def is_int8(network: Network, part: Slice | None) -> bool:
    """Whether a slice is of a map of INT8."""
    return part is not None and network.maps[part.map].nbytes_per_value == 1


def only_int8(network: Network, step: Stem | Conv | Depthwise) -> bool:
    """Whether a step's result is kept as INT8 and as nothing else."""
    return isinstance(step.store, Slice) and is_int8(network, step.store)


def act_of(act: Act, network: Network) -> int:
    """Return an activation's number; where a network holds INT8, its noise hides that of a faster SiLU."""
    return SILU_OF_ONE if network.rounded and act == "silu" else ACTS[act]


def stored_int8(
    network: Network, step: Stem | Conv | Depthwise, blob: WeightsBlob, pack: int = 1
) -> tuple[dict[str, Arg], dict[str, Any]]:
    """Return where a step's result goes as INT8: arguments, and what is known when compiled."""
    part, kept = step.store if only_int8(network, step) else step.also, step.rounding.store
    if not isinstance(part, Slice) or kept is None:
        return {"y8": None, "steps": None}, {"STEP_8": 0}
    m = network.maps[part.map]
    at = Address("arena", "i8", network.offsets[part.map], part.first, m.nbytes)
    inverse = np.tile(np.float32(1) / kept.steps, pack)
    return {"y8": at, "steps": blob.add(inverse)}, {"STEP_8": m.channels}


def spans_of(step: Conv, pack: int) -> dict[str, Any]:
    """Return which columns are stored in each form; with neighbouring pixels as one: all."""
    kept, outputs = step.rounding.store, step.last.outputs
    known = {"FIRST": 0, "END": 0, "FIRST_8": 0, "END_8": 0}
    if kept is None or pack > 1:
        return known
    if kept.half not in ((0, 0), (0, outputs)):
        known |= {"FIRST": kept.half[0], "END": kept.half[1]}
    if kept.whole != (0, outputs):
        known |= {"FIRST_8": kept.whole[0], "END_8": kept.whole[1]}
    return known


def counted(step: Conv, blob: WeightsBlob, pack: int = 1) -> dict[str, Arg]:
    """Return what 1 counts for in a convolution's products and residual, and the gain of its result."""
    rounding, gain = step.rounding, step.last.gain
    inner = np.float32(1 / rounding.inner if rounding.inner else 0)
    levels = np.array([inner, rounding.residual], np.float32)
    products = rounding.products
    return {
        "s": None if products is None else blob.add(np.tile(products, pack)),
        "s2": None if rounding.point is None else blob.add(rounding.point),
        "levels": blob.add(levels) if levels.any() else None,
        "g": None if gain is None else blob.add(np.tile(gain, pack)),
    }


def types_of(network: Network, step: Step) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the types that a step reads, of its weights, and that it writes, each once."""
    if not isinstance(step, Stem | Conv | Depthwise):
        return ("FP16",), ("FP16",), ("FP16",)

    def named(*parts: object) -> tuple[str, ...]:
        there = [p for p in parts if isinstance(p, Slice)]
        return tuple(dict.fromkeys("INT8" if is_int8(network, p) else "FP16" for p in there)) or ("FP16",)

    if isinstance(step, Stem):
        return ("FP16",), ("FP16",), named(step.store, step.also)
    if isinstance(step, Depthwise):
        return named(step.source, step.residual), ("FP16",), named(step.store, step.also)
    dense = [step.dense, *([step.point] if step.point else [])]
    weights = tuple("INT8" if d.weight.dtype == np.int8 else "FP16" for d in dense)
    return named(*step.sources, step.residual), weights, named(step.store, step.also)
