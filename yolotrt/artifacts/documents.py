"""Versioned JSON documents: sidecars, caches, manifests and results.

Each file says what it is (``format``) and in which version (``version``), so that a foreign,
truncated or newer file is recognised instead of being half-understood.
"""

from __future__ import annotations

import codecs
import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import require_file, write_text
from yolotrt.errors import ArtifactError, InputError

MAX_BYTES = 256 * 1024 * 1024
"""Documents of ours are far smaller; a larger file is not one of them."""


_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

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
        found = reprlib.repr(document.get("version"))
        raise ArtifactError(
            f"{path} is {format} version {found}; this yolotrt reads version {version}.",
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
    text = read_json_text(path, label)

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
        return json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except (ValueError, RecursionError) as exc:
        raise ArtifactError(
            f"{label or path} is not valid JSON ({exc}).", hint="It may be truncated; make it again."
        ) from exc


def read_json_text(path: Path, label: str | None = None, *, max_bytes: int = MAX_BYTES) -> str:
    """Read the text of a JSON file; a byte order mark of UTF-8 is dropped.

    Args:
        path: The file.
        label: What to call it where its content is at fault; the path if None.
        max_bytes: A larger file is refused before it is read.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is too large, or not UTF-8.
    """
    require_file(path, "a JSON file")
    if path.stat().st_size > max_bytes:
        ours = " and cannot be one of ours" if max_bytes == MAX_BYTES else ""
        raise ArtifactError(
            f"{label or path} is larger than {max_bytes >> 20} MiB{ours}.",
            hint="Split it, and give the parts one by one." if not ours else None,
        )
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path} cannot be read ({exc.strerror}).", hint="Check the file.") from exc
    for mark, encoding in _OTHER_MARKS:
        if data.startswith(mark):
            raise ArtifactError(
                f"{label or path} is {encoding} text, as its byte order mark says, and JSON is UTF-8.",
                hint="Save it as UTF-8.",
            )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ArtifactError(
            f"{label or path} is not UTF-8 text ({exc.reason} at byte {exc.start}).",
            hint="Save it as UTF-8; if it was UTF-8, it is damaged.",
        ) from exc
