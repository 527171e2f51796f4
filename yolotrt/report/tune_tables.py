"""The tables at the end of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.bench.halving import Dropped
from yolotrt.report.fitting import NOT_MEASURED, Column, fitted
from yolotrt.report.labels import short_names
from yolotrt.report.tables import case_columns, case_title, milliseconds
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
    columns = [
        Column("", [_mark(candidate, outcome) for candidate in found], words=True),
        *case_columns(cases),
        Column("ms (p50)", [milliseconds(candidate.latency.p50) for candidate in found]),
        Column("± ms", [_half_width(candidate) for candidate in found], 4),
        Column("mAP", [_points(candidate.accuracy) for candidate in found], 1),
        Column("host MiB", [_mib(candidate.memory.host) for candidate in found], 3),
    ]
    if any(candidate.memory.gpu is not None for candidate in found):
        columns.append(Column("GPU MiB", [_mib(candidate.memory.gpu) for candidate in found], 2))
    if any(candidate.misses for candidate in found):
        kept = ["; ".join(candidate.misses) or "kept" for candidate in found]
        columns.append(Column("budgets", kept, words=True))
    title = (
        "Measured to the end (> recommended; * none of these is as good in latency, mAP and memory, and "
        "better in one)"
    )
    return fitted(case_title(title, cases), columns, width)


def given_up_table(outcome: TuneOutcome, width: int | None = None) -> Table:
    """Return one row per way that was not measured to the end, with the reason; see :func:`tune_table`."""
    rows = [
        *((engine, NOT_MEASURED, "0", NOT_MEASURED, reason) for engine, reason in outcome.refused),
        *(_given_up(entry) for entry in outcome.dropped),
    ]
    names = short_names([*(c.result.case.engine for c in outcome.candidates), *(row[0] for row in rows)])
    engine, way, rounds, median, reason = zip(*rows, strict=True)
    columns = [
        Column("engine", [names[name] for name in engine], words=True),
        Column("way", way, words=True),
        Column("rounds", rounds, 2),
        Column("ms (p50)", median, 1),
        Column("reason", reason, words=True),
    ]
    title = "Given up early"
    if len(set(engine)) == 1:
        return fitted(f"{engine[0]}: {title}", columns[1:], width)
    return fitted(title, columns, width)


def _given_up(entry: Dropped) -> tuple[str, str, str, str, str]:
    """Return a row; ways are held against others of the same engine, which need not name it again."""
    engine = entry.case.engine
    way, reason = str(entry.case), entry.reason
    return (
        engine,
        way.removeprefix(f"{engine} "),
        str(entry.rounds),
        milliseconds(entry.median_s),
        reason.removeprefix(f"{engine} "),
    )


def _mark(candidate: Candidate, outcome: TuneOutcome) -> str:
    return ("*" if candidate in outcome.pareto else "") + (">" if candidate is outcome.best else "")


def _half_width(candidate: Candidate) -> str:
    interval = candidate.latency.p50_interval
    return NOT_MEASURED if interval is None else milliseconds((interval.high - interval.low) / 2)


def _points(accuracy: float | None) -> str:
    return NOT_MEASURED if accuracy is None else f"{accuracy * 100:.2f}"


def _mib(size: int | None) -> str:
    return NOT_MEASURED if size is None else f"{size / 2**20:.0f}"
