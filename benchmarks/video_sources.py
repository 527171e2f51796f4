"""Sources that are measured against the package's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from yolotrt.arrays import Frame
from yolotrt.data.video_file import Moment


class OpenCvFile:
    """A video through OpenCV, as ``run`` read it once: frames on the host."""

    live = False
    fps: float | None = None
    moment: Moment | None = None

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        self._capture: Any = None

    def open(self) -> None:
        """Open it."""
        self._capture = cv2.VideoCapture(self.name, cv2.CAP_FFMPEG)

    def read(self) -> Frame | None:
        """Return the next frame, or None after the last."""
        there, frame = self._capture.read()
        return frame if there else None

    def close(self) -> None:
        """Close it."""
        self._capture = None

    def remarks(self) -> tuple[str, ...]:
        """Return nothing."""
        return ()
