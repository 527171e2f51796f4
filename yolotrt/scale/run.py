"""A batch from its words to its report: planned, computed by a crew, and whatever is stale removed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from yolotrt.artifacts.claims import require_apart, suggested
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import OVERNIGHT_S, exclusive, mapped_os_errors
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.artifacts.hidden import is_hidden_name
from yolotrt.backends.base import EngineFile
from yolotrt.backends.placement import place
from yolotrt.errors import ArtifactError, StorageError, UsageError
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.scale.batch import remove_stale, run_batch
from yolotrt.scale.crew import Crew, LocalCrew
from yolotrt.scale.inputs import Input, inputs
from yolotrt.scale.job import Job
from yolotrt.scale.layouts import layout
from yolotrt.scale.plan import NAME, read_plan, write_plan
from yolotrt.scale.ray_crew import ActorShare, RayCrew, connected
from yolotrt.text import shell_words
from yolotrt.workflow.batched import BATCH, REPORT, BatchReport, Request

_AT_ONCE_S = 0.05


@dataclass(frozen=True)
class Workers:
    """Who computes a batch.

    Attributes:
        count: How many; None takes what there is.
        gpus: GPUs of this machine by number; none for processors. With Ray only their number counts, and
            ``all`` are those of the cluster.
        all_gpus: Take every GPU that there is.
        ray: Ray's cluster: ``auto``, ``local`` or an address; None for processes of this machine.
    """

    count: int | None = None
    gpus: tuple[int, ...] = ()
    all_gpus: bool = False
    ray: str | None = None

    @property
    def on_gpus(self) -> bool:
        """Whether engines run on GPUs that were asked for."""
        return bool(self.gpus) or self.all_gpus

    def counted(self, engine: EngineFile, device: str) -> Workers:
        """Return these, or one where several that nobody asked for would share the GPU of ``device``."""
        shared = self.count is None and not self.on_gpus and place(engine, device).gpus
        return replace(self, count=1) if shared else self

    def gpus_of(self, there: float) -> int:
        """Return how many GPUs of a cluster that has so many are to be used.

        Raises:
            UsageError: None.
        """
        count = int(there) if self.all_gpus else len(self.gpus)
        if not count:
            raise UsageError("The cluster has no GPU.", hint="Leave out --gpus, or start Ray where one is.")
        return count


def batch(
    engine: EngineFile,
    words: Sequence[str],
    folder: Path,
    settings: PipelineSettings,
    workers: Workers,
    *,
    layout_name: str = "jsonl",
    frames: int = 32,
    device: str = "auto",
    trust: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
    say: Say = print,
) -> BatchReport:
    """Look at all inputs, and write what was found into a folder; continue what an earlier run began there.

    Args:
        engine: The engine.
        words: The inputs; see :func:`yolotrt.scale.inputs.inputs`.
        folder: Gets the plan, the results and the report.
        settings: How frames are cut, run, decoded and merged; ``cpu_threads`` is for each worker.
        workers: Who computes.
        layout_name: How results are written; see :data:`yolotrt.scale.layouts.LAYOUTS`.
        frames: Frames of a shard.
        device: Where engines run, without GPUs that were asked for.
        trust: Also load an engine that nothing vouches for.
        overwrite: Let results of another batch, or what else is in the folder, go.
        progress: Told how far it is.
        say: Told what the user should know.

    Raises:
        UsageError: The folder is an input.
        StorageError: It holds something else.
        YoloTrtError: The engine does not load, or there are no workers.
    """
    layout(layout_name)
    workers = workers.counted(engine, device)
    require_apart("-o", folder, [engine.path, *map(Path, words)])
    request = Request(
        str(engine.path), sha256_file(engine.path), deciding(settings), tuple(words), layout_name, frames
    )
    _require_own(folder, request, overwrite=overwrite)
    with mapped_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    job = Job(os.path.abspath(engine.path), settings, os.path.abspath(folder), layout_name, device, trust)
    with exclusive(folder / NAME, say, OVERNIGHT_S), ExitStack() as held:
        planned = held.enter_context(_planning(folder, request, progress))
        crew: Crew | None = None
        if planned is not None:
            crew = held.enter_context(hired(job, workers, say))
            total = planned.result()
        else:
            total = write_plan(folder, request, inputs(words), progress=progress)
        report = run_batch(
            folder,
            lambda: hired(job, workers, say) if crew is None else nullcontext(crew),
            total,
            layout_name=layout_name,
            progress=progress,
            say=say,
        )
        if gone := remove_stale(folder, layout_name):
            say(f"note: {gone} results of an earlier plan were removed: their inputs changed or went")
        BATCH.write(folder / REPORT, report)
    return report


@contextmanager
def _planning(folder: Path, request: Request, progress: Progress) -> Iterator[Future[tuple[int, int]] | None]:
    """Plan in a thread, since workers take seconds to start; None where an earlier plan is there.

    Then perhaps nothing is missing, and nobody is to be hired. Workers are hired in the main thread: those of
    this machine end with the thread that started them.

    Raises:
        InputError: There are no inputs.
    """
    if (folder / NAME).exists():
        yield None
        return
    ended = threading.Event()

    def until_ended() -> Iterator[Input]:
        for one in inputs(request.inputs):
            if ended.is_set():
                raise UsageError("The batch was given up while it was planned.")
            yield one

    with ThreadPoolExecutor(1, "yolotrt-plan") as pool:
        planned = pool.submit(write_plan, folder, request, until_ended(), progress=progress)
        try:
            with suppress(FutureTimeout):
                planned.result(_AT_ONCE_S)  # what is wrong with the inputs mostly shows at once
            yield planned
        finally:
            ended.set()


def deciding(settings: PipelineSettings) -> dict[str, object]:
    """Return the settings that results follow from, as JSON values; not those that only decide how fast."""
    fast = {"groups", "dispatch", "cpu_threads", "depth", "global_order", "measure"}
    found: dict[str, object] = as_values(settings)
    return {name: value for name, value in found.items() if name not in fast}


@contextmanager
def hired(job: Job, workers: Workers, say: Say) -> Iterator[Crew]:
    """Give workers, for as long as the block runs.

    Raises:
        UsageError: There are no GPUs.
        EnvironmentFault: There is no cluster.
    """
    threads = job.settings.cpu_threads
    crew: Crew
    if workers.ray is None:
        gpus = _local_gpus() if workers.all_gpus else workers.gpus
        count = workers.count or len(gpus) or max(1, len(os.sched_getaffinity(0)) // threads)
        jobs = [job] * count if not gpus else [_on(job, gpus[n % len(gpus)]) for n in range(count)]
        say(f"workers: {count} processes" + (f" on {len(gpus)} GPUs" if gpus else ""))
        crew = LocalCrew(jobs)
        try:
            yield crew
        finally:
            crew.close()
        return
    with connected(workers.ray, local_cpus=_cpus_here(workers, threads)) as ray:
        there = ray.cluster_resources()
        share = ActorShare(cpus=threads)
        count = workers.count or max(1, int(there.get("CPU", 1)) // threads)
        if workers.on_gpus:
            gpus_there = workers.gpus_of(there.get("GPU", 0))
            count = workers.count or gpus_there
            share = ActorShare(cpus=1, gpus=min(1.0, gpus_there / count))
            job = _on(job, 0)  # Ray shows an actor its own GPU only
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        say(f"workers: {count} actors of Ray on {nodes} machine{'s' * (nodes > 1)}")
        crew = RayCrew(ray, [job] * count, share)
        try:
            yield crew
        finally:
            crew.close()


def _cpus_here(workers: Workers, threads: int) -> int:
    """Return the processors of a cluster of one's own: Ray starts a process for each, wanted or not."""
    if not workers.on_gpus:
        return (workers.count or len(os.sched_getaffinity(0))) * threads
    if workers.ray != "local":
        return 1  # nobody asks
    return workers.count or len(workers.gpus) or len(_local_gpus())


