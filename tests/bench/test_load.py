"""What `yolotrt run` does 2,000 times leaves nothing behind: no memory, no threads, no descriptors.

``python -m benchmarks.soak`` watches the command itself for half an hour.
"""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.data.test_feed import Script
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.bench.drift import Course, Reservoir, late_over_early, slope
from yolotrt.bench.sustain import Sustained, resident_mib, sustain
from yolotrt.data.feed import Feed
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.flights import Pending, Waiting
from yolotrt.pipeline.tiled import FrameResult, TiledPipeline
from yolotrt.workflow.build import BuildRequest, build_engine

FRAMES = 2000
EVERY = 10
KIB_PER_FRAME = 0.5
BLOCKS_PER_FRAME = 0.9
"""More than there is: 0.03 KiB of resident memory, where a page is 4, and next to no block. Half an object of
Python's per frame: less than one cannot be kept."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest network that there can be: what is kept per frame does not depend on its size."""
    folder = tmp_path_factory.mktemp("load")
    model = write_tiny_yolo(folder / "tiny.onnx", size=32)
    request = BuildRequest(model, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


@dataclass
class Watched:
    """A pipeline whose process is looked at after every tenth frame, in arrays that hold no objects."""

    pipeline: TiledPipeline
    after: Callable[[FrameResult], Any] = lambda _: None
    memory_kib: array[float] = field(default_factory=lambda: array("d"))
    blocks: array[float] = field(default_factory=lambda: array("d"))
    threads: array[float] = field(default_factory=lambda: array("d"))
    descriptors: array[float] = field(default_factory=lambda: array("d"))
    cpu_s: array[float] = field(default_factory=lambda: array("d"))
    frames: int = 0

    @property
    def pci_bus_ids(self) -> tuple[str, ...]:
        return self.pipeline.pci_bus_ids

    @property
    def most_together(self) -> int:
        return self.pipeline.most_together

    depth = 1

    def submit(self, frame: Any, **camera: Any) -> Pending:
        return Waiting(lambda: self._process(frame, **camera))

    def _process(self, frame: Any, **camera: Any) -> FrameResult:
        begin = time.process_time()
        result = self.pipeline(frame, **camera)
        self.cpu_s.append(time.process_time() - begin)
        self.after(result)
        if self.frames % EVERY == 0:
            gc.collect()  # CPython's lists of freed tuples fill for thousands of frames otherwise
            self.blocks.append(sys.getallocatedblocks())
            self.memory_kib.append((resident_mib() or 0) * 1024)
            self.threads.append(threading.active_count())
            self.descriptors.append(len(os.listdir("/proc/self/fd")))
        self.frames += 1
        return result


def _run(
    engine: Path, count: int = FRAMES, after: Callable[[FrameResult], Any] = lambda _: None
) -> tuple[Watched, Sustained]:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (32, 56, 3), dtype=np.uint8) for _ in range(16)]
    settings = {"mode": "tiled+global", "groups": 2, "dispatch": "threads", "cpu_threads": 2}
    decode = DecodeSettings(conf=0.5, max_det=6)
    with TiledPipeline.open(engine, decode=decode, **settings) as pipeline:
        watched = Watched(pipeline, after)
        feed = Feed(Script([frames[i % 16] for i in range(count)]), policy="block").start()
        gc.freeze()  # what the other tests left need not be looked at two hundred times
        run = sustain(cast(TiledPipeline, watched), feed)
        feed.close()
    return watched, run


def _per_frame(samples: array[float]) -> float:
    """Return the growth per frame after the first third: the median of that between neighbouring tenths.

    What is kept per frame grows in all of them; a library that is needed for the first time, or a heap that
    is extended by half a MiB, grows in one.
    """
    settled = np.array(samples[len(samples) // 3 :])
    tenths = [part.mean() for part in np.array_split(settled, 10)]
    return float(np.median(np.diff(tenths))) * 10 / (EVERY * len(settled))


def test_two_thousand_frames_leave_nothing_behind(engine: Path) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    watched, run = _run(engine)
    assert (run.processed, run.failed, run.counts.dropped) == (FRAMES, 0, 0)
    assert _per_frame(watched.blocks) < BLOCKS_PER_FRAME
    assert _per_frame(watched.memory_kib) < KIB_PER_FRAME
    settled = len(watched.threads) // 3
    assert max(watched.threads[settled:]) <= max(watched.threads[:settled])
    assert max(watched.descriptors[settled:]) <= max(watched.descriptors[:settled])
    assert threading.active_count() <= threads  # fewer when those of other tests end meanwhile
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    later = late_over_early(list(enumerate(watched.cpu_s)))
    assert later is not None
    assert later < 1.5, "frames cost more and more"


def test_memory_that_is_kept_per_frame_would_be_seen(engine: Path) -> None:
    kept: list[mmap.mmap] = []

    def keep(_result: FrameResult) -> None:
        kept.append(mmap.mmap(-1, 65536))  # pages of its own: a heap may have room left from other tests
        kept[-1].write(b"x" * 65536)

    watched, _ = _run(engine, 300, keep)
    assert _per_frame(watched.memory_kib) > KIB_PER_FRAME
    assert _per_frame(watched.blocks) > BLOCKS_PER_FRAME


def test_an_object_that_is_kept_per_frame_would_be_seen(engine: Path) -> None:
    kept: list[object] = []
    watched, _ = _run(engine, 500, lambda _: kept.append(object()))
    assert _per_frame(watched.blocks) > BLOCKS_PER_FRAME


def test_a_leak_is_told_from_a_cache_that_fills() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 300)
    leak = slope([(float(t), 100 + 0.5 * t + noise[t]) for t in range(300)])
    cache = slope([(float(t), 100 + min(t, 75) * 4.0 + noise[t]) for t in range(300)])
    assert leak is not None
    assert cache is not None
    assert leak.low < 0.5 < leak.high
    assert leak.low > 0.45
    assert cache.low < 0 < cache.high
    assert slope([(0.0, 1.0)] * 5) is None


def test_the_interval_of_a_slope_keeps_its_coverage_when_samples_depend_on_each_other() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        steps = rng.normal(0, 1, 600)
        wander = np.empty(600)
        wander[0] = steps[0]
        for t in range(1, 600):
            wander[t] = 0.9 * wander[t - 1] + steps[t]
        found = slope([(float(t), 0.01 * t + wander[t]) for t in range(600)])
        assert found is not None
        held += found.low <= 0.01 <= found.high
    assert held >= 176  # 95 % of 200, less 3.6 standard deviations and the batches' rest of dependence


def test_a_run_of_days_remembers_no_more_than_an_hour() -> None:
    sample, course = Reservoir(1000), Course(256)
    for t in range(100_000):
        sample.add(t / 100_000)
        course.add(t, 2.0 * t)
    assert len(sample.values) == 1000
    assert sample.seen == 100_000
    assert np.median(sample.values) == pytest.approx(0.5, abs=0.06)  # four standard deviations
    assert len(course.points) <= 256
    assert all(y == 2 * x for x, y in course.points)
    assert [x for x, _ in course.points] == sorted(x for x, _ in course.points)


def test_a_run_that_slows_down_is_told() -> None:
    assert late_over_early([(t, 1.0 if t < 60 else 2.0) for t in range(90)]) == 2.0
    assert late_over_early([(t, 1.0) for t in range(90)]) == 1.0
    assert late_over_early([(0, 1.0)] * 4) is None
