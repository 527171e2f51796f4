"""Copies a frame with OpenCV's threads, none of which has to be given the interpreter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from threading import Lock

from yolotrt.arrays import Frame
from yolotrt.timing.clock import Clock, now

Rows = tuple[int, int]
"""The first of some rows, and the one behind the last."""

Arrived = Callable[[int, int], None]
"""Told which rows, from the first to the end, can be uploaded."""

_LOST_NS = 300_000
"""What a band may take longer than the fastest ones let expect. Beyond it OpenCV's threads worked for others,
and the caller's copied alone; to be woken takes them a third of that."""

_ONE_AT_A_TIME = Lock()
"""OpenCV's threads work for one caller of a process at a time; others compute alone meanwhile."""


class OpenCvCopy:
    """OpenCV's threads, as long as they copy faster than ours would.

    Args:
        threads: How many they have to be; some libraries and programs leave OpenCV only one.
        clock: Measures bands.
    """

    def __init__(self, threads: int, clock: Clock = now) -> None:
        self._threads, self._clock = threads, clock
        self._fastest = math.inf  # nanoseconds a byte

    def can(self, frame: Frame, target: Frame) -> bool:
        """Whether OpenCV can copy a frame as it lies, and has the threads."""
        import cv2  # a program that starts has better things to load first

        wide, colours = frame.shape[1:]
        lies_in_rows = frame.strides[1:] == (colours, 1) and frame.strides[0] >= wide * colours
        return lies_in_rows and frame.shape == target.shape and cv2.getNumThreads() >= self._threads

    def copy(self, frame: Frame, target: Frame, bands: Sequence[Rows], arrived: Arrived) -> int:
        """Copy bands of rows, one after another, each with all threads.

        Returns:
            Rows that were copied: the rest is for other threads, since somebody else has these.
        """
        import cv2

        if not _ONE_AT_A_TIME.acquire(blocking=False):
            return 0
        try:
            for first, end in bands:
                rows = frame[first:end]
                begin = self._clock()
                # Its copy uses one thread. This uses all, and changes nothing: numbers above 0 stay.
                cv2.threshold(rows, 0, 0, cv2.THRESH_TOZERO, target[first:end])
                spent = self._clock() - begin
                arrived(first, end)
                self._fastest = min(self._fastest, spent / rows.nbytes)
                if spent - self._fastest * rows.nbytes > _LOST_NS:
                    return end
            return len(frame)
        finally:
            _ONE_AT_A_TIME.release()
