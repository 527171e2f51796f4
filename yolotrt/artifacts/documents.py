"""Versioned JSON documents: sidecars, caches, manifests and results.

Each file says what it is (``format``) and in which version (``version``), so that a foreign,
truncated or newer file is recognised instead of being half-understood.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import require_file, write_text
from yolotrt.errors import ArtifactError

MAX_BYTES = 256 * 1024 * 1024
"""Documents of ours are far smaller; a larger file is not one of them."""


MAX_DIGITS = 19
"""Whole numbers are at most those of 64 bits and a sign."""


def write_document(target: Path, *, format: str, version: int, body: Mapping[str, Any]) -> Path:
    """Write ``body`` as an indented JSON document, atomically.

    Raises:
        StorageError: The file cannot be written; see :func:`yolotrt.artifacts.files.atomic_target`.
    """
    document = {"format": format, "version": version, **body}
    return write_text(target, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_document(path: Path, *, format: str, version: int) -> dict[str, Any]:
    """Read a document of exactly this format and version.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is not valid JSON, not of this format, or of another version.
    """
    return require_document(path, read_json(path), format=format, version=version)


def require_document(path: Path, document: Any, *, format: str, version: int) -> dict[str, Any]:
    """Return what was read from ``path`` if it is a document of exactly this format and version.

    Raises:
        ArtifactError: It is not.
    """
    if not isinstance(document, dict) or document.get("format") != format:
        raise ArtifactError(f"{path} is not a {format} file.")
    if document.get("version") != version:
        raise ArtifactError(
            f"{path} is {format} version {document.get('version')!r}; this yolotrt reads version {version}.",
            hint="Make it again with this yolotrt.",
        )
    return document


def read_json(path: Path, label: str | None = None) -> Any:
    """Read any JSON file within sane limits; NaN and Infinity are refused.

    Args:
        path: The file.
        label: What to call it where its content is at fault; the path if None.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is too large, not UTF-8, not JSON, or nested too deeply.
    """
    require_file(path, "a JSON file")
    if path.stat().st_size > MAX_BYTES:
        raise ArtifactError(
            f"{label or path} is larger than {MAX_BYTES >> 20} MiB and cannot be one of ours."
        )

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a JSON number")

    def whole(text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a whole number of {len(text)} digits")
        return int(text)

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is out of range")
        return value

    try:
        return json.loads(
            path.read_text(encoding="utf-8"), parse_constant=refuse, parse_float=finite, parse_int=whole
        )
    except (ValueError, RecursionError) as exc:
        raise ArtifactError(
            f"{label or path} is not valid JSON ({exc}).", hint="It may be truncated; make it again."
        ) from exc
