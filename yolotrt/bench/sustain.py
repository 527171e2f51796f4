"""Run a pipeline on a moving source for a long time, and see whether it keeps up."""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from yolotrt.bench.lanes import LaneFeed, in_lanes
from yolotrt.bench.sustained import RunTally
from yolotrt.bench.sustained import Sustained as Sustained
from yolotrt.data.feed import Feed
from yolotrt.data.feeds import Feeds
from yolotrt.data.queued import Queued
from yolotrt.errors import ArtifactError, UsageError
from yolotrt.machine.energy import energy_meter
from yolotrt.pipeline.flights import Pending
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import Clock, now, seconds_between

PATIENCE_S = 0.2
TICK_S = 1.0

TURN_S = 0.0005
"""How long a thread that computes keeps the interpreter from others, seconds."""


Deliver = Callable[[Queued, FrameResult], None]
Counting = Callable[..., RunTally]


def sustain(
    pipeline: TiledPipeline | Sequence[TiledPipeline],
    feed: Feed | Feeds,
    *,
    duration_s: float | None = None,
    tick: Callable[[Sustained], None] = lambda _: None,
    clock: Clock = now,
    memory: Callable[[], float | None] | None = None,
    deadline_s: float | None = None,
    deliver: Deliver = lambda _queued, _result: None,
    counting: Counting = RunTally,
) -> Sustained:
    """Process what a feed gives until it ends or the time is up.

    Frames of several sources that wait at the same time share a batch where the pipeline's do; none waits for
    others to come.

    A frame of a new size that the pipeline's groups do not fit, or whose groups the engine has no profile
    for, is counted and left out, unless it is the first one (of several sources: of each). Meanwhile the
    objects that existed before are left out of garbage collections (``gc.freeze``), and threads take turns
    more often (``sys.setswitchinterval``).

    Args:
        pipeline: What processes the frames; several process those of several sources side by side, in threads
            of their own: source k goes through pipeline k modulo their number.
        feed: A started feed, or several together; it stays open.
        duration_s: Seconds to run; None goes on to the source's end.
        tick: Told about once a second, and once more when an error or Ctrl-C ends the run.
        clock: The clock that the feed stamps frames with.
        memory: Returns the MiB that the process uses; None asks the system.
        deadline_s: Frames without a result so many seconds after they were read are counted.
        deliver: Given each frame with its result, once its time was taken; the next frame waits for it.
        counting: Makes what counts.

    Raises:
        UsageError: The groups do not fit the first frame.
        ArtifactError: The engine has no profile for the first frame's groups.
        ExecutionError: The engine failed.
        ImageError: A frame of a folder cannot be read.
    """
    pipelines = pipeline if isinstance(pipeline, Sequence) else (pipeline,)
    places = [place for one in pipelines for place in one.pci_bus_ids]
    with energy_meter(places, clock) as meter, _steady_heap(), _short_turns():
        tally = counting(clock, memory or resident_mib, deadline_s, meter, feed.parts)
        try:
            if len(pipelines) > 1 and isinstance(feed, Feeds):
                _process_in_lanes(pipelines, feed, duration_s, tally, tick, deliver)
            else:
                _process(pipelines[0], feed, duration_s, tally, tick, deliver)
        except BaseException:
            if tally.latency.seen:
                tick(tally.report(feed.counts))
            raise
        return tally.report(feed.counts)


def _process_in_lanes(
    pipelines: Sequence[TiledPipeline],
    feeds: Feeds,
    duration_s: float | None,
    tally: RunTally,
    tick: Callable[[Sustained], None],
    deliver: Deliver,
) -> None:
    """Process with several pipelines side by side; one result is handed on at a time."""
    handing = threading.Lock()

    def hand_on(queued: Queued, result: FrameResult) -> None:
        with handing:
            deliver(queued, result)

    def process(pipeline: TiledPipeline, feed: LaneFeed) -> None:
        _process(pipeline, feed, duration_s, tally, lambda _: None, hand_on, tick_s=math.inf)

    def watch() -> None:
        gc.collect()
        tick(tally.glance(feeds.counts))

    in_lanes(pipelines, feeds, process, watch, TICK_S)


def _process(
    pipeline: TiledPipeline,
    feed: Feed | Feeds | LaneFeed,
    duration_s: float | None,
    tally: RunTally,
    tick: Callable[[Sustained], None],
    deliver: Deliver,
    *,
    tick_s: float = TICK_S,
) -> None:
    clock, due_s = tally.clock, tick_s
    more = pipeline.most_together - 1
    flying: deque[tuple[Queued, int, Pending]] = deque()

    @contextmanager
    def counted(queued: Queued) -> Iterator[None]:
        try:
            yield
        except (UsageError, ArtifactError) as exc:  # more groups than tiles, or no profile for a group
            tally.fail(queued.source, exc)
            if tally.hopeless:
                raise

    def also_waiting(queued: Queued) -> list[Queued]:
        return feed.also_waiting(queued, more) if more and not isinstance(feed, Feed) else []

    def start(queued: Queued) -> None:
        begin = clock()
        with counted(queued):
            flying.append((queued, begin, pipeline.submit(queued.frame, stream=queued.source)))

    def land() -> None:
        queued, begin, pending = flying.popleft()
        with counted(queued):
            finish(queued, begin, pending.result())

    def together(group: Sequence[Queued]) -> None:
        while flying:
            land()
        begin = clock()
        try:
            results = pipeline.together([(queued.frame, queued.source) for queued in group])
        except (UsageError, ArtifactError):  # which of them it is shows one by one
            for queued in group:
                start(queued)
                while flying:
                    land()
            return
        for queued, result in zip(group, results, strict=True):
            finish(queued, begin, result)

    def finish(queued: Queued, begin: int, result: FrameResult) -> None:
        end = clock()
        age_s = seconds_between(queued.read_ns, end)
        tally.add(queued.source, seconds_between(begin, end), age_s, len(result.detections))
        if result.looked is not None:
            tally.tiles.add(result.looked)
        deliver(queued, result)

    try:
        while duration_s is None or tally.seconds < duration_s:
            queued = feed.get(0 if flying else PATIENCE_S)
            if queued is not None and (others := also_waiting(queued)):
                together([queued, *others])
            elif queued is not None:
                start(queued)
            elif not flying and feed.ended:
                break
            # Where no frame waits, none is to be had by leaving results where they are.
            if flying and (queued is None or len(flying) == pipeline.depth):
                land()
            if tally.seconds >= due_s:
                due_s = tally.seconds + tick_s
                gc.collect()
                tick(tally.glance(feed.counts))
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


@contextmanager
def _short_turns() -> Iterator[None]:
    """Have whoever computes hand the interpreter on soon.

    Each frame takes a reader through the decoder and back several times. By default whatever another thread
    computes may hold it up for 5 ms each time: beside a busy one NVDEC gave a small part of its frames.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def resident_mib(process: int | str = "self") -> float | None:
    """Return the resident set of a process, MiB (proc(5), statm), or None.

    Args:
        process: Its number; this one unless it is given.
    """
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
