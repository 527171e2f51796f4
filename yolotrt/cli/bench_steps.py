"""What ``yolotrt bench`` does between its options and its gates: measure, and show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.cli.console import note, progress_bars, say, stdout, warn

if TYPE_CHECKING:
    from yolotrt.arrays import Frame
    from yolotrt.backends.base import EngineFile
    from yolotrt.bench.result import RunResult
    from yolotrt.bench.run import RunRequest


def measure_engines(
    pairs: list[tuple[EngineFile, ...]],
    request: RunRequest,
    frames: list[Frame],
    device: str,
    loadgen: Path | None,
) -> RunResult:
    """Load engines, measure them, and close them; ``loadgen`` gets MLPerf's logs of the fastest case."""
    from yolotrt.backends.loading import load_engine
    from yolotrt.bench.run import run_bench
    from yolotrt.bench.sweep import EnginePair

    say(f"source: {request.source}, {len(frames)} frame(s) of {frames[0].shape[1]}x{frames[0].shape[0]} px")
    loaded: list[EnginePair] = []
    try:
        for pair in pairs:
            loaded.append(EnginePair(*(load_engine(file, device) for file in pair)))
        with progress_bars() as progress:
            result = run_bench(loaded, frames, request, locked=True, progress=progress, say=say)
        if loadgen is not None:
            from yolotrt.bench.loadgen import fastest_frame, run_loadgen

            case = fastest_frame(result.cases)
            deadline_s = request.budgets.deadline_s
            summary = run_loadgen(loaded, case, frames, request.settings, loadgen, deadline_s)
            say(f"LoadGen: {case}: {summary}")
        return result
    finally:
        for opened in loaded:
            for engine in opened.engines:
                engine.close()


def show_result(result: RunResult, json: str | None) -> None:
    """Print a result's tables, unless stdout is JSON, and what a reader should know of it."""
    from yolotrt.bench.advice import advise
    from yolotrt.bench.percentiles import left_out
    from yolotrt.report.fastest import fastest_lines
    from yolotrt.report.tables import latency_table, stage_table

    if json != "-":
        console = stdout()
        console.print(latency_table(result, console.width))
        console.print(stage_table(result, console.width))
    for line in fastest_lines(result):
        say(line)
    for remark in filter(None, (*result.notes, left_out(result.rounds))):
        note(remark)
    for advice in advise(result):
        warn(str(advice))
