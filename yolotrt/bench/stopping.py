"""When enough has been measured, and when a machine has warmed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from yolotrt.bench.statistics import measured, quantile_interval
from yolotrt.errors import UsageError

Stopped = Literal["iterations", "duration", "stable", "cap"]
"""Why measuring ended; ``cap`` means that it did not become stable in time."""

MIN_STABLE_ROUNDS = 10
"""Intervals of fewer samples say too little to stop on."""


@dataclass(frozen=True)
class StopRule:
    """When to stop measuring; the same for all cases, as their rounds are interleaved.

    Attributes:
        iterations: Rounds; the rule when nothing else is given.
        duration_s: Seconds for all cases together, instead of ``iterations``; with ``until_stable`` the cap.
        until_stable: Stop when the 95 % interval of every case's median reaches no further than this part
            of the median to either side, such as 0.05.

    Raises:
        UsageError: A value is out of range.
    """

    DEFAULT_CAP_S = 120.0

    iterations: int = 20
    duration_s: float | None = None
    until_stable: float | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise UsageError(f"{self.iterations} iterations make no sense.", hint="Choose 1 or more.")
        if self.duration_s is not None and self.duration_s <= 0:
            raise UsageError(f"A duration of {self.duration_s} s makes no sense.", hint="Like this: 60")
        if self.until_stable is not None and not 0 < self.until_stable < 1:
            raise UsageError(
                f"Stability of {self.until_stable:.0%} makes no sense.", hint="Like this: --until-stable 5%"
            )

    @property
    def seconds(self) -> float | None:
        """The most seconds to measure, or None when rounds are counted."""
        if self.until_stable is not None:
            return self.duration_s or self.DEFAULT_CAP_S
        return self.duration_s

    def verdict(
        self, rounds: int, elapsed_s: float, samples: Sequence[Sequence[float | None]]
    ) -> Stopped | None:
        """Return why to stop now, or None to go on.

        Args:
            rounds: Rounds measured so far.
            elapsed_s: Seconds measured so far.
            samples: ``end_to_end`` seconds per case.
        """
        if self.until_stable is not None and all(self._stable(s) for s in samples):
            return "stable"
        if self.seconds is not None and rounds and elapsed_s >= self.seconds:
            return "cap" if self.until_stable is not None else "duration"
        return "iterations" if self.seconds is None and rounds >= self.iterations else None

    def _stable(self, samples: Sequence[float | None]) -> bool:
        array = measured(samples)
        if array is None or len(array) < MIN_STABLE_ROUNDS or self.until_stable is None:
            return False
        interval, median = quantile_interval(array, 0.5), float(np.median(array))
        if interval is None:
            return False
        return max(interval.high - median, median - interval.low) <= self.until_stable * median


@dataclass(frozen=True)
class WarmupRule:
    """When a machine counts as warmed up.

    Attributes:
        rounds: Exactly this many unmeasured rounds; None warms up until stable.
        spread: Stable means that the last three frames of every case lie this close together, relative to
            their median.
        max_rounds: Give up waiting after this many rounds,
        max_seconds: or after this many seconds, whichever comes first.
    """

    rounds: int | None = None
    spread: float = 0.1
    max_rounds: int = 20
    max_seconds: float = 15.0

    def verdict(
        self, rounds: int, elapsed_s: float, samples: Sequence[Sequence[float | None]]
    ) -> Stopped | None:
        """Return why to stop warming up now, or None to go on; see :meth:`StopRule.verdict`."""
        if self.rounds is not None:
            return "iterations" if rounds >= self.rounds else None
        if rounds and all(self._settled(s) for s in samples):
            return "stable"
        return "cap" if rounds >= self.max_rounds or (rounds and elapsed_s >= self.max_seconds) else None

    def _settled(self, samples: Sequence[float | None]) -> bool:
        last = measured(samples[-3:])
        if last is None or len(last) < 3:
            return False
        return float(last.max() - last.min()) <= self.spread * float(np.median(last))
