"""The same measurement on every machine of a cluster: each is alone meanwhile, with its own result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from yolotrt.scale.ray_crew import connected


@dataclass(frozen=True)
class MeasuredThere:
    """What a command gave on one machine.

    Attributes:
        machine: Name of the machine; of several nodes on one, with a number.
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

    def run(self, words: Sequence[str]) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of ``yolotrt WORDS``."""
        done = subprocess.run([sys.executable, "-m", "yolotrt", *words], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr


def on_every_machine(address: str, words: Sequence[str], *, cpus: int) -> Iterator[MeasuredThere]:
    """Run a command on every machine of a cluster at the same time, and give what came of it, by their names.

    Args:
        address: The cluster; see :func:`yolotrt.scale.ray_crew.connected`.
        words: What follows ``yolotrt``.
        cpus: Processors of a cluster of its own.

    Raises:
        MissingDependency: Ray is not installed.
        EnvironmentFault: There is no such cluster.
    """
    with connected(address, local_cpus=cpus) as ray:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = sorted(
            (n for n in ray.nodes() if n["Alive"]), key=lambda n: (n["NodeManagerHostname"], n["NodeID"])
        )
        owed: list[tuple[str, Any]] = []
        for node in nodes:
            has = node["Resources"]
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            # All of it: whatever else the cluster does would be in the figures.
            taken = {"num_cpus": has.get("CPU", 0), "num_gpus": has.get("GPU", 0)}
            actor = ray.remote(scheduling_strategy=here, **taken)(Measurer).remote()
            owed.append((node["NodeManagerHostname"], actor.run.remote(list(words))))
        names = [name for name, _ in owed]
        for place, (name, promise) in enumerate(owed):
            number = names[:place].count(name) + 1
            machine = name if names.count(name) == 1 else f"{name}-{number}"
            yield MeasuredThere(machine, *ray.get(promise))


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
