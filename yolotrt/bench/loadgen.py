"""The fastest case under MLPerf's load generator: its own clock, its own rules, its own logs.

Frames back to back are its *single stream* scenario, a Poisson process is *server*. *Multi stream* and
*offline* hand over many samples at once, which a camera does not.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolotrt.arrays import Frame
from yolotrt.bench.case import Case, CaseResult
from yolotrt.bench.settings import SweepSettings
from yolotrt.bench.statistics import median
from yolotrt.bench.sweep import EnginePair, PipelineSubject, new_subjects
from yolotrt.errors import EnvironmentFault, UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.pipeline.settings import DISPATCHES

SUMMARY = "mlperf_log_summary.txt"
"""What it writes into its folder, beside other files of such names."""


def require_loadgen(settings: SweepSettings) -> None:
    """Find out before long work whether a run under LoadGen is possible.

    Raises:
        EnvironmentFault: The package is missing.
        UsageError: It has no scenario for such arrivals.
    """
    _library()
    if settings.pace is not None and settings.pace.arrival.kind != "poisson":
        raise UsageError(
            f"LoadGen has no scenario for --arrival {settings.arrival}.",
            hint="It has one for --arrival poisson:RATE (server), and one for frames back to back "
            "(single stream).",
        )
    if DEFAULT_MODE not in settings.modes:
        raise UsageError(f"--loadgen runs {DEFAULT_MODE}.", hint=f"Add {DEFAULT_MODE} to --mode.")


def fastest_frame(cases: Sequence[CaseResult]) -> Case:
    """Return the case with the least median of those that run the whole frame."""
    whole = [entry for entry in cases if entry.case.mode == DEFAULT_MODE]
    return min(whole, key=lambda entry: median(entry.samples["end_to_end"]) or float("inf")).case


def run_loadgen(
    engines: Sequence[EnginePair],
    case: Case,
    frames: Sequence[Frame],
    settings: SweepSettings,
    target: Path,
    deadline_s: float | None = None,
) -> Path:
    """Run a case under LoadGen, and return the summary that it wrote.

    Whether the run is valid by MLPerf's rules the summary says itself; few frames are not.

    Args:
        engines: Those of the sweep.
        case: One of the sweep's.
        frames: Its samples.
        settings: Of the sweep; ``iterations`` are the queries.
        target: An existing folder for the logs.
        deadline_s: The latency that its server scenario is held to.

    Raises:
        EnvironmentFault: The package is missing.
        ExecutionError: The engine failed.
    """
    lg = _library()
    dispatch = tuple(way for way in DISPATCHES if way == case.dispatch)
    alone = replace(
        settings, modes=(case.mode,), orders=(case.order,), dispatch=dispatch, groups=(case.groups,)
    )
    pair = next(pair for pair in engines if pair.name == case.engine)
    (subject,) = new_subjects(pair, alone, frames)
    try:
        subject.measure(frames[0])  # warm up
        _run(lg, subject, frames, settings, target, deadline_s)
    finally:
        subject.pipeline.close()
    return target / SUMMARY


def _library() -> Any:
    try:
        import mlperf_loadgen
    except ImportError as exc:
        raise EnvironmentFault(
            "LoadGen is not installed.", hint="pip install mlcommons-loadgen   (or leave out --loadgen)"
        ) from exc
    return mlperf_loadgen


def _run(
    lg: Any,
    subject: PipelineSubject,
    frames: Sequence[Frame],
    settings: SweepSettings,
    target: Path,
    deadline_s: float | None,
) -> None:
    work: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
    failed: list[BaseException] = []

    def process() -> None:
        while (samples := work.get()) is not None:
            for sample in samples:
                try:
                    if not failed:
                        subject.measure(frames[sample.index])
                except BaseException as exc:
                    failed.append(exc)
                lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0)])

    test = lg.TestSettings()
    test.mode = lg.TestMode.PerformanceOnly
    test.min_query_count = test.max_query_count = settings.iterations
    test.min_duration_ms = 0
    if settings.pace is None:
        test.scenario = lg.TestScenario.SingleStream
    else:
        test.scenario = lg.TestScenario.Server
        test.server_target_qps = settings.pace.arrival.rate
        test.server_target_latency_ns = round((deadline_s or 1.0) * 1e9)
    output = lg.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(target), False
    logs = lg.LogSettings()
    logs.log_output, logs.enable_trace = output, False
    worker = threading.Thread(target=process, name="yolotrt-loadgen", daemon=True)
    worker.start()
    sut = lg.ConstructSUT(work.put, lambda: None)
    qsl = lg.ConstructQSL(len(frames), len(frames), lambda _: None, lambda _: None)
    try:
        lg.StartTestWithLogSettings(sut, qsl, test, logs)
    finally:
        work.put(None)
        worker.join()
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
    if failed:
        raise failed[0]
