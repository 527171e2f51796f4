"""Accuracy over the machines of a cluster: each looks at some of the images, and the figures are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import open_engine
from yolotrt.data.formats.pictures import read_annotated
from yolotrt.errors import ExecutionError, YoloTrtError
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
def judging(workers: Workers, threads: int, *, trust: bool) -> Iterator[Judge]:
    """Give what judges engines on a cluster while the block runs.

    Times of images are left out: those of several machines are no latency of any.

    Args:
        workers: Who looks.
        threads: CPU threads of each.
        trust: Also load engines that nothing vouches for.

    Raises:
        MissingDependency: Ray is not installed.
        EnvironmentFault: There is no such cluster.
    """
    assert workers.ray is not None
    count = workers.count or 2
    with connected(workers.ray, local_cpus=count * threads) as ray:
        there = ray.cluster_resources()
        if workers.count is None:
            count = int(there.get("GPU" if workers.on_gpus else "CPU", 1)) // (
                1 if workers.on_gpus else threads
            )
        share = ActorShare(threads, min(1.0, there.get("GPU", 0) / max(count, 1)) if workers.on_gpus else 0)

        def judge(
            file: EngineFile,
            truth: GroundTruth,
            folder: Path | None,
            settings: PipelineSettings,
            modes: Sequence[PassMode],
            progress: Progress,
        ) -> dict[PassMode, Judged]:
            device = "cuda:0" if workers.on_gpus else "auto"
            place = None if folder is None else folder.absolute()
            arguments = (file.path.absolute(), ray.put(truth), place, settings, tuple(modes), device, trust)
            looks = Looks(file, truth, settings, modes)
            for done, part in _parts(ray, share, max(count, 1), arguments, len(truth.images)):
                looks.absorb(replace(part, seconds={mode: {} for mode in modes}))
                progress("evaluate", done, len(truth.images))
            return looks.judged()

        yield judge


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
