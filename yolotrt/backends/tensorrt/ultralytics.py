"""Ultralytics' engine files: 4 bytes of length, JSON metadata, then the TensorRT engine itself.

Format as written by ``ultralytics.utils.export.engine`` (little-endian length). Engines that trtexec
or yolotrt made start with the engine at once.
"""

from __future__ import annotations

import json
import re

MAX_METADATA_BYTES = 1 << 20
"""Ultralytics' metadata is a few kilobytes; a larger length is not one."""


_INDEX = re.compile(r"[0-9]{1,6}")


def split(data: bytes) -> tuple[dict[str, str], bytes]:
    """Return the metadata (empty if there is none) and the engine of a file's content.

    Values are texts as in an exported ONNX file, so that both can be read alike.
    """
    length = int.from_bytes(data[:4], "little")
    if not 2 <= length <= min(MAX_METADATA_BYTES, len(data) - 4) or data[4:5] != b"{":
        return {}, data
    try:
        found = json.loads(data[4 : 4 + length])
    except (ValueError, RecursionError):
        return {}, data
    return {str(k): _text(k, v) for k, v in found.items()}, data[4 + length :]


def _text(key: str, value: object) -> str:
    """Return class names as a Python literal with whole numbers for keys: JSON made texts of them."""
    if key == "names" and isinstance(value, dict):
        return repr({int(k): v for k, v in value.items() if _INDEX.fullmatch(str(k))})
    return str(value)
