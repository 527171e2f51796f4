"""The columns of a benchmark result: one line here, and it is on the terminal, the page, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from yolotrt.bench.metrics import metric_stages
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import Ratio, Summary, paired_ratio
from yolotrt.report.columns import Column, Row
from yolotrt.report.figures import (
    interval_text,
    milliseconds,
    milliseconds_exactly,
    quantiles_text,
    ratio_text,
)
from yolotrt.report.labels import short_names
from yolotrt.report.load_columns import load_columns
from yolotrt.report.result_row import ResultRow as ResultRow
from yolotrt.timing.trace import INTERVAL, PASSES

QUANTILES = ("p50", "p95", "p99")
"""What a terminal shows of each pass."""

_SPREAD = ("p90", "p95", "p99", "mean", "stdev")


def result_rows(result: RunResult) -> list[ResultRow]:
    """Return one row per case."""
    deadline = result.budgets.deadline_s
    return [ResultRow(entry, result.cases, deadline) for entry in result.cases]


def case_columns(cases: Sequence[Case], case_of: Callable[[Row], Case]) -> list[Column[Row]]:
    """Return the columns that say which case a row is about.

    Terminal and page call engines by what tells them apart, and need no column for a single one.

    Args:
        cases: Those of all rows.
        case_of: Returns that of a row.
    """
    names = short_names([case.engine for case in cases])
    short: Column[Row] = Column(
        "engine", lambda r: names[case_of(r).engine], words=True, media=("terminal", "page"), key=True
    )
    return [
        *([short] if len(names) > 1 else []),
        Column("engine", lambda r: case_of(r).engine, words=True, media=("markdown", "csv"), key=True),
        Column("precision", lambda r: case_of(r).precision, media=("csv",), key=True),
        Column("mode", lambda r: case_of(r).mode, words=True, heads={"page": "pass"}, key=True),
        Column("dispatch", lambda r: case_of(r).way, words=True, key=True),
        Column("groups", lambda r: case_of(r).groups, key=True),
    ]


def _entry_case(row: ResultRow) -> Case:
    return row.entry.case


def result_columns(
    cases: Iterable[CaseResult], quantiles: Sequence[str] = QUANTILES
) -> list[Column[ResultRow]]:
    """Return all columns of a result.

    Args:
        cases: Those of all rows.
        quantiles: What a terminal shows of each pass.
    """
    entries = list(cases)
    return [
        *case_columns([entry.case for entry in entries], _entry_case),
        *_metric_columns({stage for entry in entries for stage in entry.samples}),
        *(_quantiles(stage, quantiles, rank) for stage, rank in zip(PASSES, (1, 2, 0), strict=True)),
        *load_columns(entries, quantiles),
        *([TILES_RUN] if any(entry.tiles for entry in entries) else []),
        *FIGURES,
    ]


def _quantiles(stage: str, names: Sequence[str], rank: int) -> Column[ResultRow]:
    def take(row: ResultRow) -> tuple[float | None, ...] | None:
        summary = row.of(stage)
        return None if summary is None else tuple(getattr(summary, name) for name in names)

    return Column(stage, take, quantiles_text, rank=rank, media=("terminal",))


def _metric_columns(stages: Iterable[str]) -> list[Column[ResultRow]]:
    """Return what a spreadsheet gets: the medians by their flat names, and then the spread of each."""
    metrics = metric_stages(stages)
    frames: Column[ResultRow] = Column("frames", lambda r: len(r.entry.samples["end_to_end"]), media=("csv",))
    medians = [_median(name) for name in metrics]
    spread = [
        column
        for name, stage in metrics.items()
        for column in (
            *(_statistic(name, stage, s) for s in _SPREAD),
            _interval_end(name, stage, "low"),
            _interval_end(name, stage, "high"),
        )
    ]
    return [frames, *medians, *spread]


def _median(metric: str) -> Column[ResultRow]:
    return Column(metric, lambda r: r.metrics.get(metric), media=("csv",))


def _statistic(metric: str, stage: str, name: str) -> Column[ResultRow]:
    def take(row: ResultRow) -> float | None:
        summary = row.of(stage)
        value = None if summary is None else getattr(summary, name)
        return None if value is None else float(value)

    head = f"{metric.removesuffix('_ms')}_{name}_ms"
    return Column(head, take, number=milliseconds_exactly, media=("csv",))


def _interval_end(metric: str, stage: str, end: str) -> Column[ResultRow]:
    def take(row: ResultRow) -> float | None:
        summary = row.of(stage)
        interval = summary and summary.p50_interval
        return float(getattr(interval, end)) if interval else None

    head = f"{metric.removesuffix('_ms')}_p50_{end}_ms"
    return Column(head, take, number=milliseconds_exactly, media=("csv",))


def _of_frame(take: Callable[[Summary], object]) -> Callable[[ResultRow], object]:
    """Return how a row gives a statistic of its frames."""
    return lambda row: None if row.summary is None else take(row.summary)


def _half_width(summary: Summary) -> float | None:
    interval = summary.p50_interval
    return None if interval is None else (interval.high - interval.low) / 2


def frames_per_second(row: ResultRow) -> float | None:
    """Return how many frames come out in a second: more than one by one where several are in flight."""
    summary = row.of(INTERVAL) if INTERVAL in row.entry.samples else row.summary
    return None if summary is None else 1 / summary.mean


def speed_up(entry: CaseResult, cases: Sequence[CaseResult]) -> Ratio | None:
    """Return how many times faster a case is than the same with one group; None where that says nothing."""
    case = entry.case
    if case.mode == "global" or case.groups == 1:
        return None
    if entry.arrived is not None:  # frames that were dropped here came through there: nothing pairs them
        return None
    base = next((c for c in cases if c.case == replace(case, groups=1)), None)
    return None if base is None else paired_ratio(base.samples["end_to_end"], entry.samples["end_to_end"])


TILES_RUN: Column[ResultRow] = Column(
    "tiles run", lambda r: r.entry.tiles and r.entry.tiles.on_average, "{:.1f}".format, rank=2
)
"""Shown where tiles were chosen."""

FIGURES: tuple[Column[ResultRow], ...] = (
    Column("±", _of_frame(_half_width), milliseconds, rank=5, media=("terminal",)),
    Column(
        "median",
        _of_frame(lambda s: s.p50),
        milliseconds,
        media=("page", "markdown"),
        heads={"markdown": "median ms"},
    ),
    Column("95 % interval", _of_frame(lambda s: s.p50_interval), interval_text, media=("page", "markdown")),
    Column("p90", _of_frame(lambda s: s.p90), milliseconds, media=("page",)),
    Column("p95", _of_frame(lambda s: s.p95), milliseconds, media=("page", "markdown")),
    Column("p99", _of_frame(lambda s: s.p99), milliseconds, media=("page", "markdown")),
    Column("frames/s", frames_per_second, "{:.2f}".format, rank=4, media=("terminal", "page", "markdown")),
    Column(
        "paired vs groups=1",
        lambda r: speed_up(r.entry, r.cases),
        ratio_text,
        rank=3,
        media=("terminal", "page", "markdown"),
    ),
    Column("outliers", _of_frame(lambda s: s.outliers), rank=7, media=("terminal", "page")),
    Column("found", lambda r: r.entry.detections, rank=6, media=("terminal", "page")),
)
"""What was found out about a case, in order. A new column goes here; without ``media`` it is on all four."""
