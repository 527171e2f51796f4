"""One benchmark run, from loaded engines to a complete result on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from yolotrt.arrays import Frame
from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.files import OVERNIGHT_S, exclusive
from yolotrt.backends.base import Engine
from yolotrt.backends.registry import backend
from yolotrt.bench.batch_check import check_batches
from yolotrt.bench.budgets import NO_BUDGETS, Budgets
from yolotrt.bench.recorder import Recorder, take_up
from yolotrt.bench.result import RESULT, Endings, RunResult, write_result
from yolotrt.bench.rounds import Running
from yolotrt.bench.settings import Settings
from yolotrt.bench.source import source_files, unknown_source
from yolotrt.bench.sweep import EnginePair, SweepSettings, measure
from yolotrt.errors import UsageError
from yolotrt.machine.cudnn import cudnn_version
from yolotrt.machine.environment import EngineRecord, Environment, environment
from yolotrt.machine.watch import Watch
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.clock import Clock, now


@dataclass(frozen=True)
class RunRequest:
    """What a run measures and where it is kept.

    Attributes:
        settings: What to measure and for how long.
        source: What the frames are, for the record.
        budgets: What the stages may take, for the record.
        output: Result file, saved while measuring; None keeps nothing on disk.
        resume: Continue the run that ``output`` holds, if it was interrupted.
        overwrite: Replace also a file in the place of ``output`` that is no result.
        files: Name and sha256 of every picture of the source; none for a synthetic scene.
    """

    settings: SweepSettings
    source: str
    budgets: Budgets = NO_BUDGETS
    output: Path | None = None
    resume: bool = False
    overwrite: bool = False
    files: tuple[tuple[str, str], ...] = ()


@contextmanager
def locked_output(request: RunRequest, say: Callable[[str], None] = print) -> Iterator[None]:
    """Keep other runs from the output of a run: what reads sources and loads engines for it may lie within.

    Another run of the same output is refused, since one result would be lost; one that resumes it waits, and
    finds it complete.

    Args:
        request: What to measure, and into which file.
        say: Told that another run is waited for.

    Raises:
        StorageError: Another process writes the output, or it is a file that is no result.
    """
    if request.output is None:
        yield
        return
    require_own(request.output, RESULT, overwrite=request.overwrite)
    with exclusive(request.output, say, timeout_s=OVERNIGHT_S if request.resume else 0):
        yield


def run_bench(
    engines: Sequence[EnginePair],
    frames: Sequence[Frame],
    request: RunRequest,
    *,
    locked: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = print,
    clock: Clock = now,
) -> RunResult:
    """Check the engines, measure, saving after rounds, and return the complete result.

    Args:
        engines: Loaded engines.
        frames: At least one (h, w, 3) uint8 BGR frame.
        request: What to measure.
        locked: The caller holds :func:`locked_output` already.
        progress: Told after each round.
        say: Told where an interrupted run can be continued.
        clock: Read by everything that measures.

    Raises:
        UsageError: An engine is there twice.
        YoloTrtError: See :func:`yolotrt.bench.sweep.measure` and
            :func:`yolotrt.bench.batch_check.check_batches`; a run cannot be resumed or saved, or its output
            is written by another process.
    """
    with nullcontext() if locked else locked_output(request, say):
        return _run(engines, frames, request, progress, say, clock)


def _run(
    engines: Sequence[EnginePair],
    frames: Sequence[Frame],
    request: RunRequest,
    progress: Progress,
    say: Callable[[str], None],
    clock: Clock,
) -> RunResult:
    names = [pair.name for pair in engines]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{doubled[0]} would be measured twice.", hint="Name each engine once.")
    empty = _empty(engines, frames, request)
    earlier = take_up(request.output, empty) if request.resume and request.output else None
    for note in () if earlier is None else unknown_source(earlier.settings, empty.settings):
        say(f"warning: resume: {note}")
    if earlier is not None and earlier.complete:
        judged = replace(earlier, budgets=earlier.budgets.given(request.budgets))
        say(
            f"resume: {request.output} is complete"
            + ("" if judged == earlier else "; judged by other budgets")
        )
        if judged != earlier and request.output is not None:
            write_result(request.output, judged)
        return judged
    if earlier is not None:
        say(f"resume: {request.output} after {earlier.rounds} rounds")
        empty = replace(empty, resumed_at=(*earlier.resumed_at, earlier.rounds))
    check_batches(engines, frames, request.settings, say)
    recorder = Recorder(request.output, empty, clock)
    watch = Watch(clock, pci_bus_id=_card(engines))

    def each_frame(running: list[Running], spent_s: float) -> None:
        recorder(running, spent_s)
        watch.glance()

    try:
        cases, rounds = measure(
            engines,
            frames,
            request.settings,
            earlier=earlier.cases if earlier else (),
            spent_s=earlier.measured_s if earlier else 0.0,
            each_frame=each_frame,
            progress=progress,
            clock=clock,
        )
    except BaseException:
        if (saved := recorder.save()) is not None:
            say(f"partial result: {saved} (continue with the same options and --resume)")
        raise
    result = replace(
        empty,
        environment=_with_cudnn(empty.environment),
        cases=cases,
        during=watch.report(),
        measured_s=round(rounds.seconds, 6),
        stopped=Endings(rounds.stopped, rounds.warmup),
    )
    if request.output is not None:
        write_result(request.output, result)
    return result


def _empty(engines: Sequence[EnginePair], frames: Sequence[Frame], request: RunRequest) -> RunResult:
    """Return the run as it is before the first frame."""
    loaded = [engine for pair in engines for engine in pair.engines]
    described = {engine.file.name: _described(engine) for engine in loaded}
    size = {f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames}
    settings = Settings(
        **request.settings.recorded(),
        source=request.source,
        source_files=source_files(request.files),
        frames=len(frames),
        frame_px=", ".join(sorted(size)),
    )
    return RunResult(
        settings=settings,
        environment=replace(environment(request.settings.threads, _card(engines)), engines=described),
        cases=(),
        notes=tuple(dict.fromkeys(note for engine in loaded for note in _remarks(engine))),
        budgets=request.budgets,
    )


def _remarks(engine: Engine) -> tuple[str, ...]:
    file = engine.file
    return backend(file.backend).remarks(file, "latency", on_gpu=bool(engine.parts))


def _with_cudnn(known: Environment) -> Environment:
    """Return the environment with the version of cuDNN, which is loaded with the first session only."""
    version = cudnn_version()
    return replace(known, packages={**known.packages, **({"cudnn": version} if version else {})})


def _card(engines: Sequence[EnginePair]) -> str | None:
    """Return where the GPU sits that is recorded: of several the first, None for a run on the processor."""
    loaded = (engine for pair in engines for engine in pair.engines)
    return next((part.device.info.pci_bus_id for engine in loaded for part in engine.parts), None)


def _described(engine: Engine) -> EngineRecord:
    file = engine.file
    return EngineRecord(
        sha256=file.sha256,
        backend=file.backend,
        precision=file.precision,
        bytes=file.path.stat().st_size,
        runs_on=tuple(part.device.name for part in engine.parts) or ("cpu",),
        environment=dict(file.environment),
    )
