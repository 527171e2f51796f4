"""The tables at the end of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import mebibytes, milliseconds, points
from yolotrt.report.fitting import terminal_table
from yolotrt.report.labels import short_names
from yolotrt.report.result_columns import case_columns
from yolotrt.report.tables import case_title
from yolotrt.workflow.tune.outcome_file import DroppedWay, FoundWay, OutcomeFile

if TYPE_CHECKING:
    from rich.table import Table


def tune_table(outcome: OutcomeFile, width: int | None = None) -> Table:
    """Return one row per way that was measured to the end; a star marks the Pareto front.

    Args:
        outcome: What the search found.
        width: Characters of a line; None is as wide as is needed.
    """
    found = outcome.candidates
    cases = list(found)
    mark: Column[FoundWay] = Column("", lambda c: _mark(c, outcome), words=True, key=True)
    named: list[Column[FoundWay]] = case_columns(cases, lambda candidate: candidate)
    further: list[Column[FoundWay]] = []
    if any(candidate.gpu_memory_bytes is not None for candidate in found):
        further.append(Column("GPU MiB", lambda c: c.gpu_memory_bytes, mebibytes, rank=2))
    if any(candidate.misses for candidate in found):
        further.append(Column("budgets", lambda c: "; ".join(c.misses) or "kept", words=True))
    missed = outcome.candidates[outcome.recommended].misses
    chosen = "nearest to the budgets, which nothing keeps" if missed else "recommended"
    title = f"Measured to the end (>: {chosen}; *: on the Pareto front of latency, mAP and memory)"
    columns = [mark, *named, *CANDIDATE, *further]
    return terminal_table(RowTable(case_title(title, cases), columns, found), width=width)


def _half_width(candidate: FoundWay) -> float | None:
    interval = candidate.interval_s
    return None if interval is None else (interval.high - interval.low) / 2


CANDIDATE: tuple[Column[FoundWay], ...] = (
    Column("ms (p50)", lambda c: c.p50_s, milliseconds),
    Column("± ms", _half_width, milliseconds, rank=4),
    Column("mAP", lambda c: c.accuracy, points, rank=1),
    Column("host MiB", lambda c: c.memory_bytes, mebibytes, rank=3),
)


@dataclass(frozen=True)
class _GivenUp:
    """A way that was not measured to the end; an engine that was refused has none."""

    engine: str
    reason: str
    way: str | None = None
    rounds: int = 0
    median_s: float | None = None


GIVEN_UP: tuple[Column[_GivenUp], ...] = (
    Column("way", lambda g: g.way, words=True, key=True),
    Column("rounds", lambda g: g.rounds, rank=2),
    Column("ms (p50)", lambda g: g.median_s, milliseconds, rank=1),
    Column("reason", lambda g: g.reason, words=True),
)


def given_up_table(outcome: OutcomeFile, width: int | None = None) -> Table:
    """Return one row per way that was not measured to the end, with the reason; see :func:`tune_table`."""
    rows = [
        *(_GivenUp(entry.engine, entry.reason) for entry in outcome.refused),
        *(_given_up(entry) for entry in outcome.dropped),
    ]
    names = short_names([*(c.engine for c in outcome.candidates), *(row.engine for row in rows)])
    engines, title = {row.engine for row in rows}, "Given up early"
    if len(engines) == 1:
        return terminal_table(RowTable(f"{rows[0].engine}: {title}", GIVEN_UP, rows), width=width)
    engine: Column[_GivenUp] = Column("engine", lambda g: names[g.engine], words=True, key=True)
    return terminal_table(RowTable(title, [engine, *GIVEN_UP], rows), width=width)


def _given_up(entry: DroppedWay) -> _GivenUp:
    """Return a row; ways are held against others of the same engine, which need not name it again."""
    start = f"{entry.engine} "
    way, reason = str(entry).removeprefix(start), entry.reason.removeprefix(start)
    return _GivenUp(entry.engine, reason, way, entry.rounds, entry.p50_s)


def _mark(candidate: FoundWay, outcome: OutcomeFile) -> str:
    return ("*" if candidate.pareto else "") + (
        ">" if candidate is outcome.candidates[outcome.recommended] else ""
    )
