"""Writing a video so that it is complete or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import atomic_target, ensure_writable
from yolotrt.errors import EnvironmentFault, StorageError

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
"""Video codecs that every OpenCV wheel brings, by the ending of the file name."""

ENDINGS = (*CODECS, ".mov", ".mkv", ".webm", ".m4v")
"""Endings of what can be a video among pictures that are saved."""

Append = Callable[[npt.NDArray[np.uint8]], None]


@contextmanager
def new_film(target: Path, fps: float, wh: tuple[int, int]) -> Iterator[Append]:
    """Give a function that appends a frame; the file is complete under its name when the block ends.

    OpenCV drops frames that it cannot write without a word, so the finished file is opened and its frames
    counted before it gets its name.

    Args:
        target: The video; its ending is one of :data:`CODECS`.
        fps: Frames per second.
        wh: Width and height of every frame, px.

    Raises:
        EnvironmentFault: This OpenCV cannot write such a video.
        StorageError: The file cannot be written, or not all of it.
    """
    ensure_writable(target)
    ending, appended = target.suffix.lower(), 0
    with atomic_target(target, ending) as temporary:  # OpenCV chooses the container by the ending
        sink = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*CODECS[ending]), fps, wh)

        def append(frame: npt.NDArray[np.uint8]) -> None:
            nonlocal appended
            sink.write(frame)
            appended += 1

        try:
            if not sink.isOpened():
                raise EnvironmentFault(
                    f"This OpenCV cannot write {ending} videos.", hint="pip install -U opencv-python-headless"
                )
            yield append
        finally:
            sink.release()
        if _frames(temporary) < appended:
            raise StorageError(
                f"Cannot write {target}: the video came out incomplete.",
                hint="The disk is probably full; free some space and run the command again.",
            )


def _frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count
