"""The time of frames from the time stamps of a file, whatever those do."""

from __future__ import annotations

JUMP_PERIODS = 3
"""A time stamp that goes back by more begins another part, as of recordings that were joined; by less, it
is out of order."""

FARTHEST_S = 10.0
"""A live time stamp that is farther from when its frame was read has leapt: it tells nothing any more."""


class Timeline:
    """Gives every frame a time that grows from 0.

    Time stamps begin anywhere, and in broken or joined files they repeat, go back, or are not there at all.
    """

    def __init__(self, period_s: float) -> None:
        """Begin before the first frame.

        Args:
            period_s: Time between frames where no time stamp says it, seconds.
        """
        self._period_s = period_s
        self._last_s: float | None = None
        self._shift_s, self._lasts_s = 0.0, period_s
        self.longest_gap_s = period_s

    @property
    def end_s(self) -> float:
        """When the last frame ends."""
        return 0.0 if self._last_s is None else self._last_s + self._lasts_s

    def place(self, stamp_s: float | None, lasts_s: float | None = None) -> float:
        """Return the time of the next frame, seconds since the first one.

        Args:
            stamp_s: Its time stamp; None where it has none.
            lasts_s: How long it is shown; None takes the usual time.
        """
        last_s = self._last_s
        if last_s is None:
            self._shift_s, time_s = -(stamp_s or 0.0), 0.0
        elif stamp_s is None:
            time_s = last_s + self._period_s
        else:
            time_s = stamp_s + self._shift_s
            if time_s < last_s - JUMP_PERIODS * self._period_s:
                time_s = last_s + self._period_s
                self._shift_s = time_s - stamp_s
            elif time_s <= last_s:
                time_s = last_s + min(0.001, self._period_s)
            self.longest_gap_s = max(self.longest_gap_s, time_s - last_s)
        self._last_s, self._lasts_s = time_s, lasts_s or self._period_s
        return time_s


class LiveTimeline:
    """Gives the frames of a live source times that grow from 0, also over interruptions.

    Within a connection the stream's own time stamps tell frames apart, which the network delays unevenly.
    Each connection begins when its first frame is read, so that an outage keeps its length.
    """

    def __init__(self) -> None:
        self._shift_s: float | None = None
        self._last_s: float | None = None

    def restart(self) -> None:
        """Begin another connection: its time stamps have nothing to do with those before."""
        self._shift_s = None

    def place(self, stamp_s: float | None, read_s: float) -> float:
        """Return the time of the next frame, seconds since the first one.

        Args:
            stamp_s: Its time stamp; None where it has none.
            read_s: When it was read, seconds since the first frame was, by our clock.
        """
        time_s = read_s
        if stamp_s is not None:
            if self._shift_s is None or abs(stamp_s + self._shift_s - read_s) > FARTHEST_S:
                self._shift_s = read_s - stamp_s
            time_s = stamp_s + self._shift_s
        if self._last_s is not None:
            time_s = max(time_s, self._last_s + 0.001)
        self._last_s = time_s
        return time_s
