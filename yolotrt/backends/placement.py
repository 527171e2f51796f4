"""Where engines run: on the processor or on GPUs, and why."""

from __future__ import annotations

import re

from yolotrt.backends.base import EngineFile, Placement
from yolotrt.backends.names import EMBEDDED
from yolotrt.backends.registry import backend
from yolotrt.errors import UsageError


def place(file: EngineFile, device: str = "auto") -> Placement:
    """Decide where an engine runs.

    Args:
        file: The engine.
        device: ``auto``, ``cpu``, ``cuda:0`` or ``0``, or several GPUs as ``cuda:0,1``. ``auto`` leaves it
            to the engine's backend; see :meth:`yolotrt.backends.base.Backend.placement`.

    Raises:
        UsageError: The words are no device, or the engine cannot run there.
    """
    owner = backend(file.backend)
    gpus = require_device(device)
    if device == "auto":
        return owner.placement(file.precision)
    if gpus is None:
        if not owner.runs_on_cpu:
            raise UsageError(
                f"{file.path} is a {file.backend} engine: it runs on a GPU only.",
                hint=f"For the processor: yolotrt build MODEL --{file.precision} --backend {EMBEDDED}",
            )
        return Placement((), "asked for")
    return Placement(gpus, "asked for")


def require_device(device: str) -> tuple[int, ...] | None:
    """Return the GPUs that words name; None for the processor, or if they leave it open.

    Raises:
        UsageError: The words are no device, or name one twice.
    """
    if device in ("auto", "cpu"):
        return None
    found = re.fullmatch(r"(?:cuda:)?(\d+(?:,\d+)*)", "0" if device == "cuda" else device)
    if not found:
        raise UsageError(f"{device!r} is no device.", hint="Like this: auto, cpu, cuda:0 (or 0), cuda:0,1")
    gpus = tuple(int(index) for index in found[1].split(","))
    if len(set(gpus)) != len(gpus):
        raise UsageError(f"{device!r} names a GPU twice.", hint="Name each once, as in cuda:0,1")
    return gpus
