"""A process of ``yolotrt run`` that works on some of its sources, on a GPU of its own.

It does what one process does for all, and tells whoever started it: its figures, its lines, and what is to be
said. What the user named, as a function, is imported here by its name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from yolotrt.cli.console import note, show_warnings, talk
from yolotrt.cli.run_job import RunJob
from yolotrt.cli.run_outputs import RunOutputs

if TYPE_CHECKING:
    from yolotrt.bench.apart import Failure
    from yolotrt.bench.run_file import Delivery
    from yolotrt.workflow.outlets import Opening, SeenFrame


_WORK = ("yolotrt.bench.sustain", "yolotrt.workflow.calibrated_light")


@dataclass(frozen=True)
class RunLane:
    """What one process works on.

    Attributes:
        device: Where its engines run.
        places: Which sources.
    """

    device: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class Message:
    """Something to be said to the user."""

    text: str


@dataclass(frozen=True)
class Prepared:
    """A process has loaded its engines, and waits for a word to begin.

    Attributes:
        pci_bus_ids: Where its GPUs sit.
    """

    pci_bus_ids: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line for ``--jsonl``."""

    data: bytes


@dataclass(frozen=True)
class Processed:
    """No more frames come from a process.

    Attributes:
        failure: What ended it; None where its sources ended.
    """

    failure: Failure | None


@dataclass(frozen=True)
class Closed:
    """A process has closed its outputs, and ends.

    Attributes:
        deliveries: What became of its results.
        remarks: What its sources say of themselves.
    """

    deliveries: tuple[Delivery, ...]
    remarks: tuple[str, ...]


def work(driver: Connection) -> None:
    """Be such a process.

    Args:
        driver: What is to be done, where results go and a :class:`RunLane` come first, then a word to begin,
            and perhaps one to end.
    """
    from yolotrt.bench.apart import Failure

    sending = threading.Lock()

    def send(message: Any) -> None:
        with sending:
            driver.send(message)

    job, outputs, lane = driver.recv()
    talk.elsewhere = lambda text: send(Message(text))
    show_warnings()
    with ExitStack() as opened:
        try:
            for name in _WORK:  # the cameras begin once this process is prepared, and wait for nothing then
                import_module(name)
            outputs.load()
            every = job.sources()
            sources = [every[place] for place in lane.places]
            pipeline = opened.enter_context(job.pipeline(lane.device))
            job.prepare(pipeline, sources)
            send(Prepared(pipeline.pci_bus_ids))
        except Exception as exc:
            send(Processed(Failure.of(exc)))
            return
        driver.recv()
        try:
            deliveries = _process(job, outputs, lane, sources, pipeline, driver, send)
        except Exception as exc:  # an output that cannot be closed, or a bug
            send(Processed(Failure.of(exc)))
            return
        send(Closed(deliveries, tuple(remark for source in sources for remark in source.remarks())))


def _process(
    job: RunJob,
    outputs: RunOutputs,
    lane: RunLane,
    sources: Any,
    pipeline: Any,
    driver: Connection,
    send: Any,
) -> tuple[Delivery, ...]:
    """Process the sources until they end, or a word comes to end; return what became of the results."""
    from yolotrt.bench.apart import Failure, SayingTally
    from yolotrt.bench.sustain import sustain
    from yolotrt.workflow.calibrated_light import noting_light

    feeds = job.feeds(sources).start_apart()

    def end_when_told() -> None:
        with suppress(EOFError, OSError):
            driver.recv()
        for part in feeds.parts:
            part.stop()

    threading.Thread(target=end_when_told, name="yolotrt-driver", daemon=True).start()
    tallies: list[SayingTally] = []

    def counting(*given: Any) -> SayingTally:
        tallies.append(SayingTally(send, *given))
        return tallies[0]

    named = [(source.name, source.fps) for source in sources]
    lines = _sent_lines(pipeline.names, send) if outputs.lines is not None else None
    outlets: list[Any] = []
    failure: Exception | None = None
    try:
        with outputs.opened(
            pipeline, named, lossless=job.policy == "block", places=lane.places, lines=lines
        ) as (deliver, outlets):
            try:
                sustain(
                    pipeline,
                    feeds,
                    duration_s=job.duration_s,
                    deadline_s=job.deadline_s,
                    deliver=noting_light(job.engine, deliver, note),
                    counting=counting,
                )
            except Exception as exc:
                if not any(part.failure is exc for part in feeds.parts):  # of which the driver hears anyway
                    failure = exc
            if tallies:
                tallies[0].report(feeds.counts)
            send(Processed(None if failure is None else Failure.of(failure)))
    finally:
        feeds.close()
    return tuple(outlet.delivery for outlet in outlets)


def _sent_lines(names: tuple[str, ...], send: Any) -> Opening[SeenFrame]:
    """Return what makes lines here and has them written by the driver."""
    from yolotrt.workflow.identity import own_ids
    from yolotrt.workflow.outlets import frame_line

    ids = own_ids(names, None)

    @contextmanager
    def opened() -> Iterator[Any]:
        yield lambda seen: send(Line(frame_line(seen, ids)))

    return opened
