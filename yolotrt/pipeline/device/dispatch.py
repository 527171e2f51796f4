"""How the groups of a frame run on a GPU: one after another, by threads, or on streams of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

from yolotrt.cuda.device import Device, Event, Scope, Stream
from yolotrt.errors import UsageError
from yolotrt.pipeline.device.share import Gpu

DeviceDispatch = Literal["serial", "threads", "streams", "graph"]
DEVICE_DISPATCH: tuple[DeviceDispatch, ...] = ("serial", "threads", "streams", "graph")
"""``graph`` captures each job that ``streams`` enqueues and launches it as a whole."""

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
    """Runs jobs between two points of the main stream, each as soon as what it needs is there.

    Attributes:
        streams: Its own streams.
    """

    streams: list[Stream]

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the stream that a job always gets; ``main`` is the frame's."""
        ...

    def fork(self, main: Stream) -> None:
        """Let the jobs of a frame come after what is in ``main``."""
        ...

    def start(self, index: int, job: Job, main: Stream, after: Event) -> None:
        """Start a job behind the fork, an event, and jobs of the same number that were started before."""
        ...

    def join(self, main: Stream) -> None:
        """Let what comes next in ``main`` come after all jobs; the first failure of one is raised."""
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

    def fork(self, main: Stream) -> None:
        """Do nothing: everything is in the main stream."""

    def start(self, index: int, job: Job, main: Stream, after: Event) -> None:
        """Enqueue one job behind the other."""
        main.wait(after)
        job(main)

    def join(self, main: Stream) -> None:
        """Do nothing: everything is in the main stream."""

    def close(self) -> None:
        """Nothing was started."""


class StreamJobs:
    """A stream per job, all enqueued by the calling thread."""

    def __init__(self, scope: Scope, jobs: int) -> None:
        self.streams = [scope.stream() for _ in range(jobs)]
        self._done = [scope.event() for _ in range(jobs)]
        self._fork = scope.event()
        self._started: set[int] = set()

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the job's own stream."""
        return self.streams[job]

    def fork(self, main: Stream) -> None:
        """Mark where the jobs begin."""
        self._started.clear()
        main.record(self._fork)

    def start(self, index: int, job: Job, main: Stream, after: Event) -> None:
        """Enqueue a job in its stream."""
        stream = self.streams[index]
        stream.wait(self._fork)
        stream.wait(after)
        job(stream)
        stream.record(self._done[index])
        self._started.add(index)

    def join(self, main: Stream) -> None:
        """Wait for all streams in the main one."""
        for index in sorted(self._started):
            main.wait(self._done[index])

    def close(self) -> None:
        """Nothing was started."""


class ThreadJobs:
    """A Python thread and a stream per job; each thread enqueues its job and waits for it.

    Threads take jobs as they come: those of one number must not depend on each other.
    """

    def __init__(self, device: Device, scope: Scope, jobs: int) -> None:
        self.streams = [scope.stream() for _ in range(jobs)]
        self._fork = scope.event()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="yolotrt-group", initializer=device.bind)
        self._futures: list[Future[None]] = []

    def stream_of(self, job: int, main: Stream) -> Stream:
        """Return the job's own stream."""
        return self.streams[job]

    def fork(self, main: Stream) -> None:
        """Mark where the jobs begin."""
        self._futures.clear()
        main.record(self._fork)

    def start(self, index: int, job: Job, main: Stream, after: Event) -> None:
        """Run a job in its thread."""
        self._futures.append(self._pool.submit(self._work, job, self.streams[index], after))

    def join(self, main: Stream) -> None:
        """Wait until all jobs have ended, and raise the first failure."""
        for future in self._futures:
            future.exception()  # wait for all: none may still be running when the caller handles an error
        for future in self._futures:
            future.result()

    def close(self) -> None:
        """End the threads, when their jobs have ended."""
        self._pool.shutdown()

    def _work(self, job: Job, stream: Stream, after: Event) -> None:
        stream.wait(self._fork)
        stream.wait(after)
        job(stream)
        stream.synchronize()
