"""What else the machine did while something was measured on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from yolotrt.machine.nvml import GpuState, gpu_state, other_gpu_processes
from yolotrt.timing.clock import Clock, now, seconds_between

_STAT = Path("/proc/stat")
_THROTTLE = "cpu[0-9]*/thermal_throttle/core_throttle_count"


GLANCE_S = 1.0
"""The GPU is asked no more often than this: a question takes about a millisecond."""


@dataclass(frozen=True)
class WatchedGpu(GpuState):
    """A GPU at the end of a measurement, with its highest temperature and all that slowed it down meanwhile.

    Attributes:
        clock_sm_mhz_least: Lowest clock of its multiprocessors, MHz.
        clock_sm_mhz_most: The highest.
        looks: How often it was looked at.
    """

    clock_sm_mhz_least: int | None = None
    clock_sm_mhz_most: int | None = None
    looks: int = 0


@dataclass(frozen=True)
class During:
    """What a machine did during a measurement; None where the system does not tell.

    Attributes:
        wall_s: Seconds that it took.
        own_cpu_s: Seconds that this process computed, all threads together.
        other_cores: Cores that other processes kept busy, on average.
        cpu_throttled: Thermal throttling events of the processor.
        gpu: The GPU; None without one.
        gpu_processes: Who else computes on it.
    """

    wall_s: float | None = None
    own_cpu_s: float | None = None
    other_cores: float | None = None
    cpu_throttled: int | None = None
    gpu: WatchedGpu | None = None
    gpu_processes: tuple[str, ...] = ()


class Watch:
    """Reads the machine's counters at the beginning and the end of a measurement, and the GPU's in between.

    A GPU tells what slows it down only while it does: at the end, when it idles again, it would deny all.

    Args:
        clock: What is read.
        stat: The system's counters (proc(5)).
        pci_bus_id: The GPU that is used; see :func:`yolotrt.machine.nvml.gpu_state`.
        gpu: Returns its state, or None.
    """

    def __init__(
        self,
        clock: Clock = now,
        *,
        stat: Path = _STAT,
        pci_bus_id: str | None = None,
        gpu: Callable[[str | None], GpuState | None] = gpu_state,
    ) -> None:
        self._clock, self._stat, self._ask_gpu, self._pci_bus_id = clock, stat, gpu, pci_bus_id
        self._seen: list[GpuState] = []
        self._begin_ns = self._glanced_ns = clock()
        self._busy, self._own = self._busy_seconds(), _own_seconds()
        self._throttled = _throttle_events()

    def glance(self) -> None:
        """Look at the GPU if the last look was a while ago; called between rounds."""
        at = self._clock()
        if seconds_between(self._glanced_ns, at) >= GLANCE_S:
            self._glanced_ns = at
            self._look()

    def _look(self) -> None:
        if (state := self._ask_gpu(self._pci_bus_id)) is not None:
            self._seen.append(state)

    def report(self) -> During:
        """Return what happened since the watch was made."""
        wall = seconds_between(self._begin_ns, self._clock())
        own = _own_seconds() - self._own
        busy, throttled = self._busy_seconds(), _throttle_events()
        others = None
        if busy is not None and self._busy is not None and wall > 0:
            others = round(max(0.0, busy - self._busy - own) / wall, 3)
        self._look()
        return During(
            wall_s=round(wall, 3),
            own_cpu_s=round(own, 3),
            other_cores=others,
            cpu_throttled=None
            if throttled is None or self._throttled is None
            else throttled - self._throttled,
            gpu=self._gpu(),
            gpu_processes=tuple(other_gpu_processes(self._pci_bus_id)),
        )

    def _gpu(self) -> WatchedGpu | None:
        """Return the GPU's last state, with everything that slowed it down in any, and extremes."""
        if not self._seen:
            return None
        degrees = [s.temperature_c for s in self._seen if s.temperature_c is not None]
        clocks = [s.clock_sm_mhz for s in self._seen if s.clock_sm_mhz is not None]
        last = replace(
            self._seen[-1],
            throttled=tuple(dict.fromkeys(reason for s in self._seen for reason in s.throttled)),
            temperature_c=max(degrees, default=None),
        )
        return WatchedGpu(
            **vars(last),
            clock_sm_mhz_least=min(clocks, default=None),
            clock_sm_mhz_most=max(clocks, default=None),
            looks=len(self._seen),
        )

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
