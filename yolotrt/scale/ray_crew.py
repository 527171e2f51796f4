"""Workers as actors of Ray: the same hands, on as many machines as the cluster has."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolotrt.distribution import install_hint
from yolotrt.errors import EnvironmentFault, MissingDependency
from yolotrt.scale.crew import Hand, Lost, Said
from yolotrt.scale.job import Job
from yolotrt.scale.plan import Shard


def ray_module() -> Any:
    """Return Ray.

    Raises:
        MissingDependency: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what runs here
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # ``ray start`` asks for the token that is there, and drivers do not offer it unless they are told to. Ray
    # reads this once, when it is imported.
    if "ray" not in sys.modules and (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError as exc:
        raise MissingDependency(f"--ray needs Ray ({exc}).", hint=install_hint("ray")) from exc
    return ray


@contextmanager
def connected(address: str, *, local_cpus: int) -> Iterator[Any]:
    """Connect to a cluster while the block runs.

    Args:
        address: ``auto`` for the cluster that this machine is part of, ``local`` for one of its own that
            ends with the block, or an address.
        local_cpus: Processors of a cluster of its own.

    Raises:
        MissingDependency: Ray is not installed.
        EnvironmentFault: There is no such cluster.
    """
    ray = ray_module()
    mine = address == "local"
    options: dict[str, Any] = {"num_cpus": local_cpus, "include_dashboard": False} if mine else {}
    if mine:  # its workers are this command's: by itself Ray lets them wait for everybody else's processes
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            configure_logging=True,
            **options,
        )
    except Exception as exc:  # Ray raises that itself where a part of it does not start in time
        raise EnvironmentFault(
            f"There is no Ray cluster at {address!r} ({str(exc).splitlines()[0]}).",
            hint="Start one: ray start --head   (or use --ray local for one that ends with the batch)",
        ) from exc
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class ActorShare:
    """What of a machine an actor takes.

    Attributes:
        cpus: Processors.
        gpus: GPUs; below 1 several actors share one.
    """

    cpus: float = 1.0
    gpus: float = 0.0


class RayCrew:
    """Workers as actors, spread over the machines of a cluster.

    Args:
        ray: Ray, connected.
        jobs: What each is told.
        share: What each takes; an actor waits until it is free.
    """

    def __init__(self, ray: Any, jobs: Sequence[Job], share: ActorShare) -> None:
        self.size = len(jobs)
        self._ray, self._jobs = ray, list(jobs)
        self._kind = ray.remote(
            num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )(Hand)
        self._actors: list[Any] = [None] * self.size
        self._owed: dict[Any, int] = {}
        for member in range(self.size):
            self._hire(member)

    def give(self, member: int, shard: Shard) -> None:
        """See :class:`yolotrt.scale.crew.Crew`."""
        self._owed[self._actors[member].do.remote(shard)] = member

    def listen(self, timeout_s: float) -> list[tuple[int, Said | Lost]]:
        """See :class:`yolotrt.scale.crew.Crew`."""
        ready, _ = self._ray.wait(list(self._owed), num_returns=1, timeout=timeout_s)
        news: list[tuple[int, Said | Lost]] = []
        for promise in ready:
            member = self._owed.pop(promise)
            try:
                news.append((member, self._ray.get(promise)))
            except self._ray.exceptions.RayError:  # the actor, its machine or its GPU is gone
                self._dismiss(member)
                self._hire(member)
                news.append((member, Lost()))
        return news

    def close(self) -> None:
        """See :class:`yolotrt.scale.crew.Crew`."""
        for member in range(self.size):
            self._dismiss(member)

    def _hire(self, member: int) -> None:
        actor = self._kind.remote(self._jobs[member])
        self._actors[member] = actor
        self._owed[actor.begin.remote()] = member

    def _dismiss(self, member: int) -> None:
        self._owed = {promise: owner for promise, owner in self._owed.items() if owner != member}
        self._ray.kill(self._actors[member])
