"""A thread that reads a moving source into a short queue, so that nobody waits for a camera."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from yolotrt.data.kinds import WAITING
from yolotrt.data.queued import FeedCounts, Queued
from yolotrt.data.together import Together
from yolotrt.data.video import MovingSource
from yolotrt.data.video_file import Moment
from yolotrt.data.yuv import AnyFrame
from yolotrt.errors import UsageError, YoloTrtError
from yolotrt.timing.clock import Clock, now, seconds_between

DropPolicy = Literal["latest", "block"]
DROP_POLICIES: tuple[DropPolicy, ...] = ("latest", "block")

FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 5.0


class Feed:
    """Reads a source in a thread of its own.

    Attributes:
        opened: Whether the source could be opened so far; None before that was tried.
        trouble: Why it could not at first.
        failure: What ended the reading for good, or None.

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
        changed: Notified when a frame or the end comes; several feeds may share one.
        warn: Told, in the thread, why a source cannot be opened that is opened there.
        together: Holds the first frame of a file until those of others are there, too.
    """

    def __init__(
        self,
        source: MovingSource,
        *,
        policy: DropPolicy = "latest",
        fps: float | None = None,
        capacity: int = WAITING,
        arrivals: Iterator[float] | None = None,
        clock: Clock = now,
        changed: threading.Condition | None = None,
        warn: Callable[[str], None] = lambda _: None,
        together: Together | None = None,
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
        self._changed, self._warn = changed or threading.Condition(), warn
        self._stop = threading.Event()
        self._together = None if source.live else together
        self._own_times = False
        self._ended = False
        self._first_ns: int | None = None
        self.failure: BaseException | None = None
        self.trouble: YoloTrtError | None = None
        self.opened: bool | None = None
        self._counts = FeedCounts()
        self._thread = threading.Thread(target=self._read, name="yolotrt-reader", daemon=True)

    @property
    def name(self) -> str:
        """The name of the source; without passwords."""
        return self._source.name

    @property
    def parts(self) -> tuple[Feed, ...]:
        """The feeds that it consists of: itself."""
        return (self,)

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
        self._open()
        self._thread.start()
        return self

    def start_apart(self) -> Feed:
        """Open the source in the thread: a camera that is not there yet holds nobody up.

        A live source is tried again until it is there; of another one :attr:`failure` tells.
        """
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
                return self.take()
            if self.failure is not None:
                raise self.failure
        return None

    @property
    def waiting(self) -> bool:
        """Whether a frame waits; for whoever holds the condition."""
        return bool(self._queue)

    def take(self, deadline_s: float | None = None) -> Queued:
        """Return the frame that waits longest; for whoever holds the condition.

        Args:
            deadline_s: Frames that are older, seconds, are dropped as long as a newer one waits, unless the
                source is to lose none.
        """
        if deadline_s is not None and self._policy == "latest":
            oldest = self._clock() - round(deadline_s * 1e9)
            while len(self._queue) > 1 and self._queue[0].read_ns < oldest:
                self._drop_oldest()
        taken = self._queue.popleft()
        self._changed.notify_all()
        return taken

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and close the source."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _open(self) -> None:
        self._source.open()
        self.opened = True
        self._own_times = self._fps is None and self._policy == "latest" and not self._source.live

    def _open_apart(self) -> bool:
        """Open the source in the thread; return whether there is something to read."""
        try:
            self._open()
        except YoloTrtError as exc:
            self.trouble, self.opened = exc, False
            if not self._source.live:
                raise
        finally:
            with self._changed:
                self._changed.notify_all()
        if self.trouble is not None:
            self._warn(f"{self.trouble.message} It is tried again.")
        return self.trouble is None or self._reconnect()

    def _read(self) -> None:
        try:
            if self.opened or self._open_apart():
                self._read_until_the_end()
        except BaseException as exc:  # handed to whoever takes the frames
            self.failure = exc
        finally:
            self._begin_together(wait=False)
            try:
                self._source.close()
            except BaseException as exc:  # a GPU that was lost, say: the frames end all the same
                self.failure = self.failure or exc
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_until_the_end(self) -> None:
        last = due = begin = self._clock()
        while not self._stop.is_set():
            frame = self._source.read()
            if self._together is not None:
                self._begin_together(wait=True)
                last = due = begin = self._clock()
            if self._arrivals is not None and frame is not None:
                self._stop.wait(
                    max(0.0, seconds_between(self._clock(), begin + round(next(self._arrivals) * 1e9)))
                )
            elif self._own_times and frame is not None and self._source.moment is not None:
                begin += self._wait_until(begin + round(self._source.moment.time_s * 1e9))
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
            self._put(Queued(frame, stamp, self._moment(stamp)))
            due = max(due, stamp - period) + period
            if not self._source.live and self._arrivals is None:
                self._stop.wait(seconds_between(self._clock(), due))

    def _begin_together(self, *, wait: bool) -> None:
        together, self._together = self._together, None
        if together is not None:
            together.arrive(self._stop if wait else None)

    def _wait_until(self, due: int) -> int:
        """Wait until a frame of a file is due; return by how many ns the file falls behind for good.

        What comes late by less than a frame is made up for.
        """
        late = self._clock() - due
        if late < 0:
            self._stop.wait(-late / 1e9)
            return 0
        return max(0, late - round(1e9 / (self._source.fps or 25)))

    def _moment(self, stamp: int) -> Moment:
        self._first_ns = stamp if self._first_ns is None else self._first_ns
        passed = seconds_between(self._first_ns, stamp)
        return self._source.moment or Moment(self._counts.read - 1, passed, None)

    def _drop_oldest(self) -> None:
        self._queue.popleft()
        self._counts = replace(self._counts, dropped=self._counts.dropped + 1)

    def _see(self, frame: AnyFrame, gap_s: float) -> None:
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
                self._drop_oldest()
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
            with self._changed:
                self._counts = replace(self._counts, reconnects=self._counts.reconnects + 1)
                self.opened = True
                self._changed.notify_all()
            return True
        return False
