"""Find the fastest way to run a model that keeps its budgets and its accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from yolotrt.arrays import Frame
from yolotrt.artifacts.claims import require_own
from yolotrt.backends.base import Engine, EngineFile, Precision
from yolotrt.backends.loading import load_engine
from yolotrt.backends.registry import choose as choose_backend
from yolotrt.backends.sidecar import prefer
from yolotrt.bench.halving import Dropped, median_seconds, successive_halving
from yolotrt.bench.judge import judge
from yolotrt.bench.result import CaseResult
from yolotrt.bench.rounds import Running
from yolotrt.bench.statistics import summarize
from yolotrt.bench.sweep import EnginePair, PipelineSubject, SweepSettings, new_subjects
from yolotrt.errors import GateFailed, UsageError
from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.machine.memory import peak_memory
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.workflow.accuracy_bound.one_engine import ESTIMATED, judge_engine
from yolotrt.workflow.accuracy_bound.search import build_within_bound
from yolotrt.workflow.build import BuildRequest, build_engine, export_if_weights
from yolotrt.workflow.evaluate import evaluate_engines
from yolotrt.workflow.tune.batches import chunked, needed_profiles
from yolotrt.workflow.tune.choice import Candidate, TuneOutcome, choose, reasons
from yolotrt.workflow.tune.key import search_key
from yolotrt.workflow.tune.request import TuneRequest as TuneRequest
from yolotrt.workflow.tune.state import STATE, Measured, TuneState, held

REFERENCE: Precision = "fp32"


def tune(
    request: TuneRequest, frames: Sequence[Frame], *, progress: Progress = no_progress, say: Say = print
) -> TuneOutcome:
    """Build, evaluate, halve and recommend.

    Args:
        request: What to search.
        frames: At least one (h, w, 3) uint8 BGR frame.
        progress: Told about long steps.
        say: Told one line about each decision.

    Raises:
        YoloTrtError: A step failed. What was done until then is kept in the state file.
    """
    require_own(request.state, STATE, overwrite=request.build.overwrite)
    backend, _ = choose_backend(request.build.backend, "build")  # an export takes a minute: refuse before it
    if not request.precisions:
        chosen = backend.worthwhile(request.device)
        say(f"precisions: {', '.join(chosen)} (others with --precisions)")
        request = replace(request, precisions=chosen)
    truth = _truth(request, say)
    files, refused, sweep = _build(request, frames, truth, progress, say)
    request = replace(request, sweep=sweep)
    key, budgets = search_key(request, files, frames, truth), request.budgets
    with held(request.state, key, budgets, say, overwrite=request.build.overwrite) as state:
        return _search(request, files, refused, frames, truth, state, progress, say)


def _search(
    request: TuneRequest,
    files: Sequence[EngineFile],
    never_built: Mapping[str, str],
    frames: Sequence[Frame],
    truth: GroundTruth | None,
    state: TuneState,
    progress: Progress,
    say: Say,
) -> TuneOutcome:
    _evaluate(request, files, truth, state, progress)
    tried = [f for f in files if f.precision in request.precisions]
    refused = {f.path.name: loss for f in tried if (loss := _too_inaccurate(request, f, state))}
    for name, loss in refused.items():
        say(f"given up: {name} {loss}")
    refused = {**never_built, **refused}
    allowed = [f for f in tried if f.path.name not in refused]
    for file in allowed:
        known = state.accuracy.get(file.sha256)
        if known and request.max_drop and known.outcome(request.max_drop) == "undecided":
            say(f"warning: so few images cannot tell whether {file.path.name} keeps {request.max_drop}")
    results, dropped = _halve(request, allowed, frames, state, progress, say)
    found = []
    for index, result in enumerate(results):
        progress("measure memory", index, len(results))
        file = next(f for f in allowed if f.path.name == result.case.engine)
        found.append(_candidate(request, result, file, frames, state))
    progress("measure memory", len(results), len(results))
    found.sort(key=lambda c: c.latency.p50)
    best = choose(found)
    if not best.misses:  # the engines that were given up are there, too
        prefer(best.file.path)
    pareto = tuple(c for c in found if not any(c.dominated_by(other) for other in found))
    return TuneOutcome(
        tuple(found),
        pareto,
        tuple(dropped),
        tuple(refused.items()),
        best,
        reasons(best, found, dropped, request.budgets, request.max_drop),
    )


def _truth(request: TuneRequest, say: Say) -> GroundTruth | None:
    """Return the annotations, if there are any; read before anything is built, which takes minutes."""
    if request.annotations is None:
        return None
    truth = load_ground_truth(request.annotations, request.images, limit=request.limit)
    for note in truth.notes:
        say(f"warning: {note}")
    return truth


def _build(
    request: TuneRequest,
    frames: Sequence[Frame],
    truth: GroundTruth | None,
    progress: Progress,
    say: Say,
) -> tuple[list[EngineFile], dict[str, str], SweepSettings]:
    """Build one engine per precision, FP32 first, which accuracy is compared with.

    All of them accept every batch of the search, which is known once the model is there as ONNX.

    Returns:
        The engines, precisions of which none keeps the bound with why, and what to measure.
    """
    model = export_if_weights(request.build, progress, say)
    input_wh = read_spec(load_onnx(model), model.stem).input_wh
    sweep = request.sweep
    if request.chunk:
        sweep = chunked(sweep, request.chunk, input_wh, frames, say)
    annotated_wh = {image.size_wh for image in truth.images} if truth else set()
    profiles = needed_profiles(sweep, input_wh, frames, annotated_wh)
    wanted = list(request.precisions)
    if truth is not None and REFERENCE not in wanted:
        wanted.append(REFERENCE)
    wanted.sort(key=lambda precision: precision != REFERENCE)
    build = replace(request.build, model=model, profiles=profiles)
    files: list[EngineFile] = []
    refused: dict[str, str] = {}
    for precision in wanted:
        one = replace(build, precision=precision)
        try:
            files.append(_built(request, one, progress, say))
        except GateFailed as exc:
            say(f"given up: {precision}: {exc.message}")
            refused[precision] = exc.message
    return files, refused, sweep


def _built(request: TuneRequest, build: BuildRequest, progress: Progress, say: Say) -> EngineFile:
    """Build an engine, within an estimated bound where one is to be kept.

    Raises:
        GateFailed: It cannot be kept.
    """
    bound = request.bounded(build) if build.precision in ESTIMATED else None
    if bound is not None and build.precision == "int8":
        return build_within_bound(bound, progress=progress, say=say).file
    file = build_engine(build, progress=progress, say=say).file
    if bound is not None:
        loss = judge_engine(bound, build, file, progress=progress, say=say)
        say(f"{build.precision}: {loss.text}")
        if not loss.held:
            raise GateFailed(f"{loss.text}.", hint="Allow more, or leave it out of --precisions.")
    return file


def _evaluate(
    request: TuneRequest,
    files: Sequence[EngineFile],
    truth: GroundTruth | None,
    state: TuneState,
    progress: Progress,
) -> None:
    if truth is None or all(f.sha256 in state.accuracy for f in files):
        return
    for entry in evaluate_engines(
        files,
        truth,
        request.images,
        mode=request.sweep.modes[0],
        overlap=request.sweep.overlap,
        threads=request.sweep.threads,
        device=request.device.partition(",")[0],  # of several GPUs the first: they all find the same
        progress=progress,
    ):
        state.accuracy[entry.file.sha256] = Measured.of(entry)
    state.save()


def _too_inaccurate(request: TuneRequest, file: EngineFile, state: TuneState) -> str | None:
    """Return what an engine loses if that is more than accepted."""
    found = state.accuracy.get(file.sha256)
    if found is None or request.max_drop is None:
        return None
    outcome = found.outcome(request.max_drop)
    if outcome == "failed":
        return f"loses {found.loss_text}, more than {request.max_drop}"
    if outcome == "undecided" and found.beyond(request.max_drop):
        return f"loses {found.loss_text}, more than {request.max_drop}, as far as so few images can tell"
    return None


def _halve(
    request: TuneRequest,
    files: Sequence[EngineFile],
    frames: Sequence[Frame],
    state: TuneState,
    progress: Progress,
    say: Say,
) -> tuple[list[CaseResult], list[Dropped]]:
    if not files:
        raise UsageError(
            f"No precision keeps its accuracy within {request.max_drop}.",
            hint="Calibrate on more or other images, add fp16 or fp32 to --precisions, or allow more.",
        )

    def dropped(entry: Dropped) -> None:
        say(f"given up after {entry.rounds} rounds: {entry.case}: {entry.reason}")
        state.drop(entry)

    loaded: list[Engine] = []
    subjects: list[PipelineSubject] = []
    try:
        for file in files:
            loaded.append(load_engine(file, request.device))
            subjects += new_subjects(EnginePair(loaded[-1]), request.sweep, frames)
        running = state.resume(subjects)
        remaining, _ = successive_halving(
            running,
            frames,
            request.budgets,
            rivals=lambda case: case.engine,
            on_drop=dropped,
            on_rung=lambda left: say(_rung_line(left, len(subjects))),
            each_frame=lambda cases, _seconds: state.note(cases),
            progress=progress,
        )
    finally:
        for subject in subjects:
            subject.pipeline.close()
        for engine in loaded:
            engine.close()
    state.finish(remaining)
    return [entry.result() for entry in remaining], [*state.gone.values()]


def _rung_line(left: Sequence[Running], ways: int) -> str:
    best = left[0]
    return (
        f"after {best.rounds} rounds: {len(left)} of {ways} ways left, fastest {best.subject.case} "
        f"({median_seconds(best) * 1e3:.1f} ms)"
    )


def _candidate(
    request: TuneRequest, result: CaseResult, file: EngineFile, frames: Sequence[Frame], state: TuneState
) -> Candidate:
    latency = summarize(result.samples["end_to_end"])
    assert latency is not None
    settings = {
        "mode": result.case.mode,
        "groups": result.case.groups,
        "dispatch": "auto" if result.case.dispatch == "-" else result.case.dispatch,
        "device": request.device,
        "overlap": request.sweep.overlap,
        "cpu_threads": request.sweep.threads,
    }
    memory = state.memory_of(
        result.case, lambda: peak_memory([file.path], settings, (frames[0].shape[1], frames[0].shape[0]))
    )
    verdicts = judge((result,), request.budgets)
    misses = tuple(
        f"{v.stage} {v.stat} {v.seconds * 1e3:.1f} ms is over {v.limit * 1e3:.1f} ms"
        for v in verdicts
        if v.held == "missed"
    )
    found = state.accuracy.get(file.sha256)
    return Candidate(result, file, latency, found.score if found else None, memory, misses)
