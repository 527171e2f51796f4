"""What a run of days may remember: a fair sample of its frames, and the course of a quantity over time.

Both have a fixed size, so that whoever looks for a leak does not become one.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.bench.statistics import SEED


class Reservoir:
    """A uniform sample of everything that was added (Vitter's Algorithm R), exact until it is full.

    Attributes:
        seen: Number of values added.
        values: The sample.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self.seen = 0
        self.values = array("d")
        self._capacity = capacity
        self._random = random.Random(SEED)

    def add(self, value: float) -> None:
        """Add a value; once full, it takes the place of another or is not kept."""
        self.seen += 1
        if len(self.values) < self._capacity:
            self.values.append(value)
        elif (place := self._random.randrange(self.seen)) < self._capacity:
            self.values[place] = value


class Course:
    """A quantity over time; when it grows too long, neighbouring points become their mean.

    Points before the last halving cover more time than those after it, which weighs both by time.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._points: list[tuple[float, float]] = []
        self._per_point = 1
        self._pending: list[tuple[float, float]] = []

    def add(self, x: float, y: float) -> None:
        """Add a point; ``x`` never goes back."""
        self._pending.append((x, y))
        if len(self._pending) < self._per_point:
            return
        self._points.append(_mean(self._pending))
        self._pending.clear()
        if len(self._points) >= self._capacity:
            self._points = [_mean(self._points[i : i + 2]) for i in range(0, self._capacity - 1, 2)]
            self._per_point *= 2

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points, oldest first."""
        return list(self._points)


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


@dataclass(frozen=True)
class Slope:
    """Growth of y per unit of x.

    Attributes:
        value: By least squares.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
    """

    value: float
    low: float
    high: float


SETTLING = 1 / 3
"""Part of a course that a slope leaves out: caches and buffers are still growing."""

BATCHES = 10
_STUDENT_8 = 2.306
"""97.5 % quantile of Student's t with BATCHES - 2 degrees of freedom."""


def slope(points: Sequence[tuple[float, float]]) -> Slope | None:
    """Return the growth after the first third, or None for fewer points than batches.

    Neighbouring samples of a process's memory depend on each other, so the interval is that of a line
    through the means of ten batches and not through single samples (batch means: Law, *Simulation Modeling
    and Analysis*, 9.5.3).
    """
    settled = points[int(len(points) * SETTLING) :]
    if len(settled) < BATCHES:
        return None
    batches = [_mean([tuple(p) for p in part]) for part in np.array_split(np.array(settled), BATCHES)]
    x, y = np.array(batches).T
    x = x - x.mean()
    spread = float((x * x).sum())
    if not spread:
        return None
    value = float((x * y).sum() / spread)
    rest = y - y.mean() - value * x
    error = _STUDENT_8 * float(np.sqrt((rest * rest).sum() / (BATCHES - 2) / spread))
    return Slope(value, value - error, value + error)


def late_over_early(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the median of the last third of a course over that of the third before it, or None."""
    third = len(points) // 3
    if third < 3:
        return None
    middle, last = (
        float(np.median([y for _, y in part])) for part in (points[third:-third], points[-third:])
    )
    return last / middle if middle else None
