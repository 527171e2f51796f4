"""Which engine files are ours to replace, and which are another model's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from yolotrt.artifacts.claims import Output, require_own
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.artifacts.kinds import Kind, document
from yolotrt.artifacts.naming import is_recorded
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import FORMAT, latest_sidecar, sidecar_path
from yolotrt.errors import StorageError, YoloTrtError
from yolotrt.model.recognise import is_model


def _is_own(engine: Path) -> bool:
    """Return whether an engine has our sidecar; a damaged engine is still ours, another network is not."""
    try:
        if sha256_file(engine) == latest_sidecar(engine).sha256:
            return True
    except (YoloTrtError, OSError):
        pass
    return SIDECAR.is_own(sidecar_path(engine)) and not is_model(engine)


ENGINE = Kind("an engine that yolotrt built", _is_own)
SIDECAR = document("the sidecar of an engine", FORMAT)


def engine_outputs(option: str, engine: Path) -> tuple[Output, Output]:
    """Return the two files that an engine is."""
    return Output(option, engine, ENGINE), Output(f"the sidecar of {option}", sidecar_path(engine), SIDECAR)


def require_own_engine(engine: Path, *, overwrite: bool = False) -> None:
    """Refuse to put an engine and its sidecar in the place of files that are none.

    Raises:
        StorageError: There are such.
    """
    for output in engine_outputs("-o", engine):
        require_own(output.path, output.kind, overwrite=overwrite)


def is_made_from(engine: Path, key: str, names: tuple[str, ...], source: Path) -> bool:
    """Return whether an engine was made from a network, or from what its file held earlier.

    Args:
        engine: The engine.
        key: Content key of the network.
        names: Its class names.
        source: The network's file.
    """
    try:
        found = latest_sidecar(engine)
    except YoloTrtError:
        return SIDECAR.is_own(sidecar_path(engine))
    return _is_of(found, key, names) or is_recorded(found.sources.get("onnx_file"), source)


def _is_of(engine: EngineFile, key: str, names: tuple[str, ...]) -> bool:
    """Whether an engine is one of a network; the key of its content does not cover what its classes mean."""
    return engine.sources.get("onnx") == key and engine.spec.names == names


def mind_another_network(wanted: EngineFile, *, waited: bool, say: Callable[[str], None]) -> None:
    """Say that an engine of another network is about to be replaced.

    Args:
        wanted: The engine that is about to be built.
        waited: Another process has just finished with this file.
        say: Told what is replaced.

    Raises:
        StorageError: Another process has just made it.
    """
    try:
        found = latest_sidecar(wanted.path)
    except YoloTrtError:
        return
    if _is_of(found, wanted.sources["onnx"], wanted.spec.names):
        return
    other = found.sources.get("onnx_file", "an unknown file")
    if waited:
        raise StorageError(
            f"Another process has just built {wanted.path} from another network ({other}).",
            hint="Run the command again: it takes another name; or name one with -o.",
        )
    here = Path(wanted.sources["onnx_file"])
    which = f"what {other} held earlier" if is_recorded(other, here) else f"another network ({other})"
    say(f"note: {wanted.path} was built from {which}; it is replaced.")
