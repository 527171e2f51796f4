"""What a run has done so far, and how it is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolotrt.artifacts.fields import Count, Seconds
from yolotrt.bench.cameras import Camera, CameraTally, CountedSource, Summarize, fairness
from yolotrt.bench.drift import Course, Reservoir, late_over_early, slope
from yolotrt.bench.statistics import Summary, glance, summarize
from yolotrt.data.queued import FeedCounts
from yolotrt.machine.energy import Energy, EnergyMeter
from yolotrt.pipeline.tile_use import TileUse, UseTally
from yolotrt.timing.clock import Clock, seconds_between


@dataclass(frozen=True)
class Sustained:
    """A run so far, or at its end.

    Attributes:
        seconds: Time since it began.
        counts: What the feed has seen.
        processed: Frames that came out.
        failed: Frames of a size that the pipeline's groups or the engine's profiles do not fit.
        latency: Seconds in the pipeline; None before the first frame. Of a long run, statistics of a fair
            sample of its frames.
        latency_drift: Median of the last third of the run over that of the third before it; None for a
            short run.
        age: Seconds from reading a frame to its detections.
        detections: Number of detections in the last frame.
        memory_mib: Memory of the process (resident set) now, or of all that work on the run, MiB; None where
            the system does not tell.
        memory_peak_mib: The largest seen.
        memory_trend: MiB per minute by which it grows, after a first third; None for a short run.
        complaint: Why frames failed.
        queued: Seconds from reading a frame to the begin of its work; None before the first frame.
        deadline_s: When a result must be there, seconds from reading its frame; None without a deadline.
        late: Frames without a result by then, dropped and failed ones among them.
        energy: What the GPUs consumed; None without one that tells.
        cameras: Each source, where there are several.
        fairness: Jain's index over the cameras, of the parts of their frames that came out: 1 is fair; None
            for less than two.
        tiles: Which tiles were looked at, of all cameras together; None where all were.
    """

    seconds: float
    counts: FeedCounts
    processed: int
    failed: int
    latency: Summary | None
    latency_drift: float | None
    age: Summary | None
    detections: int
    memory_mib: float | None
    memory_peak_mib: float | None
    memory_trend: float | None
    complaint: str | None
    queued: Summary | None = None
    deadline_s: Seconds | None = None
    late: Count | None = None
    energy: Energy | None = None
    cameras: tuple[Camera, ...] = ()
    fairness: float | None = None
    tiles: TileUse | None = None


class RunTally:
    """Counts while the run goes on, for one thread or several.

    Args:
        clock: Read for its seconds.
        memory: Returns the MiB that the process uses, or None.
        deadline_s: Results that are later are counted.
        meter: Reads what the GPUs consume; None without one.
        feeds: Those of each source.
    """

    def __init__(
        self,
        clock: Clock,
        memory: Callable[[], float | None],
        deadline_s: float | None,
        meter: EnergyMeter | None,
        feeds: Sequence[CountedSource],
    ) -> None:
        self.cameras = [CameraTally(feed, deadline_s) for feed in feeds]
        self.clock, self._memory, self._deadline_s, self._meter = clock, memory, deadline_s, meter
        self._first = meter.reading() if meter else None
        glance((0.0,))  # what percentiles need is worked out the first time, in as long as two frames
        self.begin_ns = clock()
        self.latency, self.age, self.queued = Reservoir(), Reservoir(), Reservoir()
        self._late = 0
        self.failed, self.detections = 0, 0
        self.complaint: str | None = None
        self._used, self._peak = Course(), 0.0
        self._pace = Course()
        self._since_tick: list[float] = []
        self._lock = threading.RLock()
        self.tiles = UseTally()

    @property
    def seconds(self) -> float:
        """How long it runs."""
        return seconds_between(self.begin_ns, self.clock())

    @property
    def hopeless(self) -> bool:
        """Whether frames failed from the first one on, with every source."""
        return not self.latency.seen and all(camera.failed for camera in self.cameras)

    def fail(self, source: int, error: Exception) -> None:
        """Count a frame that does not fit."""
        with self._lock:
            self.failed, self.complaint = self.failed + 1, str(error)
            self.cameras[source].fail(str(error))

    def add(self, source: int, latency_s: float, age_s: float, detections: int) -> None:
        """Count a frame that came out."""
        with self._lock:
            self.cameras[source].add(latency_s, age_s)
            self.latency.add(latency_s)
            self.age.add(age_s)
            self.queued.add(age_s - latency_s)
            if self._deadline_s is not None and age_s > self._deadline_s:
                self._late += 1
            self.detections = detections
            self._since_tick.append(latency_s)

    def report(self, counts: FeedCounts) -> Sustained:
        """Take a sample of the memory and return everything so far."""
        with self._lock:
            return self._report(counts, summarize)

    def glance(self, counts: FeedCounts) -> Sustained:
        """Return the same of a part of the samples, at once: all take a tenth of a second; frames wait."""
        with self._lock:
            return self._report(counts, glance)

    def _report(self, counts: FeedCounts, summary: Summarize) -> Sustained:
        now_s, used = self.seconds, self._memory()
        if used is not None:
            self._used.add(now_s, used)
            self._peak = max(self._peak, used)
        if self._since_tick:
            self._pace.add(now_s, sum(self._since_tick) / len(self._since_tick))
            self._since_tick.clear()
        growth = slope(self._used.points)
        cameras = tuple(c.report(summary) for c in self.cameras) if len(self.cameras) > 1 else ()
        return Sustained(
            now_s,
            counts,
            self.latency.seen,
            self.failed,
            summary(self.latency.values),
            late_over_early(self._pace.points),
            summary(self.age.values),
            self.detections,
            used,
            self._peak or None,
            None if growth is None else growth.value * 60,
            self.complaint,
            summary(self.queued.values),
            self._deadline_s,
            None if self._deadline_s is None else self._late + counts.dropped + self.failed,
            self._energy(),
            cameras,
            fairness(cameras),
            self.tiles.report(),
        )

    def _energy(self) -> Energy | None:
        if self._meter is None or self._first is None:
            return None
        return self._first.energy_to(self._meter.reading(), self.latency.seen)
