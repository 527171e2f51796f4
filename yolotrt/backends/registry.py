"""Backends by name, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Literal, cast

from yolotrt.backends.base import Availability, Backend, Engine
from yolotrt.backends.base import EngineFile as EngineFile
from yolotrt.errors import EnvironmentFault, UsageError

_CLASSES = {
    "tensorrt": "yolotrt.backends.tensorrt.backend:tensorrt",
    "tensorrt-rtx": "yolotrt.backends.tensorrt.backend:tensorrt_rtx",
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


def choose(name: str, purpose: Literal["run", "build"] = "run") -> tuple[Backend, str]:
    """Resolve ``auto`` or a name to a usable backend and the reason for the choice.

    ``auto`` takes only what can run here; a backend asked for by name may build for another machine.

    Raises:
        UsageError: There is none of this name.
        EnvironmentFault: The backend asked for does not work here.
    """
    names = NAMES if name == "auto" else (name,)
    why = ""
    for candidate in names:
        found = backend(candidate)
        state = found.availability()
        if state.usable or (purpose == "build" and name != "auto" and state.builds):
            return found, state.reason
        if name != "auto":
            reason = state.reason.rstrip(".")
            raise EnvironmentFault(
                f"{name} cannot be used here: {reason}.", hint=state.hint or "See: yolotrt doctor"
            )
        why += f"{candidate}: {state.reason.rstrip('.')}. "
    raise EnvironmentFault(f"No usable backend. {why.strip()}", hint="See: yolotrt doctor")


def load_engine(file: EngineFile) -> Engine:
    """Load an engine with the backend that built it.

    Raises:
        ArtifactError: The engine does not fit this machine.
    """
    return backend(file.backend).load(file)


def open_engine(path: Path) -> Engine:
    """Load an engine by its sidecar; without one, as a TensorRT engine that Ultralytics or trtexec made.

    Raises:
        InputError: It is missing or unreadable.
        ArtifactError: It is damaged or does not fit this machine.
        EnvironmentFault: It is a TensorRT engine, and TensorRT or a GPU is missing.
    """
    from yolotrt.backends.sidecar import read_engine, sidecar_path

    if path.suffix == ".onnx" or sidecar_path(path).exists():
        return load_engine(read_engine(path))
    from yolotrt.backends.tensorrt.backend import load_foreign

    return load_foreign(path)
