"""Copies frames into page-locked memory, in the order in which their rows are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count, pairwise
from queue import SimpleQueue

import numpy as np

from yolotrt.arrays import Frame

_COPY_ALONE = 1 << 20
"""Bytes below which dealing the copy out costs more than it gains."""

_BANDS = 8
"""Bands of a frame at least, where it is copied by several threads: one goes up while the next is copied."""

Arrived = Callable[[int, int], None]
"""Told which rows, from the first to the end, can be uploaded."""


class Staging:
    """Threads that copy frames.

    All of them copy a part of one band before they go on to the next, so that the first rows are there first.

    Args:
        threads: How many, the caller's own among them: waking another takes longer than its part of a copy.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="yolotrt-copy")

    def run(self, frame: Frame, target: Frame, bounds: Sequence[int], arrived: Arrived) -> None:
        """Copy a frame, and say of each band when it is there.

        Args:
            frame: The frame; if it is ``target`` itself, nothing is copied.
            target: Page-locked memory.
            bounds: Rows up to which work waits, in order; the last is the frame's height.
            arrived: Told in order, by the calling thread.
        """
        there = frame.ctypes.data == target.ctypes.data
        if frame.nbytes < _COPY_ALONE:
            if not there:
                np.copyto(target, frame)
            arrived(0, len(frame))
        elif there:
            for band in pairwise([0, *bounds]):
                arrived(*band)
        else:
            self._copy(frame, target, _bands(bounds), arrived)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _copy(self, frame: Frame, target: Frame, bands: list[tuple[int, int]], arrived: Arrived) -> None:
        threads = self.threads
        parts_done = [count(1) for _ in bands]  # stepping one is a single operation of the interpreter
        done: SimpleQueue[int | BaseException] = SimpleQueue()

        def copy(thread: int, band: int) -> None:
            first, end = bands[band]
            part = slice(
                first + (end - first) * thread // threads, first + (end - first) * (thread + 1) // threads
            )
            np.copyto(target[part], frame[part])
            if next(parts_done[band]) == threads:
                done.put(band)

        def work(thread: int) -> None:
            try:
                for band in range(len(bands)):
                    copy(thread, band)
            except BaseException as exc:
                done.put(exc)

        others = [self._pool.submit(work, thread) for thread in range(1, threads)]
        try:
            ready: set[int] = set()
            told = 0
            for band in range(len(bands)):
                copy(0, band)
                while not done.empty():
                    told = _tell(done.get(), ready, told, bands, arrived)
            while told < len(bands):
                told = _tell(done.get(), ready, told, bands, arrived)
        finally:
            wait(others)  # whoever handles an error frees the memory that they write to


def _tell(
    news: int | BaseException, ready: set[int], told: int, bands: list[tuple[int, int]], arrived: Arrived
) -> int:
    """Take a band that is there, tell of all that are next, and return how many have been told of."""
    if isinstance(news, BaseException):
        raise news
    ready.add(news)
    while told in ready:
        arrived(*bands[told])
        told += 1
    return told


def _bands(bounds: Sequence[int]) -> list[tuple[int, int]]:
    """Return bands that end at all bounds, none of them larger than a part of the frame."""
    most = max(1, -(-bounds[-1] // _BANDS))
    ends = [0]
    for bound in bounds:
        pieces = -(-(bound - ends[-1]) // most)
        first = ends[-1]
        ends += [first + (bound - first) * (i + 1) // pieces for i in range(pieces)]
    return list(pairwise(ends))
