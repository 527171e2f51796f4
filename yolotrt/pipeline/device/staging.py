"""Copies frames into page-locked memory, the first rows first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from queue import SimpleQueue

import numpy as np

from yolotrt.arrays import Frame

_COPY_ALONE = 1 << 20
"""Bytes below which dealing the copy out costs more than it gains."""

_BANDS = 16
"""Bands in which a frame is copied: some go up while others are copied. More of them cost more than they
gain, probably since a thread has to be given the interpreter behind each."""

Arrived = Callable[[int, int], None]
"""Told which rows, from the first to the end, can be uploaded."""


class Staging:
    """Threads that copy frames.

    Args:
        threads: How many. With several, the caller's own is free to start what can run on the rows that are
            there; if it is the only one, it does both in turn.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="yolotrt-copy")

    def run(self, frame: Frame, target: Frame, bounds: Sequence[int], arrived: Arrived) -> None:
        """Copy a frame, and say of each band when it is there.

        Args:
            frame: The frame; if it is ``target`` itself, nothing is copied.
            target: Page-locked memory.
            bounds: Rows up to which work waits, in order; the last is the frame's height.
            arrived: Told in order, by the calling thread.
        """
        height = len(frame)
        in_place = frame.ctypes.data == target.ctypes.data
        if (
            in_place and frame.strides != target.strides
        ):  # the same memory, turned: it cannot be read while written
            frame, in_place = frame.copy(), False
        if in_place:
            for band in pairwise([0, *bounds] if frame.nbytes >= _COPY_ALONE else [0, height]):
                arrived(*band)
            return
        count = min(_BANDS, height) if frame.nbytes >= _COPY_ALONE else 1
        bands = list(pairwise(height * i // count for i in range(count + 1)))
        if count == 1 or self.threads == 1:
            for first, end in bands:
                np.copyto(target[first:end], frame[first:end])
                arrived(first, end)
            return
        self._copy(frame, target, bands, arrived)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _copy(self, frame: Frame, target: Frame, bands: list[tuple[int, int]], arrived: Arrived) -> None:
        done: SimpleQueue[int | BaseException] = SimpleQueue()

        def work(thread: int) -> None:
            try:
                for number in range(thread, len(bands), self.threads):
                    first, end = bands[number]
                    np.copyto(target[first:end], frame[first:end])
                    done.put(number)
            except BaseException as exc:
                done.put(exc)

        copying = [self._pool.submit(work, thread) for thread in range(self.threads)]
        try:
            ready: set[int] = set()
            told = 0
            while told < len(bands):
                _take(done, ready)
                next_one = told
                while next_one in ready:
                    next_one += 1
                if next_one > told:  # as one: each call keeps the interpreter from the threads
                    arrived(bands[told][0], bands[next_one - 1][1])
                    told = next_one
        finally:
            wait(copying)  # whoever handles an error frees the memory that they write to


def _take(done: SimpleQueue[int | BaseException], ready: set[int]) -> None:
    """Wait for a band that is done, and take all others that are, too."""
    while True:
        news = done.get()
        if isinstance(news, BaseException):
            raise news
        ready.add(news)
        if done.empty():
            return
