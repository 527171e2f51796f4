"""Counting frames that other processes work on: what they say of them, and who adds it up.

Figures, tables and documents of a run are made by one :class:`yolotrt.bench.sustained.RunTally`, whether its
frames were processed here or elsewhere.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolotrt import errors
from yolotrt.bench.sustained import RunTally, Sustained
from yolotrt.data.feed import Feed
from yolotrt.data.queued import FeedCounts
from yolotrt.errors import YoloTrtError
from yolotrt.machine.energy import EnergyMeter
from yolotrt.pipeline.tile_use import TileUse, UseTally
from yolotrt.timing.clock import Clock


@dataclass(frozen=True)
class Failure:
    """What went wrong in another process.

    Attributes:
        kind: Name of the error's class.
        message: What it says; of a bug its traceback.
        hint: What to do next.
    """

    kind: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, exc: BaseException) -> Failure:
        """Return what to tell of an error."""
        if isinstance(exc, YoloTrtError):
            kind = next(one.__name__ for one in type(exc).__mro__ if hasattr(errors, one.__name__))
            return cls(kind, exc.message, exc.hint)
        return cls(type(exc).__name__, "".join(traceback.format_exception(exc)))

    def error(self) -> Exception:
        """Return the error as if it had been raised here."""
        kind = getattr(errors, self.kind, None)
        if kind is None:
            return RuntimeError(f"a process of this command failed:\n{self.message}")
        found: YoloTrtError = kind(self.message, hint=self.hint)
        return found


@dataclass(frozen=True)
class FeedState:
    """A source in a process as it is now.

    Attributes:
        counts: What its feed has seen.
        opened: Whether it could be opened so far; None before that was tried.
        trouble: Why it could not at first.
        failure: What ended the reading for good.
    """

    counts: FeedCounts
    opened: bool | None = None
    trouble: Failure | None = None
    failure: Failure | None = None

    @classmethod
    def of(cls, feed: Feed) -> FeedState:
        """Return the state of a feed."""
        why = [None if exc is None else Failure.of(exc) for exc in (feed.trouble, feed.failure)]
        return cls(feed.counts, feed.opened, *why)


@dataclass(frozen=True)
class Counted:
    """What a process did since it last said so.

    Attributes:
        frames: Source, latency and age in seconds, and detections of each frame that came out.
        failed: Source and error of each frame that does not fit.
        feeds: Its sources, now.
        tiles: Which tiles were looked at, where not all were.
    """

    frames: tuple[tuple[int, float, float, int], ...]
    failed: tuple[tuple[int, Failure], ...]
    feeds: tuple[FeedState, ...]
    tiles: TileUse | None


class SayingTally(RunTally):
    """Counts, and says it to another process, which decides when there is no hope.

    Energy is not counted: a GPU's counter is read once, by that process.

    Args:
        say: Is told.
        clock: As for :class:`RunTally`, like the rest.
        memory: The process's MiB.
        deadline_s: When a frame is late.
        _meter: Not read.
        feeds: The sources.
    """

    def __init__(
        self,
        say: Callable[[Counted], None],
        clock: Clock,
        memory: Callable[[], float | None],
        deadline_s: float | None,
        _meter: EnergyMeter | None,
        feeds: Sequence[Feed],
    ) -> None:
        super().__init__(clock, memory, deadline_s, None, feeds)
        self._say, self._feeds = say, feeds
        self._frames: list[tuple[int, float, float, int]] = []
        self._failures: list[tuple[int, Failure]] = []

    @property
    def hopeless(self) -> bool:
        """Never: sources of other processes may fit."""
        return False

    def fail(self, source: int, error: Exception) -> None:
        """Count a frame that does not fit."""
        super().fail(source, error)
        self._failures.append((source, Failure.of(error)))

    def add(self, source: int, latency_s: float, age_s: float, detections: int) -> None:
        """Count a frame that came out."""
        super().add(source, latency_s, age_s, detections)
        self._frames.append((source, latency_s, age_s, detections))

    def report(self, counts: FeedCounts) -> Sustained:
        """Say what came since the last time, and return everything so far."""
        found = super().report(counts)
        self._tell()
        return found

    def glance(self, counts: FeedCounts) -> Sustained:
        """Say what came since the last time, and return everything so far, at a glance."""
        found = super().glance(counts)
        self._tell()
        return found

    def _tell(self) -> None:
        self._say(
            Counted(
                tuple(self._frames),
                tuple(self._failures),
                tuple(FeedState.of(feed) for feed in self._feeds),
                self.tiles.report(),
            )
        )
        self._frames.clear()
        self._failures.clear()
        self.tiles = UseTally()


class FarSource:
    """A source that another process reads, as it last said.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = FeedState(FeedCounts())

    @property
    def counts(self) -> FeedCounts:
        """What its feed has seen."""
        return self.state.counts

    @property
    def failure(self) -> BaseException | None:
        """What ended the reading for good, or None."""
        why = self.state.failure
        return None if why is None else why.error()


class FarSources:
    """All sources of a run whose frames other processes work on.

    Args:
        names: Of each.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.parts = tuple(FarSource(name) for name in names)

    @property
    def counts(self) -> FeedCounts:
        """What all have seen together."""
        return FeedCounts.together([part.counts for part in self.parts])

    def absorb(self, said: Counted, places: Sequence[int], tally: RunTally) -> None:
        """Count what a process said.

        Args:
            said: What it did.
            places: Which sources are its own, in its order.
            tally: What counts here.

        Raises:
            UsageError: Frames of every source fail from the first on: the groups do not fit.
            ArtifactError: The same, for want of a profile.
            YoloTrtError: No source could be opened, or reading failed for good with all of them.
        """
        for place, state in zip(places, said.feeds, strict=True):
            self.parts[place].state = state
        for source, latency_s, age_s, detections in said.frames:
            tally.add(places[source], latency_s, age_s, detections)
        if said.tiles is not None:
            tally.tiles.include(said.tiles)
        for source, why in said.failed:
            error = why.error()
            tally.fail(places[source], error)
            if tally.hopeless:
                raise error
        states = [part.state for part in self.parts]
        first = states[0]
        if first.failure is not None and all(state.failure is not None for state in states):
            raise first.failure.error()
        if first.trouble is not None and all(state.opened is False for state in states):
            raise first.trouble.error()
