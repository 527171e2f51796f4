"""What a step has to do at least: bytes to move and operations to compute."""

from __future__ import annotations

from dataclasses import dataclass

from yolotrt.backends.fused.frame_stem import FrameStem
from yolotrt.backends.fused.parts import Boxes, Planes, Slice, Spread, Store
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
        operations: Multiplications and additions of matrix products.
    """

    nbytes: int
    operations: int


def cost_of(network: Network, step: Step) -> Cost:
    """Return the least work of a step."""
    if isinstance(step, Stem):
        width, height = step.out_wh
        value = 1 if isinstance(step, FrameStem) else HALF
        read = step.channels * step.height * step.width * value
        return Cost(read + _slice(network, step.store), 2 * width * height * step.dense.weight.size)
    if isinstance(step, Conv):
        width, height = step.out_wh
        products = step.dense.weight.size + (step.point.weight.size if step.point else 0)
        inputs = [*step.sources, *([step.residual] if step.residual else [])]
        read = sum(_slice(network, part) for part in inputs)
        return Cost(read + _store(network, step.store, width * height), 2 * width * height * products)
    if isinstance(step, Grow):
        pixels = step.width * step.height
        written = _store(network, step.store, 4 * pixels)
        products = step.weight.size + 4 * step.point.weight.size
        return Cost(_slice(network, step.source) + written, 2 * pixels * products)
    if isinstance(step, Depthwise):
        inputs = [step.source, *([step.residual] if step.residual else [])]
        return Cost(sum(_slice(network, part) for part in (*inputs, step.store)), 0)
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


def _slice(network: Network, part: Slice) -> int:
    m = network.maps[part.map]
    return m.height * m.width * part.channels * HALF


def _store(network: Network, store: Store, pixels: int) -> int:
    if isinstance(store, Slice):
        return _slice(network, store)
    if isinstance(store, Spread):
        return _slice(network, store.target)
    planes = store if isinstance(store, Planes) else store.planes
    assert isinstance(store, (Planes, Boxes))
    return pixels * planes.count * (HALF if planes.half else 4)
