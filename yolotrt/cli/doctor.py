"""``yolotrt doctor``: what this machine can do, and why not more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yolotrt
from yolotrt.cli.console import emit_json, stdout, warn
from yolotrt.cli.libraries import missing_library
from yolotrt.cli.options import JsonTarget
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.errors import EnvironmentFault

PACKAGES = (
    "httpx", "rich", "typer", "torch", "ultralytics", "onnxslim", "cuda-core", "cuda-bindings",
    "nvidia-cuda-nvrtc", "pycuda", "PyNvVideoCodec",
)  # fmt: skip


def doctor(overwrite: Overwrite = False, json: JsonTarget = None) -> None:
    r"""Check Python, packages, backends, decoders of videos, GPU, driver and CUDA.

    CUDA is asked before TensorRT is touched: without a driver, TensorRT can crash the process.

    \b
    Examples:
      yolotrt doctor
      yolotrt doctor --json report.json
    """
    from yolotrt.machine.examined import EXAMINED, Examined

    claim_outputs([json_output(json, EXAMINED.kind)], overwrite=overwrite)
    report = _examine()
    if json != "-":
        _print(report)
    for message in (*_doubts(report["distribution"]), *_opencv()):
        warn(message)
    emit_json(json, EXAMINED.to_json(Examined(**report)))


def _examine() -> dict[str, Any]:
    from yolotrt.backends.registry import availabilities
    from yolotrt.cli.options import cores
    from yolotrt.cuda.nvdec_check import nvdec_state
    from yolotrt.data.video_decoders import decoder_states
    from yolotrt.distribution import NAME, changed_files, rivals
    from yolotrt.machine.environment import environment, package_version, packages

    return {
        "distribution": {
            "name": NAME,
            "folder": str(Path(yolotrt.__file__).parent),
            "rivals": rivals(),
            "changed_files": changed_files(),
        },
        "nvidia_driver": _nvidia_driver(),
        "cuda": _cuda(),
        "cuda_binding": _binding(),
        **{
            k: v
            for k, v in asdict(environment(cores())).items()
            if k not in {"packages", "threads", "engines"}
        },
        "packages": {**packages(), **{name: package_version(name) for name in PACKAGES}},
        "backends": {
            name: {"usable": state.usable, "reason": state.reason} for name, state in availabilities().items()
        },
        "decoders": {
            name: {"usable": works, "reason": why}
            for name, (works, why) in {"nvdec": nvdec_state(), **decoder_states()}.items()
        },
    }


def _doubts(distribution: dict[str, Any]) -> Iterator[str]:
    """Say what may make another program of this one."""
    again = f"Uninstall both, then install {distribution['name']} again."
    for rival in distribution["rivals"]:
        yield f"the distribution {rival} claims the package yolotrt, too: its files replace ours. {again}"
    if changed := distribution["changed_files"]:
        yield (
            f"of yolotrt's files, {len(changed)} are not as they were installed, such as {changed[0]}. "
            f"Install {distribution['name']} again."
        )


def _opencv() -> Iterator[str]:
    """Say why OpenCV does not load, if it does not: nothing that reads pictures works without it."""
    try:
        import cv2  # noqa: F401
    except ImportError as exc:
        fault = missing_library(exc)
        yield f"{fault.message} {fault.hint}" if fault else f"OpenCV does not load: {exc}"


def _nvidia_driver() -> str:
    """Return what the kernel says of the driver; needs no package."""
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return "not loaded"


def _cuda() -> str:
    """Return the GPU that CUDA finds, or why it finds none."""
    from yolotrt.cuda.probe import find_gpu

    try:
        gpu = find_gpu()
    except EnvironmentFault as exc:
        return f"{exc.message} {exc.hint or ''}".strip()
    return "{} (compute capability {}.{}), driver supports CUDA {}".format(
        gpu.name, *gpu.capability, gpu.driver
    )


def _binding() -> str:
    """Return which binding of CUDA is used, and how to choose another."""
    from yolotrt.cuda.machine import BINDINGS, VARIABLE, chosen_binding

    others = " or ".join(f"{VARIABLE}={name}" for name in BINDINGS if name != chosen_binding())
    return f"{chosen_binding()} (choose with {others})"


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    console = stdout()
    machine = Table(title="Machine", title_justify="left", show_header=False)
    machine.add_row("yolotrt from", report["distribution"]["folder"])
    for key, value in report.items():
        if not isinstance(value, dict):
            machine.add_row(key.replace("_", " "), str(value))
    backends = Table("backend", "", "why", title="Backends", title_justify="left")
    decoders = Table("decoder", "", "what, or why not", title="Decoders of videos", title_justify="left")
    for table, states in ((backends, report["backends"]), (decoders, report["decoders"])):
        for name, state in states.items():
            table.add_row(name, "usable" if state["usable"] else "no", state["reason"])
    packages = Table(title="Packages", title_justify="left", show_header=False)
    for name, found in report["packages"].items():
        packages.add_row(name, found or "not installed")
    for table in (machine, backends, decoders, packages):
        console.print(table)
