"""Deal the groups of tiles out to execution contexts and collect their results in tile order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from yolotrt.backends.base import Context, Engine

T = TypeVar("T")

DispatchMode = Literal["serial", "threads"]
DISPATCH_MODES: tuple[DispatchMode, ...] = ("serial", "threads")

GroupJob = Callable[[int, Context], T]
"""Called as ``job(group, context)``; does all the work of one group on its context."""


class Dispatcher(Protocol):
    """Runs one job per group."""

    def run(self, job: GroupJob[T]) -> list[T]:
        """Run ``job`` for every group and return the results in group order."""
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
    mode: DispatchMode, engine: Engine, groups: Sequence[range], cpu_threads: int
) -> Dispatcher:
    """Return a dispatcher with one context per group.

    Args:
        mode: How the groups run.
        engine: The loaded engine that all contexts share.
        groups: Tile indices of each group; only their lengths matter here.
        cpu_threads: CPU threads that all groups together may use.

    Raises:
        ArtifactError: The engine has no profile for a group's size.
    """
    budget = ThreadBudget.share(mode, len(groups), cpu_threads)
    contexts = [
        engine.new_context(len(tiles), lane=group % budget.lanes, threads=budget.threads)
        for group, tiles in enumerate(groups)
    ]
    if mode == "serial":
        return SerialDispatcher(contexts)
    return ThreadsDispatcher(contexts, budget.lanes)


class SerialDispatcher:
    """Groups one after another on the calling thread: the effect of the chunk size alone."""

    def __init__(self, contexts: Sequence[Context]) -> None:
        self._contexts = contexts

    def run(self, job: GroupJob[T]) -> list[T]:
        """Run ``job`` for every group in order."""
        return [job(group, context) for group, context in enumerate(self._contexts)]

    def close(self) -> None:
        """Nothing was started."""


class ThreadsDispatcher:
    """A Python thread per lane, each preparing, running and decoding its groups.

    What most applications do today, and the baseline for everything else.
    """

    def __init__(self, contexts: Sequence[Context], lanes: int) -> None:
        self._contexts = contexts
        self._lanes = lanes
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="yolotrt-group")

    def run(self, job: GroupJob[T]) -> list[T]:
        """Run ``job`` for every group, lanes side by side; the first failure is raised when all ended."""
        groups = range(len(self._contexts))

        def work(lane: int) -> list[tuple[int, T]]:
            return [(group, job(group, self._contexts[group])) for group in groups[lane :: self._lanes]]

        futures = [self._pool.submit(work, lane) for lane in range(self._lanes)]
        for future in futures:
            future.exception()  # wait for all: a lane must not still write when the caller handles an error
        done = dict(pair for future in futures for pair in future.result())
        return [done[group] for group in groups]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
