"""The tables at the end of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolotrt.bench.halving import Dropped
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import mebibytes, milliseconds, points
from yolotrt.report.fitting import terminal_table
from yolotrt.report.labels import short_names
from yolotrt.report.result_columns import case_columns
from yolotrt.report.tables import case_title
from yolotrt.workflow.tune.choice import Candidate, TuneOutcome

if TYPE_CHECKING:
    from rich.table import Table


def tune_table(outcome: TuneOutcome, width: int | None = None) -> Table:
    """Return one row per way that was measured to the end; a star marks the Pareto front.

    Args:
        outcome: What the search found.
        width: Characters of a line; None is as wide as is needed.
    """
    found = outcome.candidates
    cases = [candidate.result.case for candidate in found]
    mark: Column[Candidate] = Column("", lambda c: _mark(c, outcome), words=True, key=True)
    named: list[Column[Candidate]] = case_columns(cases, lambda candidate: candidate.result.case)
    further: list[Column[Candidate]] = []
    if any(candidate.memory.gpu is not None for candidate in found):
        further.append(Column("GPU MiB", lambda c: c.memory.gpu, mebibytes, rank=2))
    if any(candidate.misses for candidate in found):
        further.append(Column("budgets", lambda c: "; ".join(c.misses) or "kept", words=True))
    title = "Measured to the end (>: recommended; *: on the Pareto front of latency, mAP and memory)"
    columns = [mark, *named, *CANDIDATE, *further]
    return terminal_table(RowTable(case_title(title, cases), columns, found), width=width)


def _half_width(candidate: Candidate) -> float | None:
    interval = candidate.latency.p50_interval
    return None if interval is None else (interval.high - interval.low) / 2


CANDIDATE: tuple[Column[Candidate], ...] = (
    Column("ms (p50)", lambda c: c.latency.p50, milliseconds),
    Column("± ms", _half_width, milliseconds, rank=4),
    Column("mAP", lambda c: c.accuracy, points, rank=1),
    Column("host MiB", lambda c: c.memory.host, mebibytes, rank=3),
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


def given_up_table(outcome: TuneOutcome, width: int | None = None) -> Table:
    """Return one row per way that was not measured to the end, with the reason; see :func:`tune_table`."""
    rows = [
        *(_GivenUp(engine, reason) for engine, reason in outcome.refused),
        *(_given_up(entry) for entry in outcome.dropped),
    ]
    names = short_names([*(c.result.case.engine for c in outcome.candidates), *(row.engine for row in rows)])
    engines, title = {row.engine for row in rows}, "Given up early"
    if len(engines) == 1:
        return terminal_table(RowTable(f"{rows[0].engine}: {title}", GIVEN_UP, rows), width=width)
    engine: Column[_GivenUp] = Column("engine", lambda g: names[g.engine], words=True, key=True)
    return terminal_table(RowTable(title, [engine, *GIVEN_UP], rows), width=width)


def _given_up(entry: Dropped) -> _GivenUp:
    """Return a row; ways are held against others of the same engine, which need not name it again."""
    start = f"{entry.case.engine} "
    way, reason = str(entry.case).removeprefix(start), entry.reason.removeprefix(start)
    return _GivenUp(entry.case.engine, reason, way, entry.rounds, entry.median_s)


def _mark(candidate: Candidate, outcome: TuneOutcome) -> str:
    return ("*" if candidate in outcome.pareto else "") + (">" if candidate is outcome.best else "")
