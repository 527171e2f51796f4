"""The command that builds an engine again, as its sidecar remembers it."""

from __future__ import annotations

import shlex

from yolotrt.backends.base import EngineFile

PORTABLE = "portable"
"""Target of a TensorRT-RTX engine that was built for no GPU in particular: Ampere and newer."""

VERSION_COMPATIBLE = "version-compatible"
HARDWARE_COMPATIBLE = "hardware-compatible"
IMPLICIT = "implicit-int8"
WORKSPACE = "workspace"
LEVEL = "level"

_OPTIONS = {
    VERSION_COMPATIBLE: "--version-compatible",
    HARDWARE_COMPATIBLE: "--hardware-compatible",
    IMPLICIT: "--implicit",
    WORKSPACE: "--workspace",
    LEVEL: "--optimization-level",
}
"""What the command line calls the options that a TensorRT sidecar records."""


def rebuild_command(
    file: EngineFile, *, batches: str | None = None, backend: str | None = None, here: bool = False
) -> str:
    """Return the command that builds an engine like ``file`` again, to be typed where it was built.

    Args:
        file: The engine.
        batches: Batch sizes instead of its own.
        backend: Backend instead of its own.
        here: Build for the GPU at hand and not for those it was built for.
    """
    known, made_here = file.environment, "onnx_file" in file.sources
    words = ["yolotrt", "build", file.sources.get("onnx_file", "MODEL"), f"--{file.precision}"]
    words += ["--backend", backend or file.backend]
    if file.backend != "onnxruntime":  # which takes any batch size
        words += ["--batch", batches or known.get("profiles") or ",".join(map(str, file.batches))]
    if known.get("targets", PORTABLE) != PORTABLE and not here:
        words += ["--compute-capability", known["targets"]]
    for option in options_of(file):
        name, _, value = option.partition("=")
        words += [_OPTIONS[name], value] if value else [_OPTIONS[name]]
    if "promise_bound" in file.sources:
        words += ["--max-drop", file.sources["promise_bound"]]
        words += ["--mode", file.sources.get("promise_mode", "global")]
        if least := file.sources.get("promise_least_int8"):
            words += ["--least-int8", least]
    if made_here:  # never over an engine of somebody else's
        words += ["-o", str(file.path), "--force"]
    return shlex.join(words)


def options_of(file: EngineFile) -> list[str]:
    """Return the options that an engine was built with, as ``version-compatible`` or ``workspace=512``."""
    found = file.environment.get("options", "").split()
    return [option for option in found if option.partition("=")[0] in _OPTIONS]
