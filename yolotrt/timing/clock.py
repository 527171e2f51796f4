"""The host clock, as a value that is handed around: whoever measures can be given another one."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns nanoseconds; only differences mean anything."""


def now() -> int:
    """Return the host clock in nanoseconds; only differences mean anything."""
    return time.perf_counter_ns()


def seconds_between(begin_ns: int, end_ns: int) -> float:
    """Return the seconds between two readings of a clock."""
    return (end_ns - begin_ns) / 1e9
