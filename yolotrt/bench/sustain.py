"""Run a pipeline on a moving source for a long time, and see whether it keeps up."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.fields import Count, Seconds
from yolotrt.bench.cameras import Camera, CameraTally, fairness
from yolotrt.bench.drift import Course, Reservoir, late_over_early, slope
from yolotrt.bench.statistics import Summary, summarize
from yolotrt.data.feed import Feed
from yolotrt.data.feeds import Feeds
from yolotrt.data.queued import FeedCounts, Queued
from yolotrt.errors import ArtifactError, UsageError
from yolotrt.machine.energy import Energy, EnergyMeter, energy_meter
from yolotrt.pipeline.flights import Pending
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import Clock, now, seconds_between

PATIENCE_S = 0.2
TICK_S = 1.0


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
        memory_mib: Memory of the process (resident set) now, MiB; None where the system does not tell.
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


class _Tally:
    """Counts while the run goes on."""

    def __init__(
        self,
        clock: Clock,
        memory: Callable[[], float | None],
        deadline_s: float | None,
        meter: EnergyMeter | None,
        feeds: Sequence[Feed],
    ) -> None:
        self.cameras = [CameraTally(feed, deadline_s) for feed in feeds]
        self.clock, self._memory, self._deadline_s, self._meter = clock, memory, deadline_s, meter
        self._first = meter.reading() if meter else None
        self.begin_ns = clock()
        self.latency, self.age, self.queued = Reservoir(), Reservoir(), Reservoir()
        self._late = 0
        self.failed, self.detections = 0, 0
        self.complaint: str | None = None
        self._used, self._peak = Course(), 0.0
        self._pace = Course()
        self._since_tick: list[float] = []

    @property
    def seconds(self) -> float:
        return seconds_between(self.begin_ns, self.clock())

    @property
    def hopeless(self) -> bool:
        """Whether frames failed from the first one on, with every source."""
        return not self.latency.seen and all(camera.failed for camera in self.cameras)

    def fail(self, source: int, complaint: str) -> None:
        """Count a frame that does not fit."""
        self.failed, self.complaint = self.failed + 1, complaint
        self.cameras[source].fail(complaint)

    def add(self, source: int, latency_s: float, age_s: float, detections: int) -> None:
        """Count a frame that came out."""
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
        now_s, used = self.seconds, self._memory()
        if used is not None:
            self._used.add(now_s, used)
            self._peak = max(self._peak, used)
        if self._since_tick:
            self._pace.add(now_s, sum(self._since_tick) / len(self._since_tick))
            self._since_tick.clear()
        growth = slope(self._used.points)
        cameras = tuple(c.report() for c in self.cameras) if len(self.cameras) > 1 else ()
        return Sustained(
            now_s,
            counts,
            self.latency.seen,
            self.failed,
            summarize(self.latency.values),
            late_over_early(self._pace.points),
            summarize(self.age.values),
            self.detections,
            used,
            self._peak or None,
            None if growth is None else growth.value * 60,
            self.complaint,
            summarize(self.queued.values),
            self._deadline_s,
            None if self._deadline_s is None else self._late + counts.dropped + self.failed,
            self._energy(),
            cameras,
            fairness(cameras),
        )

    def _energy(self) -> Energy | None:
        if self._meter is None or self._first is None:
            return None
        return self._first.energy_to(self._meter.reading(), self.latency.seen)


Deliver = Callable[[Queued, FrameResult], None]


def sustain(
    pipeline: TiledPipeline,
    feed: Feed | Feeds,
    *,
    duration_s: float | None = None,
    tick: Callable[[Sustained], None] = lambda _: None,
    clock: Clock = now,
    memory: Callable[[], float | None] | None = None,
    deadline_s: float | None = None,
    deliver: Deliver = lambda _queued, _result: None,
) -> Sustained:
    """Process what a feed gives until it ends or the time is up.

    A frame of a new size that the pipeline's groups do not fit, or whose groups the engine has no profile
    for, is counted and left out, unless it is the first one (of several sources: of each). Meanwhile the
    objects that existed before are left out of garbage collections (``gc.freeze``).

    Args:
        pipeline: What processes the frames.
        feed: A started feed, or several together; it stays open.
        duration_s: Seconds to run; None goes on to the source's end.
        tick: Told about once a second, and once more when an error or Ctrl-C ends the run.
        clock: The clock that the feed stamps frames with.
        memory: Returns the MiB that the process uses; None asks the system.
        deadline_s: Frames without a result so many seconds after they were read are counted.
        deliver: Given each frame with its result, once its time was taken; the next frame waits for it.

    Raises:
        UsageError: The groups do not fit the first frame.
        ArtifactError: The engine has no profile for the first frame's groups.
        ExecutionError: The engine failed.
        ImageError: A frame of a folder cannot be read.
    """
    with energy_meter(pipeline.pci_bus_ids, clock) as meter:
        tally = _Tally(clock, memory or resident_mib, deadline_s, meter, feed.parts)
        try:
            with _steady_heap():
                _process(pipeline, feed, duration_s, tally, tick, deliver)
        except BaseException:
            if tally.latency.seen:
                tick(tally.report(feed.counts))
            raise
        return tally.report(feed.counts)


def _process(
    pipeline: TiledPipeline,
    feed: Feed | Feeds,
    duration_s: float | None,
    tally: _Tally,
    tick: Callable[[Sustained], None],
    deliver: Deliver,
) -> None:
    clock, due_s = tally.clock, TICK_S
    flying: deque[tuple[Queued, int, Pending]] = deque()

    @contextmanager
    def counted(queued: Queued) -> Iterator[None]:
        try:
            yield
        except (UsageError, ArtifactError) as exc:  # more groups than tiles, or no profile for a group
            tally.fail(queued.source, exc.message)
            if tally.hopeless:
                raise

    def start(queued: Queued) -> None:
        begin = clock()
        with counted(queued):
            flying.append((queued, begin, pipeline.submit(queued.frame)))

    def land() -> None:
        queued, begin, pending = flying.popleft()
        with counted(queued):
            finish(queued, begin, pending.result())

    def finish(queued: Queued, begin: int, result: FrameResult) -> None:
        end = clock()
        age_s = seconds_between(queued.read_ns, end)
        tally.add(queued.source, seconds_between(begin, end), age_s, len(result.detections))
        deliver(queued, result)

    try:
        while duration_s is None or tally.seconds < duration_s:
            queued = feed.get(0 if flying else PATIENCE_S)
            if queued is not None:
                start(queued)
            elif not flying and feed.ended:
                break
            # Where no frame waits, none is to be had by leaving results where they are.
            if flying and (queued is None or len(flying) == pipeline.depth):
                land()
            if tally.seconds >= due_s:
                due_s = tally.seconds + TICK_S
                gc.collect()
                tick(tally.report(feed.counts))
        while flying:
            land()
    finally:
        for _, _, pending in flying:
            pending.drop()


@contextmanager
def _steady_heap() -> Iterator[None]:
    """Leave what is there out of full collections, so that one costs microseconds and can run every tick.

    Only a full collection empties CPython's lists of freed tuples, 2,000 of each size. Frames leave no
    garbage that would start one: the lists grew by seven blocks per frame for thousands of frames, which
    looks like a leak, and when it came it held a frame up for 30 ms.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def resident_mib() -> float | None:
    """Return the resident set of this process, MiB (proc(5), statm), or None."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
