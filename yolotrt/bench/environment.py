"""The machine a measurement was taken on: numbers mean nothing without it."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from yolotrt import __version__
from yolotrt.bench.gpu import gpu_state

PACKAGES = (
    "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "pycocotools",
    "tensorrt", "tensorrt-rtx", "cuda-core", "triton",
)  # fmt: skip
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def environment(threads: int, pci_bus_id: str | None = None) -> dict[str, Any]:
    """Return processor, GPU, load, revision and library versions; unknown values are None.

    Args:
        threads: CPU threads that the run may use, recorded because the user may have capped them.
        pci_bus_id: The GPU that the run uses; see :func:`yolotrt.bench.gpu.gpu_state`.
    """
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "yolotrt": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "governor": _read(_GOVERNOR),
        "load_1min": round(os.getloadavg()[0], 2),
        "git": _git_revision(),
        "gpu": gpu_state(pci_bus_id),
        "packages": {name: package_version(name) for name in PACKAGES},
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
