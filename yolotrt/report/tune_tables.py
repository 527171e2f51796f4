"""The table at the end of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.report.tables import NOT_MEASURED, milliseconds
from yolotrt.workflow.tune_choice import Candidate, TuneOutcome

if TYPE_CHECKING:
    from rich.table import Table


def tune_table(outcome: TuneOutcome) -> Table:
    """Return one row per way that was measured to the end; a star marks the Pareto front."""
    from rich.table import Table

    table = Table(
        title="Latency, accuracy and memory (* no other is better in all three)", title_justify="left"
    )
    for name in ("", "engine", "mode", "dispatch"):
        table.add_column(name)
    for name in ("groups", "ms (p50)", "± ms", "mAP", "memory, MiB"):
        table.add_column(name, justify="right")
    table.add_column("budgets")
    for candidate in outcome.candidates:
        table.add_row(*_row(candidate, outcome))
    return table


def _row(candidate: Candidate, outcome: TuneOutcome) -> tuple[str, ...]:
    case, latency = candidate.result.case, candidate.latency
    interval = latency.p50_interval
    mark = ("*" if candidate in outcome.pareto else "") + (">" if candidate is outcome.best else "")
    return (
        mark,
        case.engine,
        case.mode,
        case.dispatch,
        str(case.groups),
        milliseconds(latency.p50),
        NOT_MEASURED if interval is None else milliseconds((interval.high - interval.low) / 2),
        NOT_MEASURED if candidate.accuracy is None else f"{candidate.accuracy * 100:.2f}",
        f"{candidate.memory / 2**20:.0f}",
        "; ".join(candidate.misses) or "kept",
    )
