"""The tables of results, as data and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yolotrt.bench.compare_file import ComparedStage, ComparisonFile
from yolotrt.bench.judge import Verdict
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import median
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import interval_percent, milliseconds, milliseconds_exactly, signed_percent
from yolotrt.report.fitting import terminal_table
from yolotrt.report.result_columns import (
    QUANTILES,
    ResultRow,
    case_columns,
    result_columns,
    result_rows,
)
from yolotrt.text import Markup
from yolotrt.timing.trace import COPIES, DEVICE, INTERVAL, PASSES, STAGES

if TYPE_CHECKING:
    from rich.table import Table


def latency_table(result: RunResult, width: int | None = None) -> Table:
    """Return one row per case: p50/p95/p99 of the passes, frames per second and speed-up.

    Args:
        result: What was measured.
        width: Characters of a line, here and below; where they do not suffice, the p99 and lesser columns are
            left out, and where not even the passes fit, the p95. None is as wide as is needed.
    """
    rows = result_rows(result)
    full, *shorter = (
        RowTable(_latency_title(result, names), result_columns(result.cases, names), rows)
        for names in (QUANTILES, QUANTILES[:2], QUANTILES[:1])
    )
    return terminal_table(full, *shorter, width=width)


def latencies(result: RunResult) -> RowTable[ResultRow]:
    """Return everything that is known of each case."""
    return RowTable(_latency_title(result, QUANTILES), result_columns(result.cases), result_rows(result))


def _latency_title(result: RunResult, quantiles: Sequence[str]) -> str:
    half = "; ± half of the median's 95 % interval"
    return case_title(
        f"Latency per frame, ms ({' / '.join(quantiles)}{half})", [e.case for e in result.cases]
    )


def stage_table(result: RunResult, width: int | None = None) -> Table:
    """Return one row per case: the median of each stage, by the host's clock and then by the GPU's."""
    known = {stage for entry in result.cases for stage in entry.samples}
    stages = [s for s in STAGES if s not in PASSES] + ["end_to_end"]
    stages += [s for s in (*COPIES, INTERVAL) if s in known]
    stages += [DEVICE + s for s in (*COPIES, *STAGES) if DEVICE + s in known]
    return terminal_table(stage_medians(result, stages), width=width)


_STAGES_FIRST = (
    "end_to_end",
    "enqueue",
    "stream_sync",
    DEVICE + "enqueue",
    "prepare_batch",
    "decode",
    "merge",
)


def stage_medians(result: RunResult, stages: Sequence[str]) -> RowTable[CaseResult]:
    """Return the median of each of these stages, in this order."""
    cases = [entry.case for entry in result.cases]

    def column(index: int, stage: str) -> Column[CaseResult]:
        rank = _STAGES_FIRST.index(stage) if stage in _STAGES_FIRST else len(_STAGES_FIRST) + index
        heads = {"terminal": stage.replace("_", " ", 1), "page": f"GPU {stage.removeprefix(DEVICE)}"}
        return Column(
            stage,
            lambda entry: median(entry.samples.get(stage, ())),
            milliseconds,
            number=milliseconds_exactly,
            rank=rank,
            heads=heads if stage.startswith(DEVICE) else {},  # type: ignore[arg-type]
        )

    columns = [column(index, stage) for index, stage in enumerate(stages)]
    named: list[Column[CaseResult]] = case_columns(cases, lambda entry: entry.case)
    return RowTable(case_title("Stages, ms (p50)", cases), [*named, *columns], result.cases)


def budget_table(verdicts: Sequence[Verdict], width: int | None = None) -> Table:
    """Return one row per budget that was held against a case."""
    cases = [verdict.case for verdict in verdicts]
    named: list[Column[Verdict]] = case_columns(cases, lambda verdict: verdict.case)
    return terminal_table(
        RowTable(case_title("Budgets, ms", cases), [*named, *BUDGETS], verdicts), width=width
    )


BUDGETS: tuple[Column[Verdict], ...] = (
    Column("stage", lambda v: f"{v.stage} {v.stat}", words=True, key=True),
    Column("took", lambda v: v.seconds, milliseconds, number=milliseconds_exactly),
    Column("budget", lambda v: v.limit, milliseconds, number=milliseconds_exactly),
    Column(
        "over",
        lambda v: v.of_limit,
        lambda ratio: "" if ratio <= 1 else signed_percent(ratio),
        texts={"page": lambda ratio: Markup(f'<span class="missed">{signed_percent(ratio)}</span>')},
    ),
)
"""What is said of a budget, behind what it was held against."""


def comparison_table(comparison: ComparisonFile, width: int | None = None) -> Table:
    """Return one row per case and stage that both results have."""
    return terminal_table(changes(comparison), width=width)


def changes(comparison: ComparisonFile) -> RowTable[ComparedStage]:
    """Return one row per case and stage that both results have."""
    cases = [change.case for change in comparison.changes]
    title = case_title(f"New against base, ms ({comparison.stat})", cases)
    named: list[Column[ComparedStage]] = case_columns(cases, lambda change: change.case)
    return RowTable(title, [*named, *CHANGES], comparison.changes)


CHANGES: tuple[Column[ComparedStage], ...] = (
    Column("stage", lambda c: c.stage, words=True, key=True),
    Column("base", lambda c: c.base_s, milliseconds, rank=2, heads={"markdown": "base ms"}),
    Column("new", lambda c: c.new_s, milliseconds, rank=3, heads={"markdown": "new ms"}),
    Column("change", lambda c: signed_percent(c.ratio, c.interval)),
    Column("interval", lambda c: interval_percent(c.interval, c.ratio), rank=1),
    Column(
        "verdict",
        lambda c: c,
        lambda c: str(c.word),
        words=True,
        texts={
            "markdown": lambda c: (
                c.word if not c.regressed and c.outcome != "undecided" else Markup(f"**{c.word}**")
            )
        },
    ),
)
"""What is said of a figure in two results."""


def case_title(text: str, cases: Sequence[Case]) -> str:
    """Return the title of a table, with the engine if it has no column."""
    engines = dict.fromkeys(case.engine for case in cases)
    return f"{next(iter(engines))}: {text}" if len(engines) == 1 else text
