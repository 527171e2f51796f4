"""Random numbers that are the same on every machine and under every NumPy.

NumPy guarantees a stable stream only for its bit generators, not for the distributions built on them,
and the last bit of a sine differs between C libraries. So scenes are drawn from raw PCG64 words with
integer arithmetic, and angles come from a table that is rounded long before such bits matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from yolotrt.arrays import U8

T = TypeVar("T")

TURN = 1024
"""Steps of a full turn."""

UNIT = 1 << 16
"""The sine table's 1."""


class Draws:
    """A stream of draws that belongs to a seed and a purpose.

    Args:
        seed: Non-negative integers; different sequences give independent streams.
    """

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def between(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return low + (int(self._bits.random_raw()) * (high - low + 1) >> 64)

    def chance(self, percent: int) -> bool:
        """Return True in ``percent`` of 100 cases."""
        return self.between(1, 100) <= percent

    def one_of(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.between(0, len(options) - 1)]

    def grains(self, shape: tuple[int, ...]) -> U8:
        """Return uniform bytes of this shape."""
        count = int(np.prod(shape))
        words = self._bits.random_raw(-(-count // 8)).astype("<u8", copy=False)
        return words.view(np.uint8)[:count].reshape(shape)


def clipped(value: int) -> int:
    """Return the nearest value that a byte holds."""
    return min(max(value, 0), 255)


@cache
def _sines() -> tuple[int, ...]:
    return tuple(int(v) for v in np.rint(np.sin(np.arange(TURN) * (2 * np.pi / TURN)) * UNIT))


def sine(angle: int) -> int:
    """Return the sine of ``angle / TURN`` turns, times :data:`UNIT`, rounded."""
    return _sines()[angle % TURN]


def cosine(angle: int) -> int:
    """Return the cosine of ``angle / TURN`` turns, times :data:`UNIT`, rounded."""
    return _sines()[(angle + TURN // 4) % TURN]


def log_size(draws: Draws, low: int, high: int) -> int:
    """Return a size from ``low`` to ``high`` px whose logarithm is spread evenly (in 256 steps)."""
    step = draws.between(0, 255) / 255
    return round(float(low * math.pow(high / low, step)))


def average(a: U8, b: U8) -> U8:
    """Return the mean of two byte arrays, rounded down, without leaving bytes."""
    result: U8 = (a & b) + ((a ^ b) >> 1)
    return result


def ramp(stops: Sequence[tuple[int, int, int]]) -> U8:
    """Return 256 colours that run evenly through the stops, (256, 3) uint8."""
    points = np.array(stops, np.int64)
    at = np.arange(256, dtype=np.int64) * (len(stops) - 1)
    left = np.minimum(at // 255, len(stops) - 2)
    part = (at - left * 255)[:, None]
    mixed = (points[left] * (255 - part) + points[left + 1] * part + 127) // 255
    result: U8 = mixed.astype(np.uint8)
    return result
