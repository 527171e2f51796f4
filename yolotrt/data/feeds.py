"""Several moving sources at once, whose frames take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from yolotrt.data.feed import DropPolicy, Feed
from yolotrt.data.queued import FeedCounts, Queued
from yolotrt.data.together import Together
from yolotrt.data.video import MovingSource
from yolotrt.timing.clock import Clock, now


class Feeds:
    """Reads each source in a thread of its own; the source that was served longest ago comes next.

    So a frame waits for at most one frame of every other source, however fast those are. A source that
    stalls, ends or cannot be read is passed over, and the others go on.

    Args:
        sources: What to read.
        policy: See :class:`yolotrt.data.feed.Feed`, as the others; for each source.
        fps: For each source.
        arrivals: For each source; empty for none.
        deadline_s: How old a frame may get while it waits; see :meth:`yolotrt.data.feed.Feed.take`.
        warn: Told, perhaps in another thread, what is wrong with one of them.
        clock: What frames are stamped with.
    """

    def __init__(
        self,
        sources: Sequence[MovingSource],
        *,
        policy: DropPolicy = "latest",
        fps: float | None = None,
        arrivals: Sequence[Iterator[float]] = (),
        deadline_s: float | None = None,
        warn: Callable[[str], None] = lambda _: None,
        clock: Clock = now,
    ) -> None:
        self._changed = threading.Condition()
        self._deadline_s, self._warn = deadline_s, warn
        together = Together(sum(not source.live for source in sources))
        self.parts = tuple(
            Feed(
                source, policy=policy, fps=fps, arrivals=arrivals[place] if arrivals else None,
                clock=clock, changed=self._changed, warn=warn, together=together,
            )
            for place, source in enumerate(sources)
        )  # fmt: skip
        self._turns = [0] * len(self.parts)
        self._served = 0
        self._told: set[int] = set()

    @property
    def counts(self) -> FeedCounts:
        """What all have seen together; the longest gap is the longest of any."""
        return FeedCounts.together([part.counts for part in self.parts])

    @property
    def ended(self) -> bool:
        """Whether no more frames will come from any."""
        return all(part.ended for part in self.parts)

    def start_apart(self) -> Feeds:
        """Open all and begin to read, without waiting for any; :attr:`parts` tell what came of it."""
        for part in self.parts:
            part.start_apart()
        return self

    def start(self) -> Feeds:
        """Open all and begin to read; return when the first is open.

        Raises:
            InputError: None can be opened.
        """
        self.start_apart()
        with self._changed:
            self._changed.wait_for(
                lambda: any(p.opened for p in self.parts) or all(p.opened is False for p in self.parts)
            )
        first = self.parts[0].trouble
        if first is not None and all(part.opened is False for part in self.parts):
            self.close()
            raise first
        return self

    def get(self, timeout_s: float, places: Sequence[int] | None = None) -> Queued | None:
        """Return the next frame, or None if there is none in time.

        Args:
            timeout_s: How long to wait for it.
            places: Of which sources; None for all.

        Raises:
            YoloTrtError: Reading failed for good, with all of them.
        """
        places = range(len(self.parts)) if places is None else places
        parts = [self.parts[place] for place in places]
        with self._changed:
            self._changed.wait_for(
                lambda: any(p.waiting for p in parts) or all(p.ended for p in parts), timeout_s
            )
            taken = [self._taken(place) for place in self._ready(places)[:1]]
        failures = [part.failure for part in self.parts]
        for place, failure in enumerate(failures):
            if failure is not None and place not in self._told:
                self._told.add(place)
                self._warn(f"{self.parts[place].name} is given up, the others go on: {failure}")
        if taken:
            return taken[0]
        if all(failures) and failures[0] is not None:
            raise failures[0]
        return None

    def also_waiting(self, but: Queued, most: int, places: Sequence[int] | None = None) -> list[Queued]:
        """Return frames of other sources that wait just now, one of each, in their turn.

        Args:
            but: A frame that was taken already.
            most: How many frames.
            places: Of which sources; None for all.
        """
        with self._changed:
            ready = self._ready(range(len(self.parts)) if places is None else places)
            return [self._taken(place) for place in [p for p in ready if p != but.source][:most]]

    def _ready(self, places: Sequence[int]) -> list[int]:
        """Return the sources of which a frame waits, the one that was served longest ago first."""
        ready = [place for place in places if self.parts[place].waiting]
        return sorted(ready, key=lambda place: self._turns[place])

    def _taken(self, place: int) -> Queued:
        self._served += 1
        self._turns[place] = self._served
        return replace(self.parts[place].take(self._deadline_s), source=place)

    def close(self) -> None:
        """End the threads and close the sources."""
        for part in self.parts:
            part.stop()
        for part in self.parts:
            part.close()
