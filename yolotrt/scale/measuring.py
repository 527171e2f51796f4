"""The same measurement on every machine of a cluster: each is alone meanwhile, with its own result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from yolotrt.progress import Say
from yolotrt.scale.ray_crew import connected

PATIENCE_S = 20.0
"""A worker of Ray needs some seconds to start where nobody else is."""


@dataclass(frozen=True)
class MeasuredThere:
    """What a command gave on one machine.

    Attributes:
        machine: Name of the machine.
        code: Exit code.
        out: What it wrote to stdout.
        err: What it wrote to stderr.
    """

    machine: str
    code: int
    out: str
    err: str


class Measurer:
    """Runs a command of ours on a machine; an actor that takes all of it."""

    def here(self) -> None:
        """Answer, which only an actor does that has got its machine."""

    def run(self, words: Sequence[str], folder: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of ``yolotrt WORDS``, run in a folder of this machine."""
        command = [sys.executable, "-m", "yolotrt", *words]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        except OSError as exc:
            return 1, "", f"error: Nothing can be run in {folder} here: {exc.strerror}."
        return done.returncode, done.stdout, done.stderr


class Machines:
    """The machines of a cluster that is connected.

    Args:
        ray: Ray.

    Attributes:
        names: What they are called; several nodes on one machine have a number each.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._nodes = sorted(
            (n for n in ray.nodes() if n["Alive"]), key=lambda n: (n["NodeManagerHostname"], n["NodeID"])
        )
        self.names = numbered([node["NodeManagerHostname"] for node in self._nodes])

    def run(self, words: Sequence[str], say: Say) -> Iterator[MeasuredThere]:
        """Run a command on all at the same time, in a folder of the name of ours; give what came of it.

        Args:
            words: What follows ``yolotrt``.
            say: Told of machines that have to be waited for: others use some of them.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        owed: list[Any] = []
        places: dict[Any, str] = {}
        for name, node in zip(self.names, self._nodes, strict=True):
            has = node["Resources"]
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            # All of it: whatever else the cluster does would be in the figures.
            taken = {"num_cpus": has.get("CPU", 0), "num_gpus": has.get("GPU", 0)}
            actor = self._ray.remote(scheduling_strategy=here, **taken)(Measurer).remote()
            places[actor.here.remote()] = name
            owed.append(actor.run.remote(list(words), os.getcwd()))
        waiting = self._ray.wait(list(places), num_returns=len(places), timeout=PATIENCE_S)[1]
        for name in sorted(places[promise] for promise in waiting):
            say(f"waiting for {name}: all of it is measured, and others use some of it")
        for name, promise in zip(self.names, owed, strict=True):
            yield MeasuredThere(name, *self._ray.get(promise))


@contextmanager
def machines(address: str, *, cpus: int) -> Iterator[Machines]:
    """Connect to the machines of a cluster while the block runs.

    Args:
        address: The cluster; see :func:`yolotrt.scale.ray_crew.connected`.
        cpus: Processors of a cluster of its own.

    Raises:
        MissingDependency: Ray is not installed.
        EnvironmentFault: There is no such cluster.
    """
    with connected(address, local_cpus=cpus) as ray:
        yield Machines(ray)


def numbered(names: Sequence[str]) -> list[str]:
    """Return names that tell those apart that occur several times: ``a-1``, ``a-2``."""
    return [
        name if names.count(name) == 1 else f"{name}-{names[:place].count(name) + 1}"
        for place, name in enumerate(names)
    ]


def without(words: Sequence[str], *options: str) -> list[str]:
    """Return the words of a command without options that take a value, in either spelling."""
    found: list[str] = []
    coming = iter(words)
    for word in coming:
        if word in options:
            next(coming, None)
        elif not any(word.startswith(f"{option}=" if option[1] == "-" else option) for option in options):
            found.append(word)
    return found
