"""What NVIDIA's management library says about a GPU; None where it or the GPU is missing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_REASONS = {
    0x0000000000000004: "power limit",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "temperature (software)",
    0x0000000000000040: "temperature (hardware)",
    0x0000000000000080: "power brake",
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons that mean "slower than it could be" (nvml.h)."""


@dataclass(frozen=True)
class GpuState:
    """A GPU at one moment; None where it does not answer.

    Attributes:
        name: Its name.
        driver: Version of the driver.
        clock_sm_mhz: Clock of its multiprocessors, MHz.
        power_limit_w: What it may draw, watts.
        temperature_c: Degrees Celsius.
        throttled: What slows it down.
        memory_mib: Its memory, MiB.
        clock_memory_mhz: Clock of its memory, MHz.
    """

    name: str
    driver: str
    clock_sm_mhz: int | None
    power_limit_w: float | None
    temperature_c: int | None
    throttled: tuple[str, ...]
    memory_mib: int | None = None
    clock_memory_mhz: int | None = None


def gpu_state(pci_bus_id: str | None = None) -> GpuState | None:
    """Return the state of a GPU, or None without one.

    Args:
        pci_bus_id: Which GPU, as :class:`yolotrt.cuda.driver.DeviceInfo` says; None takes the machine's
            first.
    """
    with _opened(pci_bus_id) as opened:
        if opened is None:
            return None
        nvml, handle = opened

        def ask(question: Callable[[], Any]) -> Any:
            try:
                return question()
            except nvml.NVMLError:  # not every GPU answers every question
                return None

        bits = ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
        limit = ask(lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
        memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        return GpuState(
            name=str(ask(lambda: nvml.nvmlDeviceGetName(handle))),
            driver=str(ask(nvml.nvmlSystemGetDriverVersion)),
            memory_mib=memory and int(memory.total) >> 20,
            clock_sm_mhz=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            clock_memory_mhz=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            power_limit_w=limit and limit / 1e3,
            temperature_c=ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            throttled=tuple(reason for bit, reason in _REASONS.items() if bits & bit),
        )


def other_gpu_processes(pci_bus_id: str | None = None) -> list[str]:
    """Return the names or ids of processes that compute on a GPU besides this one; see :func:`gpu_state`."""
    with _opened(pci_bus_id) as opened:
        if opened is None:
            return []
        nvml, handle = opened
        try:
            running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError:
            return []
        return sorted(_name(nvml, p.pid) for p in running if p.pid != os.getpid())


def _name(nvml: Any, pid: int) -> str:
    try:
        return f"{nvml.nvmlSystemGetProcessName(pid)} ({pid})"
    except nvml.NVMLError:
        return f"process {pid}"


def handle_of(nvml: Any, pci_bus_id: str | None) -> Any:
    """Return the library's handle of a GPU.

    Its indices are not CUDA's: it sees what CUDA_VISIBLE_DEVICES hides, and may order GPUs otherwise. Where
    they sit is the same for both.

    Raises:
        nvml.NVMLError: There is none.
    """
    if pci_bus_id is None:
        return nvml.nvmlDeviceGetHandleByIndex(0)
    return nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id)


@contextlib.contextmanager
def library() -> Iterator[Any]:
    """Open NVML for the block; None without package or driver."""
    try:
        import pynvml as nvml
    except ImportError:
        yield None
        return
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


@contextlib.contextmanager
def _opened(pci_bus_id: str | None) -> Iterator[tuple[Any, Any] | None]:
    """Open the library for the block; None without package, driver or GPU."""
    with library() as nvml:
        handle = None
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                handle = handle_of(nvml, pci_bus_id)
        yield None if handle is None else (nvml, handle)
