"""Latency tables of a benchmark run: the only place where seconds become milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import paired_ratio, summarize
from yolotrt.timing.trace import STAGES

if TYPE_CHECKING:
    from rich.table import Table

PASSES = ("tiles", "global", "end_to_end")
NOT_MEASURED = "-"


def latency_table(result: RunResult) -> Table:
    """Return one row per case: p50/p95/p99 of the passes, frames per second and speed-up."""
    from rich.table import Table

    table = Table(title="Latency per frame, ms (p50 / p95 / p99)", title_justify="left")
    for name in ("engine", "mode", "dispatch"):
        table.add_column(name)
    table.add_column("groups", justify="right")
    for name in (*PASSES, "frames/s", "vs groups=1", "found"):
        table.add_column(name, justify="right")
    for entry in result.cases:
        table.add_row(
            entry.case.engine,
            entry.case.mode,
            entry.case.dispatch,
            str(entry.case.groups),
            *(_percentiles(entry, stage) for stage in PASSES),
            _frames_per_second(entry),
            _speed_up(entry, result.cases),
            str(entry.detections),
        )
    return table


def stage_table(result: RunResult) -> Table:
    """Return one row per case: the median of each stage."""
    from rich.table import Table

    stages = [s for s in STAGES if s not in PASSES]
    table = Table(title="Stages, ms (p50)", title_justify="left")
    for name in ("engine", "mode", "dispatch"):
        table.add_column(name)
    for name in ("groups", *stages, "end_to_end"):
        table.add_column(name, justify="right")
    for entry in result.cases:
        table.add_row(
            entry.case.engine,
            entry.case.mode,
            entry.case.dispatch,
            str(entry.case.groups),
            *(_median(entry, stage) for stage in (*stages, "end_to_end")),
        )
    return table


def milliseconds(seconds: float) -> str:
    """Return milliseconds with three significant digits or more."""
    value = seconds * 1e3
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _percentiles(entry: CaseResult, stage: str) -> str:
    summary = summarize(entry.samples[stage])
    if summary is None:
        return NOT_MEASURED
    return " / ".join(milliseconds(v) for v in (summary.p50, summary.p95, summary.p99))


def _median(entry: CaseResult, stage: str) -> str:
    summary = summarize(entry.samples[stage])
    return NOT_MEASURED if summary is None else milliseconds(summary.p50)


def _frames_per_second(entry: CaseResult) -> str:
    summary = summarize(entry.samples["end_to_end"])
    return NOT_MEASURED if summary is None else f"{1 / summary.mean:.2f}"


def _speed_up(entry: CaseResult, cases: Sequence[CaseResult]) -> str:
    base = next((c for c in cases if c.case == _with_one_group(entry.case)), None)
    if base is None or entry.case.mode == "global":
        return NOT_MEASURED
    ratio = paired_ratio(base.samples["end_to_end"], entry.samples["end_to_end"])
    return NOT_MEASURED if ratio is None else f"{ratio:.2f}x"


def _with_one_group(case: Case) -> Case:
    return Case(case.engine, case.precision, case.mode, case.dispatch, 1)
