"""Why an engine was not loaded, in words: TensorRT gives no exception, only messages."""

from __future__ import annotations

import re
from pathlib import Path

from yolotrt.backends.tensorrt.library import Library
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import ArtifactError, DeviceError, YoloTrtError

_ENGINES_FAULT = (
    (r"header\.size == blobSize|bufferSize >= minBufferSize", "the file is truncated"),
    (r"empty memory buffer", "the file is empty"),
    (r"magic_?tag", "it is no engine of this library"),
    (r"stdVersionRead == |Version tag does not match", "it was built by another version"),
    (r"compute capability", "it was built for another GPU than this {gpu}"),
)
"""What the library's messages say about the engine, as seen from TensorRT-RTX 1.7."""


def refusal(
    library: Library, gpu: FoundGpu, path: Path, plan: bytes, errors: list[str], rebuild: str
) -> YoloTrtError:
    """Return the error for an engine that a library did not load.

    Args:
        library: It.
        gpu: Where it was to run.
        path: The engine's file.
        plan: Its content.
        errors: What the library said.
        rebuild: Command that builds such an engine here.
    """
    message = f"{library.title} cannot load {path}: "
    everything = "\n".join(errors)
    for pattern, reason in _ENGINES_FAULT:
        if re.search(pattern, everything, re.I):
            return ArtifactError(f"{message}{reason.format(gpu=gpu.name)}.", hint=f"Build it here: {rebuild}")
    if re.search(r"out ?of ?memory", everything, re.I):
        return OutOfDeviceMemory(
            f"{message}the memory of the {gpu.name} does not suffice.", hint="End other programs on this GPU."
        )
    if re.search(r"driver version is insufficient", everything, re.I):
        return DeviceError(
            f"{message}the NVIDIA driver (CUDA {gpu.driver}) is too old for it.", hint="Update the driver."
        )
    reason = _by_its_own_check(library, gpu, plan) or (
        errors[0].splitlines()[0] if errors else "no reason given"
    )
    return ArtifactError(f"{message}{reason}.", hint=f"Build it here: {rebuild}")


def _by_its_own_check(library: Library, gpu: FoundGpu, plan: bytes) -> str:
    """Return what TensorRT-RTX finds wrong with an engine's header; nothing where there is no such check."""
    if not library.checks_engines:
        return ""
    runtime = library.runtime(gpu)
    _, bits = runtime.get_engine_validity(plan)
    members = library.trt.EngineInvalidityDiagnostics.__members__
    return ", ".join(n.lower().replace("_", " ") for n, m in members.items() if int(m) & int(bits))
