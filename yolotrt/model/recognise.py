"""Whether a file is a network or weights, told by its content."""

from __future__ import annotations

from pathlib import Path

from yolotrt.artifacts.kinds import head_of
from yolotrt.errors import YoloTrtError

MODELS = (".onnx", ".pt", ".yaml", ".yml")
"""Endings of files that an engine can be built from."""

_ARCHIVE = b"PK\x03\x04"
"""What weights of torch begin with."""


def is_model(path: Path) -> bool:
    """Return whether a file is a whole ONNX network, or weights: what no engine of ours may replace."""
    from yolotrt.model.onnxfile import load_onnx

    if head_of(path).startswith(_ARCHIVE):
        return True
    try:
        load_onnx(path)
    except YoloTrtError:
        return False
    return True
