"""ONNX files that were exported here: whose they are, and where they go without being told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.artifacts.kinds import Kind
from yolotrt.artifacts.naming import default_place, is_recorded
from yolotrt.errors import StorageError, YoloTrtError
from yolotrt.model.onnxfile import load_onnx, metadata

WEIGHTS = "Ultralytics weights (.pt) or a model .yaml"
"""What is exported, for messages."""


def default_target(weights: Path, folder: Path) -> Path:
    """Return the ONNX file that weights are exported to, apart from those of other weights of that name.

    Raises:
        InputError: The weights are missing or unreadable.
    """
    require_file(weights, WEIGHTS)
    return default_place(
        folder,
        weights.stem,
        ".onnx",
        weights,
        lambda found: _is_made_from(found, weights, sha256_file(weights)),
    )


def _properties(path: Path) -> dict[str, str]:
    """Return what an export of ours says of itself; nothing of any other file."""
    try:
        found = metadata(load_onnx(path))
    except YoloTrtError:
        return {}
    return found if {"source_sha256", "version_yolotrt"} <= found.keys() else {}


EXPORTED = Kind("an ONNX file that yolotrt exported", lambda path: bool(_properties(path)))


def _is_made_from(target: Path, weights: Path, sha256: str) -> bool:
    found = _properties(target)
    return found.get("source_sha256") == sha256 or is_recorded(found.get("source_file"), weights)


def mind_other_weights(
    target: Path, weights: Path, sha256: str, waited: bool, say: Callable[[str], None]
) -> None:
    """Say that the export of other weights is about to be replaced.

    Args:
        target: The ONNX file that is about to be written.
        weights: What is exported.
        sha256: Its content.
        waited: Another process has just finished with this file.
        say: Told what is replaced.

    Raises:
        StorageError: Another process has just made it.
    """
    found = _properties(target) if target.exists() else {}
    if not found or found["source_sha256"] == sha256:
        return
    other = found.get("source_file", "other weights")
    if waited:
        raise StorageError(
            f"Another process has just exported {target} from other weights ({other}).",
            hint="Run the command again: it takes another name; or name one with -o.",
        )
    which = f"what {other} held earlier" if is_recorded(other, weights) else f"other weights ({other})"
    say(f"note: {target} was exported from {which}; it is replaced.")
