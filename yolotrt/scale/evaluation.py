"""Accuracy over the machines of a cluster: each looks at some of the images, and the figures are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import open_engine
from yolotrt.data.formats.pictures import read_annotated
from yolotrt.errors import EnvironmentFault, ExecutionError, YoloTrtError
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.pipeline.settings import PassMode, PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.progress import Progress
from yolotrt.scale.ray_crew import ActorShare, connected
from yolotrt.scale.run import Workers
from yolotrt.workflow.evaluate import Judge
from yolotrt.workflow.look import Judged, Looks, LooksPart

TOGETHER = 16
"""Images that a worker looks at before it tells what it saw."""


class Looker:
    """Looks at images on one machine; an actor of Ray, or in the process of a test.

    Args:
        engine: The engine's file.
        truth: The annotations.
        folder: Where the images lie, unless ``truth`` knows.
        settings: The pipeline's.
        modes: The passes to judge.
        device: Where the engine runs.
        trust: Also load an engine that nothing vouches for.
    """

    def __init__(
        self,
        engine: Path,
        truth: GroundTruth,
        folder: Path | None,
        settings: PipelineSettings,
        modes: Sequence[PassMode],
        device: str,
        trust: bool,
    ) -> None:
        self._engine = open_engine(engine, device, trust=trust)
        self._truth, self._settings, self._modes = truth, settings, modes
        self._files = truth.files(folder)
        self._pipeline = TiledPipeline(self._engine, settings)

    def look(self, places: range) -> LooksPart:
        """Look at the images of these places.

        Raises:
            YoloTrtError: An image cannot be used, or the engine failed.
        """
        looks = Looks(self._engine.file, self._truth, self._settings, self._modes)
        for place in places:
            image = self._truth.images[place]
            looks.look(self._pipeline, image.id, read_annotated(image, self._files[place]))
        return looks.part()

    def close(self) -> None:
        """Free the engine."""
        with closing(self._engine):
            self._pipeline.close()


@contextmanager
def judging(workers: Workers, threads: int, *, device: str, trust: bool) -> Iterator[Judge]:
    """Give what judges engines on a cluster while the block runs.

    Times of images are left out: those of several machines are no latency of any.

    Args:
        workers: Who looks.
        threads: CPU threads of each.
        device: Where engines run, without GPUs that were asked for.
        trust: Also load engines that nothing vouches for.

    Raises:
        MissingDependency: Ray is not installed.
        EnvironmentFault: There is no such cluster, or no room for a worker.
        UsageError: It has no GPU, and one was asked for.
    """
    assert workers.ray is not None
    with connected(workers.ray, local_cpus=(workers.count or 2) * threads) as ray:
        count, share = _shares([n["Resources"] for n in ray.nodes() if n["Alive"]], workers, threads)

        def judge(
            file: EngineFile,
            truth: GroundTruth,
            folder: Path | None,
            settings: PipelineSettings,
            modes: Sequence[PassMode],
            progress: Progress,
        ) -> dict[PassMode, Judged]:
            where = "cuda:0" if workers.on_gpus else device  # Ray shows an actor its own GPU only
            place = None if folder is None else folder.absolute()
            arguments = (file.path.absolute(), ray.put(truth), place, settings, tuple(modes), where, trust)
            looks = Looks(file, truth, settings, modes)
            hands = min(count, workers.counted(file, device).count or count)
            for done, part in _parts(ray, share, hands, arguments, len(truth.images)):
                looks.absorb(replace(part, seconds={mode: {} for mode in modes}))
                progress("evaluate", done, len(truth.images))
            return looks.judged()

        yield judge


def _shares(nodes: Sequence[Mapping[str, float]], workers: Workers, threads: int) -> tuple[int, ActorShare]:
    """Return how many workers there are, of those asked for, and what each takes.

    No more than the machines have room for at once: one that waits for another's place never gets images.

    Args:
        nodes: What each machine has, as Ray says it.
        workers: What was asked for.
        threads: CPU threads of each.

    Raises:
        UsageError: There is no GPU.
        EnvironmentFault: No machine has room for a worker.
    """
    cpus = 1 if workers.on_gpus else threads
    room = sum(int(node.get("CPU", 0)) // cpus for node in nodes)
    if not room:
        raise EnvironmentFault(
            f"No machine of the cluster has {cpus} CPUs, which each worker takes.",
            hint="Use fewer --threads.",
        )
    if not workers.on_gpus:
        return min(workers.count or room, room), ActorShare(cpus)
    gpus = workers.gpus_of(sum(node.get("GPU", 0) for node in nodes))
    count = min(workers.count or gpus, room)
    return count, ActorShare(cpus, min(1.0, gpus / count))


def _parts(
    ray: Any, share: ActorShare, count: int, arguments: tuple[Any, ...], images: int
) -> Iterator[tuple[int, LooksPart]]:
    """Give what actors saw, as it comes; one that ends is started again, and looks again."""
    kind = ray.remote(
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        max_restarts=3,
        max_task_retries=3,
        scheduling_strategy="SPREAD",
    )(Looker)
    actors = [kind.remote(*arguments) for _ in range(count)]
    coming = iter([range(first, min(first + TOGETHER, images)) for first in range(0, images, TOGETHER)])
    owed: dict[Any, tuple[Any, range]] = {}

    def give(actor: Any) -> None:
        if (places := next(coming, None)) is not None:
            owed[actor.look.remote(places)] = (actor, places)

    for actor in actors * 2:
        give(actor)
    done = 0
    try:
        while owed:
            for promise in ray.wait(list(owed), num_returns=1)[0]:
                actor, places = owed.pop(promise)
                try:
                    part = ray.get(promise)
                except ray.exceptions.RayTaskError as exc:
                    if isinstance(exc.cause, YoloTrtError):
                        raise exc.cause from exc
                    raise
                except ray.exceptions.RayError as exc:
                    raise ExecutionError(
                        f"A worker ended again and again at image {places.start + 1} ({type(exc).__name__}).",
                        hint="See Ray's logs; an engine that does not load there says why.",
                    ) from exc
                done += len(places)
                give(actor)
                yield done, part
    finally:
        for actor in actors:
            ray.kill(actor)
