"""What else the machine did while something was measured on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from yolotrt.bench.gpu import gpu_state, other_gpu_processes
from yolotrt.timing.clock import Clock, now, seconds_between

_STAT = Path("/proc/stat")
_THROTTLE = "cpu[0-9]*/thermal_throttle/core_throttle_count"


class Watch:
    """Reads the machine's counters at the beginning and the end of a measurement."""

    def __init__(self, clock: Clock = now, *, stat: Path = _STAT) -> None:
        self._clock, self._stat = clock, stat
        self._begin_ns = clock()
        self._busy, self._own = self._busy_seconds(), _own_seconds()
        self._throttled = _throttle_events()

    def report(self) -> dict[str, Any]:
        """Return what happened since the watch was made.

        Returns:
            ``wall_s`` and ``own_cpu_s``; ``other_cores``, the cores that other processes kept busy on
            average; ``cpu_throttled``, thermal throttling events; ``gpu``, its state now; and
            ``gpu_processes``, who else computes on it. What the system does not tell is None.
        """
        wall = seconds_between(self._begin_ns, self._clock())
        own = _own_seconds() - self._own
        busy, throttled = self._busy_seconds(), _throttle_events()
        others = None
        if busy is not None and self._busy is not None and wall > 0:
            others = round(max(0.0, busy - self._busy - own) / wall, 3)
        return {
            "wall_s": round(wall, 3),
            "own_cpu_s": round(own, 3),
            "other_cores": others,
            "cpu_throttled": None
            if throttled is None or self._throttled is None
            else throttled - self._throttled,
            "gpu": gpu_state(),
            "gpu_processes": other_gpu_processes(),
        }

    def _busy_seconds(self) -> float | None:
        """Return the seconds that all cores together have been busy since boot (proc(5), first line)."""
        try:
            user, nice, system, _idle, _iowait, irq, softirq = (
                int(v) for v in self._stat.read_text().split("\n", 1)[0].split()[1:8]
            )
        except (OSError, ValueError):
            return None
        return float(user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system


def _throttle_events() -> int | None:
    counts = []
    for path in Path("/sys/devices/system/cpu").glob(_THROTTLE):
        try:
            counts.append(int(path.read_text()))
        except (OSError, ValueError):
            continue
    return sum(counts) if counts else None
