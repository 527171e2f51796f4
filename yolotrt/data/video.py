"""Moving sources: video files, network streams, folders of images, as if they were cameras."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from yolotrt.arrays import Frame
from yolotrt.data.images import read_image
from yolotrt.data.named import Live, Stills, VideoPath, label, named
from yolotrt.data.quiet import quiet
from yolotrt.data.video_file import VideoFile, VideoFrameAt
from yolotrt.errors import InputError, UsageError
from yolotrt.timing.clock import now, seconds_between

TIMEOUT_S = 5.0
"""A stream that gives nothing for this long counts as interrupted."""


class MovingSource(Protocol):
    """Gives frames one after another.

    Attributes:
        name: What it is called in messages; without passwords.
        live: Whether it goes on by itself: a missing frame is lost, and an end is an interruption.
        fps: Frames per second that it says it has, or None.
        time_s: When the frame that was read last is shown, seconds since the first; None where only the
            rate says it.
    """

    name: str
    live: bool
    fps: float | None
    time_s: float | None

    def open(self) -> None:
        """Open it, again if need be.

        Raises:
            InputError: There is nothing to open.
        """
        ...

    def read(self) -> Frame | None:
        """Return the next (h, w, 3) uint8 BGR frame, or None at an end or interruption."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...

    def remarks(self) -> tuple[str, ...]:
        """Return what is wrong with it as far as it was read."""
        ...


def moving_source(texts: str | Sequence[str], *, timeout_s: float = TIMEOUT_S) -> MovingSource:
    """Return the source of one or several names; nothing is opened yet.

    Args:
        texts: See :func:`yolotrt.data.named.named`. Several pictures and folders play one after another.
        timeout_s: How long a stream may give nothing.

    Raises:
        InputError: A path does not exist, or cannot be read.
        ImageError: A folder holds no images.
        UsageError: More than one video, camera or stream.
    """
    found = named(texts)
    if len(found) != 1:
        raise UsageError(
            f"{label(texts)} are {len(found)} sources, and one is run at a time.",
            hint="Name one video, camera or stream, or pictures and folders of pictures alone.",
        )
    (one,) = found
    if isinstance(one, Live):
        return live_source(one, timeout_s=timeout_s)
    if isinstance(one, VideoPath):
        return FileSource(one.path)
    if isinstance(one, Stills):
        return FolderSource(one.name, list(one.paths.values()))
    raise UsageError(
        "The synthetic frame does not move.", hint="Make a video of it: yolotrt scenes --video street.mp4"
    )


def live_source(found: Live, *, timeout_s: float = TIMEOUT_S) -> StreamSource:
    """Return a camera or stream; nothing is opened yet."""
    return StreamSource(found.name, found.address, timeout_s=timeout_s)


class FileSource:
    """A video file."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.fps: float | None = None
        self.time_s: float | None = None
        self._path = path
        self._video: VideoFile | None = None
        self._coming: Iterator[VideoFrameAt] = iter(())
        self._remarks: tuple[str, ...] = ()

    def open(self) -> None:
        """Begin with the first frame; see :class:`MovingSource`."""
        self.close()
        self._video = VideoFile(self._path)
        self.fps, self._coming = self._video.fps, self._video.frames()

    def read(self) -> Frame | None:
        """Return the next frame, or None after the last."""
        found = next(self._coming, None)
        if found is None:
            self._remarks = () if self._video is None else self._video.remarks()
            return None
        self.time_s = found.moment.time_s
        return found.image

    def close(self) -> None:
        """Close the file."""
        self._coming = iter(())
        if self._video is not None:
            self._video.close()
            self._video = None

    def remarks(self) -> tuple[str, ...]:
        """Return what was wrong with the file, once it was read to its end."""
        return self._remarks


class StreamSource:
    """A network stream or a camera of this machine.

    Streams go through OpenCV's FFmpeg, the one whose timeouts hold on every kind of stream; cameras through
    Video4Linux.
    """

    live = True

    def __init__(self, name: str, address: int | str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = name
        self.fps: float | None = None
        self.time_s: float | None = None
        self._address, self._timeout_ms = address, round(timeout_s * 1e3)
        self._capture: Any = None

    def open(self) -> None:
        """Open it; see :class:`MovingSource`."""
        self.close()
        # FFmpeg's own messages would mix with ours; ours say what matters.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        options = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self._timeout_ms,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._timeout_ms,
        ]  # fmt: skip
        local = isinstance(self._address, int)
        with quiet():
            capture = (
                cv2.VideoCapture(self._address, cv2.CAP_V4L2)
                if local
                else cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, options)
            )
        if not capture.isOpened():
            capture.release()
            if local:
                raise InputError(
                    f"{self.name} cannot be opened: /dev/video{self._address} is not there, gives nothing, "
                    "or is used by another program.",
                    hint="List them with: ls /dev/video*",
                )
            raise InputError(
                f"{self.name} cannot be opened as a video.",
                hint="Try it with ffprobe; check the address, the password and the network.",
            )
        self._capture = capture
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps < 1000 else None  # OpenCV says 0, or 90000 for some streams

    def read(self) -> Frame | None:
        """Return the next frame; see :class:`MovingSource`."""
        if self._capture is None:
            return None
        begin = now()
        with quiet():
            done, frame = self._capture.read()
        if seconds_between(begin, now()) * 1e3 >= self._timeout_ms:
            # After a timeout OpenCV still gives what the decoder held: late, and each after another.
            return None
        return np.ascontiguousarray(frame, dtype=np.uint8) if done and frame is not None else None

    def close(self) -> None:
        """Close the connection."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def remarks(self) -> tuple[str, ...]:
        """Return nothing: what a stream lost is counted while it is read."""
        return ()


class FolderSource:
    """Pictures, each once, in their order."""

    live = False
    fps: float | None = None
    time_s: float | None = None

    def __init__(self, name: str, paths: list[Path]) -> None:
        self.name, self._paths = name, paths
        self._coming: Iterator[Path] = iter(())

    def open(self) -> None:
        """Begin with the first image."""
        self._coming = iter(self._paths)

    def read(self) -> Frame | None:
        """Return the next image, or None after the last."""
        path = next(self._coming, None)
        return None if path is None else read_image(path)

    def close(self) -> None:
        """Nothing is held."""

    def remarks(self) -> tuple[str, ...]:
        """Return nothing: what cannot be read is an error."""
        return ()
