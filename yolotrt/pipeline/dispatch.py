"""Deal the groups of tiles out to execution contexts and collect their results in tile order.

A group is one or several batches, which run one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from yolotrt.backends.base import Context, Engine

T = TypeVar("T")

DispatchMode = Literal["serial", "threads"]
DISPATCH_MODES: tuple[DispatchMode, ...] = ("serial", "threads")

BatchJob = Callable[[int, range, Context], T]
"""Called as ``job(group, tiles, context)``; does all the work of one batch of a group on its context."""

Batches = Sequence[tuple[range, Context]]
"""The batches of one group: which tiles, and where they run."""


class Dispatcher(Protocol):
    """Runs one job per batch."""

    def run(self, job: BatchJob[T]) -> list[T]:
        """Run ``job`` for every batch and return the results in the order of the tiles."""
        ...

    def close(self) -> None:
        """Stop what the dispatcher started."""
        ...


@dataclass(frozen=True)
class ThreadBudget:
    """How CPU threads are shared so that no dispatch mode gets more of them than another.

    Attributes:
        lanes: Groups that compute at the same time.
        threads: CPU threads per lane.
    """

    lanes: int
    threads: int

    @classmethod
    def share(cls, mode: DispatchMode, groups: int, total: int) -> ThreadBudget:
        """Divide ``total`` threads: all of them to one lane, or evenly among concurrent groups.

        With more groups than threads the groups take turns, so that never more than ``total`` compute.
        """
        lanes = 1 if mode == "serial" else min(groups, total)
        return cls(lanes, max(1, total // lanes))


def new_dispatcher(
    mode: DispatchMode, engine: Engine, groups: Sequence[Sequence[range]], cpu_threads: int
) -> Dispatcher:
    """Return a dispatcher with contexts of its own for each group.

    Args:
        mode: How the groups run.
        engine: The loaded engine that all contexts share.
        groups: The batches of each group, by their tiles' indices.
        cpu_threads: CPU threads that all groups together may use.

    Raises:
        ArtifactError: The engine has no profile for a batch's size.
    """
    budget = ThreadBudget.share(mode, len(groups), cpu_threads)
    work: list[Batches] = []
    for group, batches in enumerate(groups):
        lane, threads = group % budget.lanes, budget.threads
        sizes = dict.fromkeys(len(tiles) for tiles in batches)
        contexts = {size: engine.new_context(size, lane=lane, threads=threads) for size in sizes}
        work.append([(tiles, contexts[len(tiles)]) for tiles in batches])
    if mode == "serial":
        return SerialDispatcher(work)
    return ThreadsDispatcher(work, budget.lanes)


class SerialDispatcher:
    """Groups one after another on the calling thread: the effect of the chunk size alone."""

    def __init__(self, work: Sequence[Batches]) -> None:
        self._work = work

    def run(self, job: BatchJob[T]) -> list[T]:
        """Run ``job`` for every batch in order."""
        return [
            job(group, tiles, context)
            for group, batches in enumerate(self._work)
            for tiles, context in batches
        ]

    def close(self) -> None:
        """Nothing was started."""


class ThreadsDispatcher:
    """A Python thread per lane, each preparing, running and decoding its groups.

    What most applications do today, and the baseline for everything else.
    """

    def __init__(self, work: Sequence[Batches], lanes: int) -> None:
        self._work = work
        self._lanes = lanes
        from concurrent.futures import ThreadPoolExecutor  # whoever takes groups in series needs none

        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="yolotrt-group")

    def run(self, job: BatchJob[T]) -> list[T]:
        """Run ``job`` for every batch, lanes side by side; the first failure is raised when all ended."""
        groups = range(len(self._work))

        def work(lane: int) -> list[tuple[int, list[T]]]:
            return [
                (group, [job(group, tiles, context) for tiles, context in self._work[group]])
                for group in groups[lane :: self._lanes]
            ]

        futures = [self._pool.submit(work, lane) for lane in range(self._lanes)]
        for future in futures:
            future.exception()  # wait for all: a lane must not still write when the caller handles an error
        done = dict(pair for future in futures for pair in future.result())
        return [result for group in groups for result in done[group]]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
