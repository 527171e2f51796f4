"""What became of each of several cameras that share a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from yolotrt.artifacts.fields import Count
from yolotrt.bench.drift import Reservoir
from yolotrt.bench.statistics import Summary, summarize
from yolotrt.data.queued import FeedCounts

Summarize = Callable[[Sequence[float]], Summary | None]
"""Makes statistics of samples: all of them, or a glance."""


@dataclass(frozen=True)
class Camera:
    """One of several sources of a run.

    Attributes:
        name: The source; without passwords.
        counts: What its feed has seen.
        processed: Its frames that came out.
        failed: Its frames of a size that the pipeline's groups or the engine's profiles do not fit.
        latency: Seconds in the pipeline; None before its first frame.
        age: Seconds from reading a frame to its detections.
        late: Its frames without a result by the deadline, dropped and failed ones among them; None without a
            deadline.
        complaint: Why frames failed, or why it was given up.
    """

    name: str
    counts: FeedCounts
    processed: Count
    failed: Count
    latency: Summary | None
    age: Summary | None
    late: Count | None = None
    complaint: str | None = None


class CountedSource(Protocol):
    """What a tally reads of a source: of its feed, or of one in another process."""

    @property
    def name(self) -> str:
        """The name of the source; without passwords."""
        ...

    @property
    def counts(self) -> FeedCounts:
        """What its feed has seen."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """What ended the reading for good, or None."""
        ...


class CameraTally:
    """Counts for one source while the run goes on."""

    def __init__(self, feed: CountedSource, deadline_s: float | None) -> None:
        self._feed, self._deadline_s = feed, deadline_s
        self._latency, self._age = Reservoir(), Reservoir()
        self._late, self.failed = 0, 0
        self._complaint: str | None = None

    def add(self, latency_s: float, age_s: float) -> None:
        """Count a frame that came out."""
        self._latency.add(latency_s)
        self._age.add(age_s)
        self._late += self._deadline_s is not None and age_s > self._deadline_s

    def fail(self, complaint: str) -> None:
        """Count a frame that does not fit."""
        self.failed, self._complaint = self.failed + 1, complaint

    def report(self, summary: Summarize = summarize) -> Camera:
        """Return everything so far.

        Args:
            summary: Makes statistics of samples.
        """
        counts, failure = self._feed.counts, self._feed.failure
        return Camera(
            self._feed.name,
            counts,
            self._latency.seen,
            self.failed,
            summary(self._latency.values),
            summary(self._age.values),
            None if self._deadline_s is None else self._late + counts.dropped + self.failed,
            self._complaint if failure is None else str(failure),
        )


def fairness(cameras: Sequence[Camera]) -> float | None:
    """Return Jain's index of the parts of their frames that cameras got processed.

    1 where all got the same part, 1/n where one of n got everything (Jain, Chiu and Hawe, 1984). None with
    less than two cameras that gave frames, or without a frame that came out.
    """
    parts = [camera.processed / camera.counts.read for camera in cameras if camera.counts.read]
    squares = sum(part * part for part in parts)
    return sum(parts) ** 2 / (len(parts) * squares) if len(parts) > 1 and squares else None
