"""How the groups of a frame run on a GPU: one after another, by threads, or on streams of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

from yolotrt.cuda.device import Device, Scope, Stream
from yolotrt.errors import UsageError
from yolotrt.pipeline.device.share import Gpu

DeviceDispatch = Literal["serial", "threads", "streams", "graph"]
DEVICE_DISPATCH: tuple[DeviceDispatch, ...] = ("serial", "threads", "streams", "graph")
"""``graph`` captures what ``streams`` enqueues and launches it as a whole."""

Job = Callable[[Stream], None]
"""Enqueues the whole work of one group in the stream it is given, and returns at once."""


def chosen_dispatch(wanted: DeviceDispatch | Literal["auto"], gpu: Gpu) -> DeviceDispatch:
    """Return how groups run on a GPU.

    Raises:
        UsageError: Graphs are asked for and cannot be captured here.
    """
    if wanted != "auto" and wanted != "graph":
        return wanted
    stubborn = [e for e in (gpu.engine, gpu.for_global) if not e.capturable]
    if wanted == "auto":
        return "graph" if gpu.device.captures and not stubborn else "streams"
    if stubborn:
        raise UsageError(
            f"{stubborn[0].file.path.name} cannot be captured in a CUDA graph.",
            hint="Use --dispatch streams.",
        )
    return "graph"


class DeviceDispatcher(Protocol):
    """Runs jobs between two points of the main stream.

    Attributes:
        streams: Its own streams.
    """

    streams: list[Stream]

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the stream that a job always gets; ``main`` is the frame's."""
        ...

    def enqueue(self, jobs: Sequence[Job], main: Stream) -> None:
        """Start all jobs after what is in ``main``; what comes next in ``main`` comes after all of them."""
        ...

    def close(self) -> None:
        """Stop what the dispatcher started; its streams belong to their scope."""
        ...


def new_device_dispatcher(mode: DeviceDispatch, device: Device, scope: Scope, jobs: int) -> DeviceDispatcher:
    """Return a dispatcher for so many jobs."""
    if mode == "serial":
        return SerialJobs()
    if mode == "threads":
        return ThreadJobs(device, scope, jobs)
    return StreamJobs(scope, jobs)


class SerialJobs:
    """All jobs in the main stream: the effect of the chunk size alone."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the main stream."""
        return main

    def enqueue(self, jobs: Sequence[Job], main: Stream) -> None:
        """Enqueue one job after another."""
        for job in jobs:
            job(main)

    def close(self) -> None:
        """Nothing was started."""


class StreamJobs:
    """A stream per job, all enqueued by the calling thread."""

    def __init__(self, scope: Scope, jobs: int) -> None:
        self.streams = [scope.stream() for _ in range(jobs)]
        self._done = [scope.event() for _ in range(jobs)]
        self._fork = scope.event()

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the job's own stream."""
        return self.streams[job]

    def enqueue(self, jobs: Sequence[Job], main: Stream) -> None:
        """Fork from the main stream, enqueue every job, join."""
        main.record(self._fork)
        for job, stream, done in zip(jobs, self.streams, self._done, strict=True):
            stream.wait(self._fork)
            job(stream)
            stream.record(done)
        for done in self._done:
            main.wait(done)

    def close(self) -> None:
        """Nothing was started."""


class ThreadJobs:
    """A Python thread and a stream per job; each thread enqueues its job and waits for it."""

    def __init__(self, device: Device, scope: Scope, jobs: int) -> None:
        self.streams = [scope.stream() for _ in range(jobs)]
        self._fork = scope.event()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="yolotrt-group", initializer=device.bind)

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the job's own stream."""
        return self.streams[job]

    def enqueue(self, jobs: Sequence[Job], main: Stream) -> None:
        """Run every job in its thread; all have ended when this returns, the first failure is raised."""
        main.record(self._fork)

        def work(job: Job, stream: Stream) -> None:
            stream.wait(self._fork)
            job(stream)
            stream.synchronize()

        futures = [self._pool.submit(work, *pair) for pair in zip(jobs, self.streams, strict=True)]
        for future in futures:
            future.exception()  # wait for all: none may still be running when the caller handles an error
        for future in futures:
            future.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
