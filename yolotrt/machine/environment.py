"""The machine a measurement was taken on: numbers mean nothing without it."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from yolotrt.artifacts.fields import Load, Some
from yolotrt.backends.registry import packages as backend_packages
from yolotrt.distribution import __version__
from yolotrt.machine.nvml import GpuState, gpu_state

PACKAGES = ("numpy", "onnx", "opencv-python-headless", "av", "pycocotools")
"""What results depend on besides the backends' packages."""

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class EngineRecord:
    """What ran a network.

    Attributes:
        sha256: Hash of the engine.
        backend: What runs it.
        precision: Its precision.
        bytes: Its size.
        runs_on: The devices.
        environment: What it was built with; see :class:`yolotrt.backends.base.EngineFile`.
    """

    sha256: str | None = None
    backend: str | None = None
    precision: str | None = None
    bytes: int | None = None
    runs_on: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Environment:
    """A machine and its libraries; None where the system does not tell.

    Attributes:
        yolotrt: Our version.
        python: Version of Python.
        platform: The operating system.
        cpu: The processor's name.
        cores: Cores that this process may use.
        threads: CPU threads that the run may use, which the user may have capped.
        governor: What sets the processor's clock.
        load_1min: The system's load over a minute.
        git: Revision of the working directory's repository; ends in -dirty with uncommitted changes.
        gpu: The GPU that is used; None without one.
        packages: Version by library; None for what is not installed.
        time: When, by ISO 8601, UTC.
        engines: The engines by file name.
    """

    yolotrt: str
    python: str
    platform: str
    cpu: str | None
    cores: Some
    threads: Some
    governor: str | None
    load_1min: Load
    git: str | None
    gpu: GpuState | None
    packages: Mapping[str, str | None]
    time: str | None = None
    engines: Mapping[str, EngineRecord] = field(default_factory=dict)


def environment(threads: int, pci_bus_id: str | None = None) -> Environment:
    """Return processor, GPU, load, revision and library versions, without engines.

    Args:
        threads: CPU threads that the run may use, recorded because the user may have capped them.
        pci_bus_id: The GPU that the run uses; see :func:`yolotrt.machine.nvml.gpu_state`.
    """
    return Environment(
        time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        yolotrt=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        threads=threads,
        governor=_read(_GOVERNOR),
        load_1min=round(os.getloadavg()[0], 2),
        git=_git_revision(),
        gpu=gpu_state(pci_bus_id),
        packages=packages(),
    )


def packages() -> dict[str, str | None]:
    """Return the versions of the libraries that figures depend on.

    OpenCV comes in distributions of several names, so it is asked itself: its versions give a tagged video
    different colours.
    """
    opencv = None
    with contextlib.suppress(ImportError):  # a library of the system is missing; yolotrt doctor names it
        import cv2

        opencv = cv2.__version__
    return {
        "opencv": opencv,
        **{name: package_version(name) for name in (*PACKAGES, *backend_packages())},
    }


def package_version(name: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    text = _read(Path("/proc/cpuinfo")) or ""
    found = next((line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line), None)
    return found or platform.processor() or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _git_revision() -> str | None:
    """Return the revision of the repository of the current folder, or None outside of one."""
    command = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
