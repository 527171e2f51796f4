"""``yolotrt doctor``: what this machine can do, and why not more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolotrt.cli.console import emit_json, stdout
from yolotrt.cli.options import JsonTarget
from yolotrt.errors import EnvironmentFault

PACKAGES = (
    "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "pycocotools", "httpx",
    "rich", "typer", "torch", "ultralytics", "onnxslim", "tensorrt", "tensorrt-rtx", "cuda-core",
    "cuda-bindings", "nvidia-cuda-nvrtc", "pycuda", "triton",
)  # fmt: skip


def doctor(json: JsonTarget = None) -> None:
    r"""Check Python, packages, backends, GPU, driver and CUDA.

    CUDA is asked before TensorRT is touched: without a driver, TensorRT can crash the process.

    \b
    Examples:
      yolotrt doctor
      yolotrt doctor --json report.json
    """
    report = _examine()
    if json != "-":
        _print(report)
    emit_json(json, report)


def _examine() -> dict[str, Any]:
    from yolotrt.backends.registry import availabilities
    from yolotrt.bench.environment import environment, package_version
    from yolotrt.cli.options import cores

    return {
        "nvidia_driver": _nvidia_driver(),
        "cuda": _cuda(),
        **{k: v for k, v in environment(cores()).items() if k not in {"packages", "threads"}},
        "packages": {name: package_version(name) for name in PACKAGES},
        "backends": {
            name: {"usable": state.usable, "reason": state.reason} for name, state in availabilities().items()
        },
    }


def _nvidia_driver() -> str:
    """Return what the kernel says of the driver; needs no package."""
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return "not loaded"


def _cuda() -> str:
    """Return the GPU that CUDA finds, or why it finds none."""
    from yolotrt.backends.tensorrt.gpu import find_gpu

    try:
        gpu = find_gpu()
    except EnvironmentFault as exc:
        return f"{exc.message} {exc.hint or ''}".strip()
    return "{} (compute capability {}.{}), driver supports CUDA {}".format(
        gpu.name, *gpu.capability, gpu.driver
    )


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    console = stdout()
    machine = Table(title="Machine", title_justify="left", show_header=False)
    for key, value in report.items():
        if not isinstance(value, dict):
            machine.add_row(key.replace("_", " "), str(value))
    backends = Table("backend", "", "why", title="Backends", title_justify="left")
    for name, state in report["backends"].items():
        backends.add_row(name, "usable" if state["usable"] else "no", state["reason"])
    packages = Table(title="Packages", title_justify="left", show_header=False)
    for name, found in report["packages"].items():
        packages.add_row(name, found or "not installed")
    for table in (machine, backends, packages):
        console.print(table)
