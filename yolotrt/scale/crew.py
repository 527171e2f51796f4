"""Workers as the driver of a batch sees them: it gives shards and hears what came of them.

A worker may end at any moment. Then its crew puts another in its place and says so; what it had in hand is
given again. The same :class:`Hand` does the work in a local process and as an actor of Ray.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Protocol

from yolotrt import errors
from yolotrt.errors import DeviceError, StorageError, YoloTrtError
from yolotrt.scale.job import Job, Outcome, Worker
from yolotrt.scale.plan import Shard
from yolotrt.scale.processes import started


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its engine.

    Attributes:
        where: Machine and process.
    """

    where: str


@dataclass(frozen=True)
class Refused:
    """Something failed that will not get better by trying again.

    Attributes:
        shard: The shard that was tried; None if the worker could not begin.
        kind: Name of the error's class.
        message: What went wrong.
        hint: What to do next.
    """

    shard: int | None
    kind: str
    message: str
    hint: str | None = None

    @property
    def stops_all(self) -> bool:
        """Whether every other shard would fail, too: no engine, or no room for results."""
        return self.shard is None or self.kind == StorageError.__name__

    def error(self) -> YoloTrtError:
        """Return the error."""
        kind = getattr(errors, self.kind, YoloTrtError)
        found: YoloTrtError = kind(self.message, hint=self.hint)
        return found


@dataclass(frozen=True)
class Lost:
    """A worker ended without a word; another is in its place by now."""


Said = Ready | Refused | Outcome


class Crew(Protocol):
    """Workers, numbered from 0."""

    size: int

    def give(self, member: int, shard: Shard) -> None:
        """Let a worker compute a shard, behind those that it has."""
        ...

    def listen(self, timeout_s: float) -> list[tuple[int, Said | Lost]]:
        """Wait for news; an empty list after the time."""
        ...

    def close(self) -> None:
        """End them all."""
        ...


class Hand:
    """A worker that says what happens instead of raising it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._worker: Worker | None = None

    def begin(self) -> Ready | Refused:
        """Load the engine."""
        try:
            self._worker = Worker(self._job)
        except YoloTrtError as exc:
            return _refused(None, exc)
        return Ready(self._worker.where)

    def do(self, shard: Shard) -> Outcome | Refused:
        """Compute a shard.

        Raises:
            DeviceError: The GPU is lost: the worker had better end.
        """
        assert self._worker is not None, "begin() comes first"
        try:
            return self._worker.do(shard)
        except DeviceError:
            raise
        except YoloTrtError as exc:
            return _refused(shard.index, exc)
        except Exception as exc:  # a bug that one picture brings out must not end a batch of a million
            return Refused(shard.index, type(exc).__name__, f"{type(exc).__name__}: {exc}")


def _refused(shard: int | None, exc: YoloTrtError) -> Refused:
    return Refused(shard, type(exc).__name__, exc.message, exc.hint)


class LocalCrew:
    """Workers in processes of this machine; they end with this one, however it ends."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.size = len(jobs)
        self._jobs = list(jobs)
        self._members: list[tuple[subprocess.Popen[bytes], Connection]] = []
        try:
            for job in jobs:
                self._members.append(self._hired(job))
        except BaseException:
            self.close()
            raise

    def give(self, member: int, shard: Shard) -> None:
        """See :class:`Crew`."""
        try:
            self._members[member][1].send(shard)
        except OSError:
            return  # it has ended, and listen() says so

    def listen(self, timeout_s: float) -> list[tuple[int, Said | Lost]]:
        """See :class:`Crew`."""
        by_pipe = {id(pipe): member for member, (_, pipe) in enumerate(self._members)}
        news: list[tuple[int, Said | Lost]] = []
        for ready in wait([pipe for _, pipe in self._members], timeout_s):
            assert isinstance(ready, Connection)
            member = by_pipe[id(ready)]
            try:
                news.append((member, ready.recv()))
            except (EOFError, OSError):
                process, pipe = self._members[member]
                pipe.close()
                process.wait()
                self._members[member] = self._hired(self._jobs[member])
                news.append((member, Lost()))
        return news

    def close(self) -> None:
        """See :class:`Crew`; results that are being written are not broken by it."""
        for process, pipe in self._members:
            process.kill()
            pipe.close()
        for process, _ in self._members:
            process.wait()
        self._members.clear()

    def _hired(self, job: Job) -> tuple[subprocess.Popen[bytes], Connection]:
        process, pipe = started("yolotrt.scale.crew:work")
        pipe.send(job)
        return process, pipe


def work(driver: Connection) -> None:
    """Be a worker: load the engine, then compute what comes, until the driver ends.

    Args:
        driver: The job comes first.
    """
    hand = Hand(driver.recv())
    driver.send(hand.begin())
    while True:
        driver.send(hand.do(driver.recv()))
