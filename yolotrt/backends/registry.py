"""Backends by name, imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Literal, cast

from yolotrt.backends.base import Availability, Backend, Engine, Precision
from yolotrt.backends.base import EngineFile as EngineFile
from yolotrt.backends.placement import Replicas, place
from yolotrt.cuda.opened import gpu
from yolotrt.errors import EnvironmentFault, UsageError

_CLASSES = {
    "tensorrt": "yolotrt.backends.tensorrt.backend:tensorrt",
    "tensorrt-rtx": "yolotrt.backends.tensorrt.backend:tensorrt_rtx",
    "fused": "yolotrt.backends.fused.backend:FusedBackend",
    "onnxruntime": "yolotrt.backends.onnxruntime:OnnxRuntimeBackend",
}
"""What makes each backend, in order of preference."""

NAMES = tuple(_CLASSES)


def backend(name: str) -> Backend:
    """Return a backend by name.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in _CLASSES:
        raise UsageError(f"There is no backend {name!r}.", hint=f"Choose from: auto, {', '.join(NAMES)}.")
    module, _, attribute = _CLASSES[name].partition(":")
    return cast(Backend, getattr(import_module(module), attribute)())


def availabilities() -> dict[str, Availability]:
    """Return what each backend says about itself on this machine, in order of preference."""
    return {name: backend(name).availability() for name in NAMES}


_MEASURED = {"fused": "a quarter of ONNX Runtime's time for YOLO11n-seg on an H200"}
"""What ``auto`` says of a backend that it takes for its speed."""


def choose(
    name: str, purpose: Literal["run", "build"] = "run", precision: Precision | None = None
) -> tuple[Backend, str]:
    """Resolve ``auto`` or a name to a usable backend and the reason for the choice.

    ``auto`` takes only what can run here, and builds only what it can run in the precision that is asked for;
    a backend asked for by name may build for another machine.

    Raises:
        UsageError: There is none of this name.
        EnvironmentFault: The backend asked for does not work here.
    """
    names = NAMES if name == "auto" else (name,)
    why = ""
    for candidate in names:
        if name == "auto" and candidate == "fused" and precision != "fp16":
            continue  # it has no other
        found = backend(candidate)
        state = found.availability()
        if name == "auto" and purpose == "build" and state.usable and not state.builds:
            why += f"{candidate}: {state.reason.rstrip('.')}. "
            continue
        if state.usable or (purpose == "build" and name != "auto" and state.builds):
            measured = f"; {_MEASURED[candidate]}" if name == "auto" and candidate in _MEASURED else ""
            return found, state.reason + measured
        if name != "auto":
            reason = state.reason.rstrip(".")
            raise EnvironmentFault(
                f"{name} cannot be used here: {reason}.", hint=state.hint or "See: yolotrt doctor"
            )
        why += f"{candidate}: {state.reason.rstrip('.')}. "
    raise EnvironmentFault(f"No usable backend. {why.strip()}", hint="See: yolotrt doctor")


def load_engine(file: EngineFile, device: str = "auto") -> Engine:
    """Load an engine with the backend that built it, where :func:`yolotrt.backends.placement.place` says.

    Args:
        file: The engine.
        device: ``auto``, ``cpu``, ``cuda:0`` or ``cuda:0,1``.

    Raises:
        UsageError: It is no device, or the engine cannot run there.
        ArtifactError: The engine does not fit this machine.
        EnvironmentFault: The device does not work here.
    """
    placement = place(file, device)
    loader = backend(file.backend)
    if not placement.gpus:
        return loader.load(file)
    engines: list[Engine] = []
    try:
        for index in placement.gpus:
            engines.append(loader.load_on(file, gpu(index)))
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return engines[0] if len(engines) == 1 else Replicas(engines)


def open_engine(
    path: Path,
    device: str = "auto",
    *,
    trust: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Engine:
    """Load an engine file.

    Args:
        path: The engine.
        device: As in :func:`load_engine`.
        trust: Also an engine that no sidecar vouches for; see :func:`yolotrt.backends.admission.admit`.
        warn: Told when that was needed.

    Raises:
        InputError: It is missing or unreadable.
        ArtifactError: No sidecar vouches for it, or it is damaged or does not fit this machine.
        EnvironmentFault: It is a TensorRT engine, and TensorRT or a GPU is missing.
    """
    from yolotrt.backends.admission import admit

    return load_engine(admit(path, trust=trust, warn=warn), device)
