"""Default names of what is made from a model: two models of one name do not share them.

Every training of Ultralytics writes ``best.pt``. What is made from the first such file gets the plain name,
``best.onnx``; what another one makes gets a name with a tag of where that file lies, so that the same file
with new content, after another training, replaces only what it made before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from yolotrt.artifacts.files import real
from yolotrt.artifacts.hashing import sha256_bytes


def default_place(
    folder: Path, stem: str, ending: str, source: Path, belongs: Callable[[Path], bool]
) -> Path:
    """Return where something that is made from ``source`` is kept.

    Args:
        folder: The folder.
        stem: The model's name.
        ending: What follows it, such as ``.int8.onnxruntime.onnx``.
        source: The model's file.
        belongs: Whether an existing file was made from the same model, whatever its content then.
    """
    plain = folder / f"{stem}{ending}"
    if not os.path.exists(plain) or belongs(plain):
        return plain
    return folder / f"{stem}-{tag_of(source)}{ending}"


def tag_of(source: Path) -> str:
    """Return eight hex digits for where a file lies."""
    return sha256_bytes(str(real(source)).encode("utf-8", "surrogateescape"))[:8]


def is_recorded(name: str | None, source: Path) -> bool:
    """Return whether a path that was written down once, as it was typed, is that of ``source``."""
    return name is not None and real(Path(name)) == real(source)