def _on(job: Job, gpu: int) -> Job:
    return replace(job, device=f"cuda:{gpu}")


def _local_gpus() -> tuple[int, ...]:
    from yolotrt.cuda.machine import HERE

    found = tuple(range(HERE.count()))
    if not found:
        raise UsageError("There is no GPU here.", hint="Leave out --gpus; see: yolotrt doctor")
    return found


def _require_own(folder: Path, request: Request, *, overwrite: bool) -> None:
    """Refuse a folder that holds the results of another batch, or anything else."""
    if overwrite or not os.path.exists(folder):
        return
    if not folder.is_dir():
        raise StorageError(f"Cannot write to {folder}: it is a file.", hint="Name a folder.")
    again = f"Name a new folder, such as -o {shell_words(str(suggested(folder)))}; or add --overwrite."
    if not (folder / NAME).exists():
        other = next(
            (entry.name for entry in os.scandir(folder) if not is_hidden_name(Path(entry.path))), None
        )
        if other is not None:
            raise StorageError(
                f"Cannot write to {folder}: it holds files that no batch wrote, such as {other}.",
                hint=again,
            )
        return
    try:
        with read_plan(folder) as (earlier, _):
            differs = [
                name for name in ("engine_sha256", "settings", "inputs", "layout", "frames")
                if getattr(earlier, name) != getattr(request, name)
            ]  # fmt: skip
    except ArtifactError as exc:
        raise StorageError(f"Cannot write to {folder}: {exc.message}", hint=again) from exc
    if differs:
        what = ", ".join("engine" if name == "engine_sha256" else name for name in differs)
        raise StorageError(f"{folder} holds the results of another batch (other {what}).", hint=again)
