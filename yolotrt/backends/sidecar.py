"""The JSON beside each engine: what it is, what it was made from, and the hash of its bytes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from yolotrt.artifacts.files import mapped_os_errors, require_file, write_bytes
from yolotrt.artifacts.hashing import sha256_bytes, sha256_file
from yolotrt.artifacts.hidden import hidden_name
from yolotrt.backends.base import EngineFile
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.sidecar_file import DOCUMENT, Sidecar
from yolotrt.backends.sidecar_file import FORMAT as FORMAT
from yolotrt.errors import ArtifactError, YoloTrtError
from yolotrt.model.recognise import MODELS, is_model
from yolotrt.text import shell_words

TRUST = "Or, if you know who made it, add --trust (engines can run any code)."

WEIGHTS = (".pt", ".pth", ".yaml", ".yml")
"""Endings of what no backend loads, trusted or not."""

_TICK_NS = 1_000_000
"""What file systems tell apart."""


def sidecar_path(engine: Path) -> Path:
    """Return the sidecar's path: the engine's with ``.json`` appended."""
    return engine.with_name(engine.name + ".json")


def has_sidecar(engine: Path) -> bool:
    """Return whether a sidecar is there; not beside an engine whose name leaves no room for that of one."""
    return os.path.exists(sidecar_path(engine))


def write_engine(file: EngineFile, data: bytes) -> EngineFile:
    """Write an engine and its sidecar, and return the file with its hash filled in.

    Two files cannot change their names at once. So the new sidecar first waits, complete, under a name of
    its own: a process that dies between the two renames leaves a new engine whose sidecar
    :func:`read_engine` finds there, and one that dies or fails before leaves the old pair as it was.

    Raises:
        StorageError: A file cannot be written; an earlier engine and its sidecar are as they were.
    """
    written = EngineFile(**{**vars(file), "sha256": sha256_bytes(data)})
    sidecar, waiting = sidecar_path(file.path), _waiting_path(file.path)
    try:
        DOCUMENT.write(waiting, Sidecar.of(written, len(data)))
        write_bytes(file.path, data)
    except BaseException:
        with contextlib.suppress(OSError):
            waiting.unlink(missing_ok=True)
        raise
    with mapped_os_errors(sidecar):
        _make_newest(waiting, sidecar.parent)
        os.replace(waiting, sidecar)
    return written


def finish_interrupted(engine: Path) -> None:
    """Give an engine the sidecar that a killed :func:`write_engine` left waiting, if it belongs to it.

    Call it while holding the engine's lock.

    Raises:
        StorageError: The sidecar cannot be renamed.
    """
    waiting = _waiting_path(engine)
    if not waiting.exists():
        return
    with mapped_os_errors(waiting):
        if _describes(waiting, engine):
            os.replace(waiting, sidecar_path(engine))
        else:
            waiting.unlink()


def _waiting_path(engine: Path) -> Path:
    return hidden_name(engine, ".json.next")


def _describes(waiting: Path, engine: Path) -> bool:
    try:
        return _read(waiting, engine).sha256 == sha256_file(engine)
    except (YoloTrtError, OSError):
        return False


def prefer(engine: Path) -> None:
    """Let an engine be the newest of its folder, which is the one that is taken if none is named.

    A folder that is read-only stays as it is.
    """
    sidecar = sidecar_path(engine)
    with contextlib.suppress(OSError):
        _make_newest(sidecar, sidecar.parent)


def _make_newest(sidecar: Path, folder: Path) -> None:
    """Let a sidecar be the newest of its folder, though the clock may have been set back since the others."""
    others = [p.stat().st_mtime_ns for p in folder.glob("*.json") if p != sidecar]
    latest = max(others, default=0)
    if sidecar.stat().st_mtime_ns <= latest:
        os.utime(sidecar, ns=(latest + _TICK_NS, latest + _TICK_NS))


def read_engine(path: Path, *, loading: bool = False) -> EngineFile:
    """Read an engine's sidecar and verify the engine's hash against it.

    Args:
        path: The engine.
        loading: It is loaded next, by what hashes the bytes that it loads (:func:`require_unchanged`): they
            need not be hashed twice.

    Raises:
        InputError: The engine is missing or unreadable.
        ArtifactError: It has no sidecar, a damaged one, or bytes that do not match.
    """
    require_file(path, "an engine")
    if _describes(_waiting_path(path), path):
        return _read(_waiting_path(path), path)
    if not has_sidecar(path):
        if path.suffix.lower() in WEIGHTS:
            raise ArtifactError(
                f"{path} holds weights, and an engine is made of them first.", hint=_way_to_an_engine(path)
            )
        raise ArtifactError(
            f"{path} has no sidecar {sidecar_path(path).name}, so nothing says what it is.",
            hint=f"{_way_to_an_engine(path)}\n{TRUST}",
        )
    file = read_sidecar(path)
    if not loading and sha256_file(path) != file.sha256:
        raise _exchanged(file)
    return file


def _exchanged(file: EngineFile) -> ArtifactError:
    # Damaged, it may be built again in its place; something else that was put there may not be lost.
    other = is_model(file.path)
    again = _way_to_an_engine(file.path) if other else f"Build it again: {rebuild_command(file)}"
    return ArtifactError(
        f"{file.path} does not match the hash in its sidecar: it was changed.", hint=f"{again}\n{TRUST}"
    )


def require_unchanged(file: EngineFile, data: bytes) -> bytes:
    """Return the bytes that are about to be loaded if they are still those that were admitted.

    Raises:
        ArtifactError: They are not.
    """
    if sha256_bytes(data) != file.sha256:
        if has_sidecar(file.path) and read_sidecar(file.path).sha256 == file.sha256:
            raise _exchanged(file)  # before it was read, as far as the sidecar tells
        raise ArtifactError(f"{file.path} was changed while it was being loaded.", hint="Run it again.")
    return data


def latest_sidecar(engine: Path) -> EngineFile:
    """Read what is known of an engine, also where its writer was killed before the sidecar got its name.

    Raises:
        InputError: There is no sidecar.
        ArtifactError: It is damaged, foreign, or of another version.
    """
    waiting = _waiting_path(engine)
    if waiting.exists() and _describes(waiting, engine):
        return _read(waiting, engine)
    return read_sidecar(engine)


def read_sidecar(engine: Path) -> EngineFile:
    """Read the sidecar of ``engine`` without looking at the engine itself.

    Raises:
        InputError: There is no sidecar.
        ArtifactError: It is damaged, foreign, or of another version.
    """
    return _read(sidecar_path(engine), engine)


def _way_to_an_engine(path: Path) -> str:
    """Return how to get an engine where a file is none of ours; never in its place."""
    if path.suffix.lower() in MODELS:
        return f"Build an engine from it: yolotrt build {shell_words(str(path))}"
    return "Build an engine: yolotrt build MODEL"


def _read(path: Path, engine: Path) -> EngineFile:
    return DOCUMENT.read(path).describes(engine)
