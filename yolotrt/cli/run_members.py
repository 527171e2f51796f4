"""The processes of a ``yolotrt run``: started, spoken to, and ended."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from yolotrt.cli.console import say
from yolotrt.cli.run_job import RunJob
from yolotrt.cli.run_outputs import RunOutputs
from yolotrt.cli.run_process import Message, Prepared, RunLane
from yolotrt.errors import ExecutionError


@dataclass
class RunProcess:
    """One of them, and what is known of it."""

    lane: RunLane
    process: subprocess.Popen[bytes]
    pipe: Connection
    processed: bool = False
    failed: bool = False
    closed: bool = False


class RunProcesses:
    """The processes."""

    def __init__(self) -> None:
        self._members: list[RunProcess] = []
        self._said: set[str] = set()

    @classmethod
    @contextmanager
    def of(
        cls, told: tuple[RunJob, RunOutputs], lanes: Sequence[RunLane], piped: Sequence[bool]
    ) -> Iterator[RunProcesses]:
        """Start a process for each lane; they end with the block. ``piped`` sources come on stdin."""
        from yolotrt.scale.processes import started

        members = cls()
        try:
            for lane in lanes:
                stdin = None if any(piped[place] for place in lane.places) else subprocess.DEVNULL
                process, pipe = started("yolotrt.cli.run_process:work", stdin=stdin)
                members._members.append(RunProcess(lane, process, pipe))
                pipe.send((*told, lane))
            yield members
        finally:
            for member in members._members:
                if not member.closed:
                    member.process.kill()
                member.closed = True
                member.pipe.close()
            for member in members._members:
                member.process.wait()

    @property
    def ids(self) -> list[int]:
        """The numbers of those that run."""
        return [member.process.pid for member in self._members if member.process.poll() is None]

    def prepared(self) -> list[str]:
        """Wait until all have loaded their engines; return where their GPUs sit.

        Raises:
            YoloTrtError: One of them cannot.
        """
        found: dict[int, tuple[str, ...]] = {}
        while len(found) < len(self._members):
            for member, said in self.listen():
                if isinstance(said, Prepared):
                    found[id(member)] = said.pci_bus_ids
                elif said.failure is not None:
                    raise said.failure.error()
        return [place for member in self._members for place in found[id(member)]]

    def tell_all(self) -> None:
        """Give the word to begin, or to end."""
        for member in self._members:
            if not member.closed:
                try:
                    member.pipe.send(True)
                except OSError:
                    continue  # it has ended, and listen() says so

    def all(self, name: str) -> bool:
        """Return whether something is true of all."""
        return all(getattr(member, name) for member in self._members)

    def listen(self) -> Iterator[tuple[RunProcess, Any]]:
        """Wait for what they say, and give it; say what is for the user.

        Raises:
            ExecutionError: One of them ended without a word.
        """
        open_pipes = {id(member.pipe): member for member in self._members if not member.closed}
        for pipe in wait([member.pipe for member in open_pipes.values()]):
            member = open_pipes[id(pipe)]
            try:
                said = member.pipe.recv()
            except (EOFError, OSError):
                member.processed = member.closed = True
                if member.failed:  # it has said why
                    continue
                raise ExecutionError(
                    f"The process for {member.lane.device} ended ({_how(member.process.wait())}).",
                    hint="See whether it was killed for memory (dmesg); what came before that is complete.",
                ) from None
            if not isinstance(said, Message):
                yield member, said
            elif said.text not in self._said:  # several say the same of one engine
                self._said.add(said.text)
                say(said.text)


def _how(code: int) -> str:
    """Return how a process ended."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
