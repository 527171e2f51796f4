"""What GPUs have consumed, by the counter that NVIDIA's management library reads: boards, not processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from yolotrt.artifacts.fields import Count, Seconds
from yolotrt.machine.nvml import handle_of, library
from yolotrt.timing.clock import Clock, now, seconds_between


@dataclass(frozen=True)
class Energy:
    """What was consumed while frames were processed, waiting for frames included.

    Attributes:
        joules: By all GPUs that the frames ran on.
        seconds: How long it took.
        frames: How many frames.
    """

    joules: Seconds
    seconds: Seconds
    frames: Count

    @property
    def per_frame(self) -> float | None:
        """Joules per frame."""
        return self.joules / self.frames if self.frames else None

    @property
    def watts(self) -> float | None:
        """Mean power."""
        return self.joules / self.seconds if self.seconds else None

    def plus(self, other: Energy | None) -> Energy:
        """Return both together."""
        if other is None:
            return self
        return Energy(self.joules + other.joules, self.seconds + other.seconds, self.frames + other.frames)


class EnergyMeter:
    """Reads the counters of some GPUs; made by :func:`energy_meter`."""

    def __init__(self, nvml: Any, handles: Sequence[Any], clock: Clock = now) -> None:
        self._nvml, self._handles, self._clock = nvml, handles, clock

    def joules(self) -> float:
        """Return what they have consumed since their driver was loaded.

        Raises:
            nvml.NVMLError: A GPU does not tell.
        """
        millijoules = (self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles)
        return float(sum(millijoules)) / 1e3

    def reading(self) -> Reading:
        """Return the counters with the time."""
        return Reading(self.joules(), self._clock())


@dataclass(frozen=True)
class Reading:
    """The counters at one moment, in joules, and when that was."""

    joules: float
    at_ns: int

    def energy_to(self, end: Reading, frames: int) -> Energy:
        """Return what was consumed from here to there."""
        joules, seconds = max(0.0, end.joules - self.joules), seconds_between(self.at_ns, end.at_ns)
        return Energy(round(joules, 3), round(seconds, 6), frames)


@contextmanager
def energy_meter(pci_bus_ids: Sequence[str], clock: Clock = now) -> Iterator[EnergyMeter | None]:
    """Give a meter for the block; None without a GPU, the library, or a counter (Volta and later have one).

    Args:
        pci_bus_ids: Where the GPUs sit; see :func:`yolotrt.machine.nvml.handle_of`.
        clock: What is read beside the counters.
    """
    if not pci_bus_ids:
        yield None
        return
    with library() as nvml:
        meter = None
        if nvml is not None:
            with suppress(nvml.NVMLError):
                found = EnergyMeter(nvml, [handle_of(nvml, one) for one in dict.fromkeys(pci_bus_ids)], clock)
                found.joules()
                meter = found
        yield meter
