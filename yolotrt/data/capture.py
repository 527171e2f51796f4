"""Cameras of this machine, and streams where it is asked for: OpenCV's decoder."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from yolotrt.arrays import Frame
from yolotrt.data.quiet import quiet
from yolotrt.data.timeline import LiveTimeline
from yolotrt.data.video_file import Moment
from yolotrt.errors import InputError
from yolotrt.timing.clock import now, seconds_between


class Capture:
    """A camera through Video4Linux, or a network stream through OpenCV's FFmpeg.

    See :class:`yolotrt.data.video.MovingSource`. OpenCV says neither the tags of colours nor time stamps that
    can be told from times of its own: frames are timed when they are read.
    """

    live = True

    def __init__(self, name: str, address: int | str, *, timeout_s: float) -> None:
        self.name = name
        self.fps: float | None = None
        self.moment: Moment | None = None
        self._address, self._timeout_ms = address, round(timeout_s * 1e3)
        self._capture: Any = None
        self._timeline, self._first_ns = LiveTimeline(), 0

    def open(self) -> None:
        """Open it; see :class:`yolotrt.data.video.MovingSource`."""
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
        """Return the next frame; see :class:`yolotrt.data.video.MovingSource`."""
        if self._capture is None:
            return None
        begin = now()
        with quiet():
            done, frame = self._capture.read()
        end = now()
        if seconds_between(begin, end) * 1e3 >= self._timeout_ms:
            # After a timeout OpenCV still gives what the decoder held: late, and each after another.
            return None
        if not done or frame is None:
            return None
        self._first_ns = self._first_ns or end
        index = 0 if self.moment is None else self.moment.index + 1
        time_s = self._timeline.place(None, seconds_between(self._first_ns, end))
        self.moment = Moment(index, time_s, None)
        return np.ascontiguousarray(frame, dtype=np.uint8)

    def close(self) -> None:
        """Close the connection."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def remarks(self) -> tuple[str, ...]:
        """Return nothing: what a stream lost is counted while it is read."""
        return ()
