"""Copies frames into page-locked memory, the first rows first."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Literal

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.pipeline.device.opencv_copy import Arrived, OpenCvCopy, Rows

_COPY_ALONE = 1 << 20
"""Bytes below which dealing the copy out costs more than it gains."""

_SHARED_BANDS = 4
"""Where OpenCV's threads copy a frame they share each band, and bands arrive one after another: a band ends
where work can start, and has at most this part of the frame's rows."""

_BANDS = 24
"""Bands in which our own threads copy a frame, one thread a band: some go up while others are copied. More of
them cost more than they gain, since a thread has to be given the interpreter behind each."""

_MOST_THREADS = 8
"""Threads that copy a frame into page-locked memory. One cannot use the memory's bandwidth, and more than
these gained nothing: ``staging`` of ``python -m benchmarks.bench_gpu``."""

_Band = tuple[int, Frame, Frame]
"""Number of a band, where its rows go, and the rows."""

_Done = SimpleQueue[int | Literal["ended"] | BaseException]
"""Numbers of bands that are copied; a thread's last word is that it has ended, or why it failed."""


def copy_threads() -> int:
    """Return how many threads copy frames here."""
    return max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0)) // 2))


class Staging:
    """Threads that copy frames.

    Args:
        threads: How many, where OpenCV has fewer or they are busy. With several, the caller's own is free to
            start what can run on the rows that are there; if it is the only one, it does both in turn.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._opencv = OpenCvCopy(threads)
        self._inboxes: list[SimpleQueue[tuple[_Done, list[_Band]] | None]] = []

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
        in_place = in_place and frame.strides == target.strides
        if not in_place and np.may_share_memory(frame, target):  # turned: not to be read while it is written
            frame = frame.copy()
        if in_place:
            for band in pairwise([0, *bounds] if frame.nbytes >= _COPY_ALONE else [0, height]):
                arrived(*band)
            return
        if frame.nbytes < _COPY_ALONE:
            np.copyto(target, frame)
            arrived(0, height)
            return
        there = 0
        if self.threads > 1 and self._opencv.can(frame, target):
            bands = [b for rows in pairwise([0, *bounds]) for b in _bands(rows, height / _SHARED_BANDS)]
            there = self._opencv.copy(frame, target, bands, arrived)
        if there < height:
            self._copy(frame, target, _bands((there, height), height / _BANDS), arrived)

    def copy_parts(self, parts: Sequence[tuple[Frame, Frame]]) -> None:
        """Copy the second of each pair to the first, and wait until all are there."""
        if self.threads == 1 or sum(source.nbytes for _, source in parts) < _COPY_ALONE:
            for target, source in parts:
                np.copyto(target, source)
            return
        done: _Done = SimpleQueue()
        numbered = [(i, *part) for i, part in enumerate(parts)]
        for number, inbox in enumerate(self._threads()):
            inbox.put((done, numbered[number :: self.threads]))
        ends: list[str | BaseException] = []
        while len(ends) < self.threads:  # all of them, even if one has failed: they write to the memory
            news = done.get()
            if not isinstance(news, int):
                ends.append(news)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    def close(self) -> None:
        """End the threads."""
        while self._inboxes:
            self._inboxes.pop().put(None)

    def _copy(self, frame: Frame, target: Frame, bands: list[Rows], arrived: Arrived) -> None:
        """Copy bands, each by one of our threads; by the caller's if there is no other."""
        if self.threads == 1:
            for first, end in bands:
                np.copyto(target[first:end], frame[first:end])
                arrived(first, end)
            return
        done: _Done = SimpleQueue()
        parts = [(i, target[first:end], frame[first:end]) for i, (first, end) in enumerate(bands)]
        inboxes = self._threads()
        ready: set[int] = set()
        told = ended = asked = 0
        try:
            for number, inbox in enumerate(inboxes):  # all at once: each has the interpreter once a band
                asked += 1
                inbox.put((done, parts[number :: self.threads]))
            while told < len(bands):
                news = done.get()
                if news == "ended":
                    ended += 1
                elif isinstance(news, BaseException):
                    ended += 1
                    raise news
                else:
                    ready.add(news)
                next_one = told
                while next_one in ready:
                    next_one += 1
                # All that is there as one: each call keeps the interpreter from the threads.
                if next_one > told and done.empty():
                    arrived(bands[told][0], bands[next_one - 1][1])
                    told = next_one
        except BaseException:
            while ended < asked:  # whoever handles an error frees the memory that they write to
                ended += not isinstance(done.get(), int)
            raise

    def _threads(self) -> list[SimpleQueue[tuple[_Done, list[_Band]] | None]]:
        """Return the inboxes of the threads, which are started for the first frame that is copied."""
        if not self._inboxes:
            started: list[SimpleQueue[tuple[_Done, list[_Band]] | None]] = []
            for _ in range(self.threads):
                started.append(SimpleQueue())
                Thread(target=_work, args=(started[-1],), name="yolotrt-copy", daemon=True).start()
            self._inboxes = started
        return self._inboxes


def _work(inbox: SimpleQueue[tuple[_Done, list[_Band]] | None]) -> None:
    """Copy bands until there is no more work."""
    while (job := inbox.get()) is not None:
        done, parts = job
        try:
            for number, target, source in parts:
                np.copyto(target, source)
                done.put(number)
            done.put("ended")
        except BaseException as exc:
            done.put(exc)
        job = parts = target = source = None  # type: ignore[assignment]  # no frame is held while it waits


def _bands(rows: Rows, most: float) -> list[Rows]:
    """Cut rows into as few equal bands as have no more than so many rows each, or one."""
    first, end = rows
    count = max(1, min(end - first, math.ceil((end - first) / most)))
    return list(pairwise(first + (end - first) * i // count for i in range(count + 1)))
