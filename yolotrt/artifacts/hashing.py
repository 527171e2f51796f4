"""sha256 of files and of structured content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_sha256(text: str) -> bool:
    """Return whether a text is a hash as these functions write it."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Return the sha256 of ``data`` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def content_key(parts: Mapping[str, Any]) -> str:
    """Return a sha256 over named JSON values, independent of their order.

    Two artefacts with the same key were made from the same inputs by the same settings.
    """
    return sha256_bytes(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode())
