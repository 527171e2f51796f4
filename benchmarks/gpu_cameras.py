"""Frames a second of as many cameras as GPUs, through the loop of ``yolotrt run``: one GPU, and one each.

Cameras are one frame in memory, given as fast as it is taken: in the host's memory, as a decoder on the
processor leaves it, and in the GPU's, as NVDEC does. A GPU for each is measured with a thread for each in one
process; with a process for each, as several ``run`` would; and in one ``run``, which starts them itself.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np

from yolotrt.arrays import Frame
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.bench.sustain import sustain
from yolotrt.cli.run_apart import process_apart
from yolotrt.cli.run_job import Left, RunJob
from yolotrt.cli.run_outputs import RunOutputs
from yolotrt.cuda.device import Device
from yolotrt.data.colours import BT601, Colours
from yolotrt.data.feeds import Feeds
from yolotrt.data.video import MovingSource
from yolotrt.data.video_file import Moment
from yolotrt.data.yuv import AnyFrame, YuvFrame
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline

TARGET = 1.9
"""Times one GPU, at least."""
LONGER = 20
"""Times the frames of other ways, in a ``run`` of processes: their start is no part of what is compared."""
COLOURS = Colours(BT601, full=False)


class Repeated:
    """A source in memory: one frame again and again, as fast as it is taken."""

    live = False
    fps: float | None = None
    moment: Moment | None = None

    def __init__(self, name: str, frame: AnyFrame, count: int) -> None:
        self.name, self._frame, self._left = name, frame, count

    def open(self) -> None:
        """There is nothing to open."""

    def read(self) -> AnyFrame | None:
        """Return the frame until it was given often enough."""
        self._left -= 1
        return self._frame if self._left >= 0 else None

    def close(self) -> None:
        """Nothing is held."""

    def remarks(self) -> tuple[str, ...]:
        """There are none."""
        return ()


@contextmanager
def on_gpu(device: Device, frame: Frame) -> Iterator[YuvFrame]:
    """Give a frame as NVDEC leaves it on a GPU: NV12."""
    height, width, _ = frame.shape
    planar = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
    u, v = planar[height:].reshape(2, height // 2, width // 2)
    samples = np.concatenate([planar[:height], np.stack([u, v], -1).reshape(height // 2, width)])
    device.bind()
    with device.scope() as scope:
        pinned, stream = scope.pinned(samples.nbytes), scope.stream()
        pinned.array[: samples.nbytes] = samples.ravel()
        held = scope.buffer(samples.nbytes)
        stream.copy(held.address, pinned.address, samples.nbytes)
        stream.synchronize()
        yield YuvFrame(held.address, (width, height), COLOURS, device.info.index, lambda: samples)


def rate(pipelines: Sequence[TiledPipeline], frames: Sequence[AnyFrame], count: int) -> float:
    """Return the frames a second of sources that give these frames, together."""
    feeds = Feeds([Repeated(f"{k}", frame, count) for k, frame in enumerate(frames)], policy="block").start()
    try:
        run = sustain(list(pipelines), feeds)
    finally:
        feeds.close()
    return run.processed / run.seconds


def cameras(
    file: EngineFile, names: Sequence[str], frame: Frame, count: int, rounds: int, *, depth: int = 1
) -> dict[str, Any]:
    """Measure everything, in turn, on the GPUs of these names."""
    with ExitStack() as held:
        settings = PipelineSettings("tiled+global", depth=depth)
        devices: list[Device] = []
        pipelines: dict[str, list[TiledPipeline]] = {"memory": [], "gpu": []}
        for name in names:
            engine = load_engine(file, name)
            held.callback(engine.close)
            devices.append(engine.parts[0].device)
            for kind in pipelines.values():
                kind.append(held.enter_context(TiledPipeline(engine, settings, takes_turns=True)))
        lying = [held.enter_context(on_gpu(device, frame)) for device in devices]
        several = len(names)
        ways: dict[str, Callable[[], float]] = {
            "memory: one GPU": lambda: rate(pipelines["memory"][:1], [frame] * several, count),
            "memory: a GPU each": lambda: rate(pipelines["memory"], [frame] * several, count),
            "gpu: one GPU": lambda: rate(pipelines["gpu"][:1], [lying[0]] * several, count),
            "gpu: a GPU each": lambda: rate(pipelines["gpu"], lying, count),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for round_ in range(rounds + 1):
            for way, measure in ways.items():
                found = measure()
                if round_:  # the first makes what frames of this size need
                    rates[way].append(found)
    rates["memory: a process each"] = _in_processes(file, names, frame, count * several, rounds, depth)
    one_run = MemoryRun.of(file, frame, names, count * several * LONGER, depth)
    rates["memory: one run"] = [one_run.rate(names)]
    mid = {way: float(np.median(each)) for way, each in rates.items()}
    one = {way: mid[f"{way.split(':')[0]}: one GPU"] for way in mid}
    return {
        "depth": depth,
        "frames_per_second": rates,
        "times_one": {way: mid[way] / one[way] for way in mid if not way.endswith("one GPU")},
        "target": TARGET,
    }


@dataclass(frozen=True, kw_only=True)
class MemoryRun(RunJob):
    """A ``yolotrt run`` whose cameras are frames in memory.

    Attributes:
        shape: Of the frame.
        pixels: The frame.
        count: How often each camera gives it.
    """

    shape: tuple[int, ...]
    pixels: bytes
    count: int

    @classmethod
    def of(cls, file: EngineFile, frame: Frame, names: Sequence[str], count: int, depth: int) -> MemoryRun:
        """Return a run with a camera for each of these GPUs."""
        return cls(
            engine=file.path, global_engine=None, trust=True,
            settings=PipelineSettings("tiled+global", depth=depth), words=tuple(names), timeout_s=5.0,
            decoder="auto", raw=None, policy="block", fps=None, arrival=None, duration_s=None,
            deadline_s=None, shape=frame.shape, pixels=frame.tobytes(), count=count,
        )  # fmt: skip

    def sources(self) -> tuple[MovingSource, ...]:
        """Return the cameras."""
        frame = np.frombuffer(self.pixels, np.uint8).reshape(self.shape)
        return tuple(Repeated(word, frame, self.count) for word in self.words)

    def prepare(self, pipeline: TiledPipeline, sources: Sequence[MovingSource]) -> None:
        """Make what frames need before they come, as for a file."""
        pipeline(np.frombuffer(self.pixels, np.uint8).reshape(self.shape))

    def rate(self, names: Sequence[str]) -> float:
        """Return the frames a second of all cameras together, a process for each GPU."""
        outputs = RunOutputs(None, None, None, len(names))
        run = process_apart(self, self.sources(), outputs, lambda _: None, Left(), devices=names)
        return run.processed / run.seconds


def _in_processes(
    file: EngineFile, names: Sequence[str], frame: Frame, count: int, rounds: int, depth: int
) -> list[float]:
    """Measure a process for each GPU with a camera of its own, all at the same time."""
    context = multiprocessing.get_context("spawn")
    started = []
    for name in names:
        ours, theirs = context.Pipe()
        process = context.Process(target=_camera, args=(theirs, file, name, frame, count, depth), daemon=True)
        process.start()
        started.append((process, ours))
    try:
        rates = []
        for round_ in range(rounds + 1):
            for _, pipe in started:
                pipe.recv()  # it is ready
            for _, pipe in started:
                pipe.send(True)
            found = sum(pipe.recv() for _, pipe in started)
            if round_:
                rates.append(float(found))
        return rates
    finally:
        for process, _ in started:
            process.terminate()
            process.join()


def _camera(pipe: Connection, file: EngineFile, name: str, frame: Frame, count: int, depth: int) -> None:
    """Be one of these processes."""
    engine = load_engine(file, name)
    with TiledPipeline(engine, PipelineSettings("tiled+global", depth=depth)) as pipeline:
        pipeline(frame)
        try:
            while True:
                pipe.send("ready")
                pipe.recv()
                pipe.send(rate([pipeline], [frame], count))
        except EOFError:
            return


def rows(found: dict[str, Any]) -> list[str]:
    """Return lines of a table: frames a second, times one GPU, and what is wanted."""
    lines = []
    for way, rates in found["frames_per_second"].items():
        kind, _, who = way.partition(": ")
        lying = "the GPU" if kind == "gpu" else kind
        times = found["times_one"].get(way)
        against = "1.00x |" if times is None else f"{times:.2f}x | at least {found['target']}x"
        lines.append(
            f"| cameras, frames in {lying}, {found['depth']} in flight: {who} "
            f"| {np.median(rates):.0f} frames/s | {against} |"
        )
    return lines
