"""The machine a measurement was taken on: numbers mean nothing without it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from yolotrt import __version__

PACKAGES = ("numpy", "onnx", "onnxruntime", "opencv-python-headless", "pycocotools")


def environment(threads: int) -> dict[str, Any]:
    """Return processor, load and library versions; unknown values are None.

    Args:
        threads: CPU threads that the run may use, recorded because the user may have capped them.
    """
    return {
        "yolotrt": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "load_1min": round(os.getloadavg()[0], 2),
        "packages": {name: package_version(name) for name in PACKAGES},
    }


def package_version(name: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or None
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line), None)
