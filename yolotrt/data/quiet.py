"""Keep OpenCV's own words off the terminal: ours say what matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SILENT = 0
"""OpenCV's LOG_LEVEL_SILENT, which has a name only from 4.13 on."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let OpenCV say nothing while the block runs."""
    import cv2

    # OpenCV 4.13 moved it.
    set_level: Any = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    level = set_level(_SILENT)
    try:
        yield
    finally:
        set_level(level)
