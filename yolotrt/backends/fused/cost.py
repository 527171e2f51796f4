"""What a step has to do at least: bytes to move and operations to compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.backends.fused.frame_stem import FrameStem
from yolotrt.backends.fused.parts import Boxes, Dense, Planes, Slice, Spread, Store
from yolotrt.backends.fused.steps import (
    Attention,
    Best,
    Conv,
    Depthwise,
    Grow,
    Network,
    Pools,
    Select,
    Stem,
    Step,
    Sum,
)

HALF = 2
"""Bytes of an FP16 value."""


@dataclass(frozen=True)
class Cost:
    """The least work of a step for one image.

    Attributes:
        nbytes: What it reads and writes if each value moves once, weights left out.
        operations: Multiplications and additions of matrix products; of INT8 half as many, since they take
            half the time.
    """

    nbytes: int
    operations: int


def cost_of(network: Network, step: Step) -> Cost:
    """Return the least work of a step."""
    if isinstance(step, Stem):
        width, height = step.out_wh
        value = 1 if isinstance(step, FrameStem) else HALF
        read = step.channels * step.height * step.width * value
        return Cost(read + _kept(network, step), 2 * width * height * step.dense.weight.size)
    if isinstance(step, Conv):
        width, height = step.out_wh
        products = _products(step.dense) + (_products(step.point) if step.point else 0)
        inputs = [*step.sources, *([step.residual] if step.residual else [])]
        read = sum(_slice(network, part) for part in inputs)
        written = _kept(network, step)
        return Cost(read + written, 2 * width * height * products)
    if isinstance(step, Grow):
        pixels = step.width * step.height
        written = _store(network, step.store, 4 * pixels)
        products = step.weight.size + 4 * step.point.weight.size
        return Cost(_slice(network, step.source) + written, 2 * pixels * products)
    if isinstance(step, Depthwise):
        inputs = [step.source, *([step.residual] if step.residual else [])]
        return Cost(sum(_slice(network, part) for part in inputs) + _kept(network, step), 0)
    if isinstance(step, Pools):
        return Cost(sum(_slice(network, part) for part in (step.source, *step.stores)), 0)
    if isinstance(step, Attention):
        pixels = step.width * step.height
        products = step.heads * pixels * (pixels // step.areas) * (step.key + step.value)
        return Cost(_slice(network, step.source) + _slice(network, step.store), 2 * products)
    if isinstance(step, Sum):
        return Cost(sum(_slice(network, part) for part in (*step.sources, step.store)), 0)
    if isinstance(step, Best):
        return Cost(4 * step.count * (step.classes + 1), 0)
    assert isinstance(step, Select)
    return Cost(4 * (step.count + step.keep * (step.classes + 2 * (6 + step.coeffs))), 0)


def _products(dense: Dense) -> int:
    """Return products in FP16's time: two of INT8 take as long as one of FP16."""
    return dense.weight.size // (2 if dense.weight.dtype == np.int8 else 1)


def _kept(network: Network, step: Stem | Conv | Depthwise) -> int:
    """Return the bytes of a result in all its forms."""
    width, height = step.out_wh
    kept = step.rounding.store
    if kept is None:
        return _store(network, step.store, width * height)
    (a, b), (c, d) = kept.half, kept.whole
    return width * height * (HALF * (b - a) + d - c)


def _slice(network: Network, part: Slice) -> int:
    m = network.maps[part.map]
    return m.height * m.width * part.channels * m.nbytes_per_value


def _store(network: Network, store: Store, pixels: int) -> int:
    if isinstance(store, Slice):
        return _slice(network, store)
    if isinstance(store, Spread):
        return _slice(network, store.target)
    planes = store if isinstance(store, Planes) else store.planes
    assert isinstance(store, (Planes, Boxes))
    return pixels * planes.count * (HALF if planes.half else 4)
