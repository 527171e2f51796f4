"""A thread that reads a moving source into a short queue, so that nobody waits for a camera."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from yolotrt.arrays import Frame
from yolotrt.data.video import MovingSource
from yolotrt.errors import UsageError, YoloTrtError
from yolotrt.timing.clock import Clock, now, seconds_between

DropPolicy = Literal["latest", "block"]
DROP_POLICIES: tuple[DropPolicy, ...] = ("latest", "block")

CAPACITY = 2
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 5.0


@dataclass(frozen=True)
class Queued:
    """A frame and when it was read, in ns of the clock."""

    frame: Frame
    read_ns: int


@dataclass(frozen=True)
class FeedCounts:
    """What a feed has seen.

    Attributes:
        read: Frames that came from the source at the wanted rate.
        skipped: Frames of a live source that came sooner than that.
        dropped: Frames read that were thrown away because newer ones came.
        interruptions: Times that a live source stopped giving frames.
        reconnects: Times that it was opened again.
        longest_gap_s: Longest time between two frames, seconds.
        sizes: Frame sizes in px, in the order in which they first came.
    """

    read: int = 0
    skipped: int = 0
    dropped: int = 0
    interruptions: int = 0
    reconnects: int = 0
    longest_gap_s: float = 0.0
    sizes: tuple[tuple[int, int], ...] = ()


class Feed:
    """Reads a source in a thread of its own.

    Args:
        source: What to read; opened by :meth:`start`, closed by :meth:`close`.
        policy: When frames come faster than they are taken, ``latest`` drops the oldest in the queue,
            ``block`` lets the source wait.
        fps: Read no faster than this; None takes a file's own times with ``latest``, and else no limit.
            A file waits. A live source does not: its frames would pile up and grow old, so those that
            come too early are read and thrown away.
        capacity: Frames in the queue.
        arrivals: Seconds at which the frames of a file come, from the first one on, instead of at a rate.
        clock: What frames are stamped with.
    """

    def __init__(
        self,
        source: MovingSource,
        *,
        policy: DropPolicy = "latest",
        fps: float | None = None,
        capacity: int = CAPACITY,
        arrivals: Iterator[float] | None = None,
        clock: Clock = now,
    ) -> None:
        if arrivals is not None and source.live:
            raise UsageError(
                f"{source.name} goes on by itself: when its frames arrive is not ours to say.",
                hint="Leave out --arrival, or name a file or a folder.",
            )
        self._arrivals = arrivals
        self._source, self._policy, self._fps = source, policy, fps
        self._capacity, self._clock = capacity, clock
        self._queue: deque[Queued] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._own_times = False
        self._ended = False
        self._failure: BaseException | None = None
        self._counts = FeedCounts()
        self._thread = threading.Thread(target=self._read, name="yolotrt-reader", daemon=True)

    @property
    def counts(self) -> FeedCounts:
        """What has been seen so far."""
        return self._counts

    @property
    def ended(self) -> bool:
        """Whether no more frames will come."""
        with self._changed:
            return self._ended and not self._queue

    def start(self) -> Feed:
        """Open the source and begin to read.

        Raises:
            InputError: It cannot be opened.
        """
        self._source.open()
        self._own_times = self._fps is None and self._policy == "latest" and not self._source.live
        self._thread.start()
        return self

    def get(self, timeout_s: float) -> Queued | None:
        """Return the next frame, or None if there is none in time.

        Raises:
            YoloTrtError: Reading failed for good.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended, timeout_s)
            if self._queue:
                taken = self._queue.popleft()
                self._changed.notify_all()
                return taken
            if self._failure is not None:
                raise self._failure
        return None

    def close(self) -> None:
        """End the thread and close the source."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _read(self) -> None:
        try:
            self._read_until_the_end()
        except BaseException as exc:  # handed to whoever takes the frames
            self._failure = exc
        finally:
            self._source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_until_the_end(self) -> None:
        last = due = begin = self._clock()
        while not self._stop.is_set():
            frame = self._source.read()
            if self._arrivals is not None and frame is not None:
                self._stop.wait(
                    max(0.0, seconds_between(self._clock(), begin + round(next(self._arrivals) * 1e9)))
                )
            elif self._own_times and frame is not None and self._source.time_s is not None:
                begin += self._wait_until(begin + round(self._source.time_s * 1e9))
            stamp = self._clock()
            if frame is None:
                if not self._source.live or not self._reconnect():
                    return
                continue
            period = round(1e9 / self._fps) if self._fps and self._arrivals is None else 0
            # A camera of just this rate is early half of the time; half a period tells it from a faster one.
            if self._source.live and stamp < due - period // 2:
                self._counts = replace(self._counts, skipped=self._counts.skipped + 1)
                continue
            self._see(frame, seconds_between(last, stamp))
            last = stamp
            self._put(Queued(frame, stamp))
            due = max(due, stamp - period) + period
            if not self._source.live and self._arrivals is None:
                self._stop.wait(seconds_between(self._clock(), due))

    def _wait_until(self, due: int) -> int:
        """Wait until a frame of a file is due; return by how many ns the file falls behind for good.

        What comes late by less than a frame is made up for.
        """
        late = self._clock() - due
        if late < 0:
            self._stop.wait(-late / 1e9)
            return 0
        return max(0, late - round(1e9 / (self._source.fps or 25)))

    def _see(self, frame: Frame, gap_s: float) -> None:
        counts, size = self._counts, (frame.shape[1], frame.shape[0])
        self._counts = replace(
            counts,
            read=counts.read + 1,
            longest_gap_s=max(counts.longest_gap_s, gap_s),
            sizes=counts.sizes if size in counts.sizes else (*counts.sizes, size),
        )

    def _put(self, queued: Queued) -> None:
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: len(self._queue) < self._capacity or self._stop.is_set())
            elif len(self._queue) >= self._capacity:
                self._queue.popleft()
                self._counts = replace(self._counts, dropped=self._counts.dropped + 1)
            self._queue.append(queued)
            self._changed.notify_all()

    def _reconnect(self) -> bool:
        """Open the source again, however long it takes; return False when the feed is closed meanwhile."""
        self._counts = replace(self._counts, interruptions=self._counts.interruptions + 1)
        pause = FIRST_RETRY_S
        while not self._stop.wait(pause):
            try:
                self._source.open()
            except YoloTrtError:
                pause = min(2 * pause, LONGEST_RETRY_S)
                continue
            self._counts = replace(self._counts, reconnects=self._counts.reconnects + 1)
            return True
        return False
