"""Copies frames into page-locked memory, the first rows first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Literal

import numpy as np

from yolotrt.arrays import Frame

_COPY_ALONE = 1 << 20
"""Bytes below which dealing the copy out costs more than it gains."""

Arrived = Callable[[int, int], None]
"""Told which rows, from the first to the end, can be uploaded."""

Rows = tuple[int, int]
"""The first row and the end."""

_Done = SimpleQueue[int | Literal["ended"] | BaseException]
"""Numbers of bands that are copied; a thread's last word is that it has ended, or why it failed."""


@dataclass
class _Copy:
    """A frame on its way: each thread copies its share of every band.

    Attributes:
        frame: Where it is.
        target: Where it goes.
        bands: In order.
        threads: How many copy.
        done: Told of bands and threads.
        shares: For each band an entry by each thread that has copied its share.
    """

    frame: Frame
    target: Frame
    bands: Sequence[Rows]
    threads: int
    done: _Done = field(default_factory=SimpleQueue)
    shares: list[list[int]] = field(default_factory=list)

    def work(self, thread: int) -> None:
        """Copy a thread's shares. Whoever completes a band says so; that two do does no harm."""
        try:
            for band, (first, end) in enumerate(self.bands):
                begin, stop = (first + (end - first) * n // self.threads for n in (thread, thread + 1))
                np.copyto(self.target[begin:stop], self.frame[begin:stop])
                self.shares[band].append(thread)
                if len(self.shares[band]) == self.threads:
                    self.done.put(band)
            self.done.put("ended")
        except BaseException as exc:
            self.done.put(exc)


class Staging:
    """Threads that copy frames.

    Args:
        threads: How many. With several, the caller's own is free to start what can run on the rows that are
            there; if it is the only one, it does both in turn.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._inboxes: list[SimpleQueue[_Copy | None]] = []

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
        large = frame.nbytes >= _COPY_ALONE
        if in_place:
            for band in pairwise([0, *bounds] if large else [0, height]):
                arrived(*band)
            return
        bands = bands_of(bounds) if large else [(0, height)]
        if len(bands) == 1 or self.threads == 1:
            for first, end in bands:
                np.copyto(target[first:end], frame[first:end])
                arrived(first, end)
            return
        self._copy(_Copy(frame, target, bands, self.threads, shares=[[] for _ in bands]), arrived)

    def close(self) -> None:
        """End the threads."""
        while self._inboxes:
            self._inboxes.pop().put(None)

    def _copy(self, copy: _Copy, arrived: Arrived) -> None:
        inboxes, bands, done = self._threads(), copy.bands, copy.done
        ready: set[int] = set()
        told = ended = asked = 0
        try:
            for inbox in inboxes:
                asked += 1
                inbox.put(copy)
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

    def _threads(self) -> list[SimpleQueue[_Copy | None]]:
        """Return the inboxes of the threads, which are started for the first frame that is copied."""
        if not self._inboxes:
            started: list[SimpleQueue[_Copy | None]] = []
            for number in range(self.threads):
                started.append(SimpleQueue())
                Thread(target=_work, args=(started[-1], number), name="yolotrt-copy", daemon=True).start()
            self._inboxes = started
        return self._inboxes


def bands_of(bounds: Sequence[int]) -> list[Rows]:
    """Return the bands in which a frame is copied: what work waits for, the first and the last in halves.

    So the upload begins early and ends soon behind the copy. More of them cost more than they gain, since
    each thread has to be given the interpreter behind each.
    """
    spans = list(pairwise([0, *bounds]))
    halved = {0, len(spans) - 1}
    cuts = [0]
    for number, (first, end) in enumerate(spans):
        cuts += [(first + end) // 2, end] if number in halved else [end]
    return [(first, end) for first, end in pairwise(cuts) if first < end]


def _work(inbox: SimpleQueue[_Copy | None], thread: int) -> None:
    """Copy until there is no more work."""
    while (job := inbox.get()) is not None:
        job.work(thread)
        job = None  # no frame is held while it waits
