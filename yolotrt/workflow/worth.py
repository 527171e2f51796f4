"""Is INT8 worth it here? Every precision that may be the fastest is built, judged and timed on this machine.

A lower precision has to earn its place: it is chosen if it is certainly faster than the best higher one, and
if it keeps the accuracy bound, where one was given. Frames are taken in turns, so that a machine that slows
down hits all precisions alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from yolotrt.arrays import Frame
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.loading import load_engine
from yolotrt.backends.registry import choose as choose_backend
from yolotrt.backends.sidecar import prefer
from yolotrt.bench.settings import SweepSettings
from yolotrt.bench.statistics import Ratio, paired_ratio, summarize
from yolotrt.bench.sweep import sweep
from yolotrt.errors import CalibrationError, GateFailed, UsageError
from yolotrt.pipeline.settings import PassMode
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.quantization.places import family
from yolotrt.text import shell_words
from yolotrt.workflow.accuracy_bound.one_engine import judge_engine
from yolotrt.workflow.accuracy_bound.search import BoundRequest, build_within_bound
from yolotrt.workflow.build import BuildRequest, build_engine, calibration_cache, export_if_weights
from yolotrt.workflow.precision import is_calibrated

ROUNDS = 20
"""Frames that each engine is timed on."""


@dataclass(frozen=True)
class Tried:
    """One precision on this machine.

    Attributes:
        precision: The precision.
        engine: Its engine; None if none was made, or it is not kept.
        device: What it runs on; None without an engine.
        size: Size of the engine, bytes.
        samples: Seconds of each frame; sample i is of the same frame for all precisions.
        work: Part of the convolutions' multiply-adds in INT8, where a bound was kept.
        loss: What counts against the bound, in its unit, where one was given.
        refused: Why it is out of question, if it is.
    """

    precision: Precision
    engine: EngineFile | None = None
    device: str | None = None
    size: int | None = None
    samples: tuple[float | None, ...] = ()
    work: float | None = None
    loss: float | None = None
    refused: str | None = None

    @property
    def p50_s(self) -> float | None:
        """Median time of a frame, seconds; None if it was not timed."""
        return _median(self.samples) if self.samples else None

    def speed(self, base: Tried) -> Ratio | None:
        """Return how many times as fast as another one it is; None if one of them was not timed."""
        return paired_ratio(base.samples, self.samples)


@dataclass(frozen=True)
class Worth:
    """What was tried, and what to use.

    Attributes:
        tried: The highest precision first.
        chosen: The one to use.
        reason: Why, in a sentence.
        judged: What losses are, in words; None without a bound.
    """

    tried: tuple[Tried, ...]
    chosen: Tried
    reason: str
    judged: str | None


def choose_precision(
    request: BuildRequest,
    bound: BoundRequest | None,
    frames: Sequence[Frame],
    *,
    mode: PassMode = "global",
    threads: int = 1,
    progress: Progress = no_progress,
    say: Say = print,
) -> Worth:
    """Build each precision that may be the fastest where engines run, and choose by measurement.

    Args:
        request: What to build; its precision is set here.
        bound: What INT8 and FP16 may lose; None does not judge them.
        frames: At least one (h, w, 3) uint8 BGR frame to time engines on.
        mode: Which passes look at a frame.
        threads: CPU threads of an engine.
        progress: Told about long steps.
        say: Told one line about each decision and step.

    Raises:
        UsageError: Engines of the backend cannot run here, so nothing can be measured.
        CalibrationError: There is nothing to calibrate INT8 on.
        GateFailed: Every precision loses more than the bound.
        YoloTrtError: A step failed.
    """
    backend, _ = choose_backend(request.backend, "build")
    available = backend.availability()
    if not available.usable:
        raise UsageError(
            f"--precision auto measures, and engines of {backend.name} cannot run here: {available.reason}",
            hint="Name a precision, such as --fp16, or run this where the engine will run.",
        )
    request = replace(request, model=export_if_weights(request, progress, say), backend=backend.name)
    wanted = backend.worthwhile("auto")
    say(f"precisions: {', '.join(wanted)} (the others cannot be faster here)")
    if "int8" in wanted and request.images is None:
        _require_calibration(request)
    made = [_made(replace(request, precision=precision), bound, progress, say) for precision in wanted]
    if all(entry.engine is None for entry in made):
        raise GateFailed(
            "; ".join(f"{entry.precision.upper()} is out: {entry.refused}" for entry in made),
            hint="Accept a larger loss (--max-drop), or build with --fp32 --backend onnxruntime.",
        )
    tried = _timed(made, frames, mode, threads, progress)
    chosen, reason = choose(tried)
    if chosen.engine is not None:  # the others are there, too, and some may lose more than the bound
        prefer(chosen.engine.path)
    return Worth(tried, chosen, reason, None if bound is None else _judged(bound))


def _require_calibration(request: BuildRequest) -> None:
    """Refuse before the other precisions are built."""
    cache = calibration_cache(request.model, request.calib_data)
    if is_calibrated(request.model) and not family(cache):
        raise CalibrationError(
            "--precision auto tries INT8, which needs images to calibrate on, and none were named.",
            hint=f"yolotrt build {shell_words(str(request.model))} --precision auto --images DIR  "
            "(about 100 pictures like those of your camera; --images coco downloads some of COCO val2017)",
        )


def _made(request: BuildRequest, bound: BoundRequest | None, progress: Progress, say: Say) -> Tried:
    precision = request.precision
    if precision != "int8" or bound is None:
        file = build_engine(request, progress=progress, say=say).file
        made = Tried(precision, file, size=file.path.stat().st_size)
        return made if precision == "fp32" or bound is None else _within(bound, request, made, progress, say)
    try:
        outcome = build_within_bound(replace(bound, build=request), progress=progress, say=say)
    except GateFailed as exc:
        say(f"{precision}: {exc.message}")
        return Tried(precision, refused=exc.message)
    last = outcome.attempts[-1]
    size, loss = outcome.file.path.stat().st_size, last.judgement.worst_loss(bound.max_drop.value)
    return Tried(precision, outcome.file, size=size, work=last.work, loss=loss)


def _within(bound: BoundRequest, request: BuildRequest, made: Tried, progress: Progress, say: Say) -> Tried:
    """Return what was made with its loss, or why it is out of question."""
    assert made.engine is not None
    loss = judge_engine(bound, request, made.engine, progress=progress, say=say)
    say(f"{made.precision}: {loss.text}")
    if not loss.held:
        return Tried(made.precision, refused=f"{loss.text}.")
    return replace(made, loss=loss.value)


def _timed(
    made: Sequence[Tried], frames: Sequence[Frame], mode: PassMode, threads: int, progress: Progress
) -> tuple[Tried, ...]:
    settings = SweepSettings((mode,), groups=(1,), threads=threads, iterations=ROUNDS, energy_s=0.0)
    with ExitStack() as stack:
        loaded = [
            stack.enter_context(closing(load_engine(entry.engine)))
            for entry in made
            if entry.engine is not None
        ]
        devices = {e.file.precision: e.parts[0].device.info.name if e.parts else "processor" for e in loaded}
        cases = sweep(loaded, frames, settings, progress)
    fastest: dict[str, list[float | None]] = {}
    for case in cases:  # of several ways to dispatch the fastest one counts
        samples = case.samples["end_to_end"]
        known = fastest.get(case.case.precision)
        if known is None or _median(samples) < _median(known):
            fastest[case.case.precision] = list(samples)
    return tuple(
        entry
        if entry.engine is None
        else replace(entry, device=devices[entry.precision], samples=tuple(fastest[entry.precision]))
        for entry in made
    )


def choose(tried: Sequence[Tried]) -> tuple[Tried, str]:
    """Return the precision to use and why: the lowest that is certainly faster than the best one above it.

    Args:
        tried: The highest precision first, at least one of which was timed.
    """
    timed = [entry for entry in tried if entry.samples]
    best, lines = timed[0], []
    for entry in timed[1:]:
        speed, name, other = entry.speed(best), entry.precision.upper(), best.precision.upper()
        if speed is None:
            continue
        times = f"{speed.value:.2f}x as fast"
        if speed.certain and speed.value > 1:
            lines.append(f"{name} is worth it here: {times} as {other}")
            best = entry
        elif speed.certain:
            lines.append(f"{other} wins: {name} is {times}")
        else:
            lines.append(f"{other} is kept: {name} is {times}, which may be chance")
    lines += [f"{entry.precision.upper()} is out: {entry.refused}" for entry in tried if entry.refused]
    return best, "; ".join(lines) or f"nothing else than {best.precision.upper()} can be faster here"


def _median(samples: Sequence[float | None]) -> float:
    summary = summarize(samples)
    assert summary is not None
    return summary.p50


def _judged(bound: BoundRequest) -> str:
    measured = "measured" if bound.annotations is not None else "estimated"
    return f"loss of mAP ({measured}, of {bound.max_drop})"
