"""A few threads that work through a list, and leave at once when nobody wants the results any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from yolotrt.data.fetch.http import Stopped

J = TypeVar("J")
E = TypeVar("E")

_FAREWELL_S = 2.0

_PACE_S = 0.02
"""Pause before looking for more results. Waking for each one would take the interpreter's lock from the
threads that do the work, hundreds of times a second."""


def in_parallel(
    jobs: Sequence[J], work: Callable[[J, Callable[[E], None]], None], workers: int, stop: threading.Event
) -> Generator[E, None, None]:
    """Run ``work(job, emit)`` for every job on ``workers`` threads; yield what they emit, as it comes.

    Everything is yielded in the caller's thread, so the caller needs no locks. An exception in ``work``
    is raised here. Leaving the loop early, by an exception, by Ctrl-C or by closing the iterator, sets
    ``stop``: the threads are then expected to raise :class:`Stopped` soon. They are daemons, so one that
    is stuck in a silent connection does not keep the process alive.
    """
    waiting: SimpleQueue[J] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    events: SimpleQueue[tuple[E] | BaseException | None] = SimpleQueue()

    def loop() -> None:
        try:
            while not stop.is_set():
                work(waiting.get_nowait(), lambda event: events.put((event,)))
        except (Empty, Stopped):
            pass
        except BaseException as exc:
            events.put(exc)
        finally:
            events.put(None)

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    running = len(threads)
    try:
        while running:
            if events.empty():
                time.sleep(_PACE_S)
            event = events.get()
            if event is None:
                running -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield event[0]
    finally:
        stop.set()
        for thread in threads:
            thread.join(_FAREWELL_S / len(threads))
