"""Is INT8 worth it here? Latency, size and accuracy of each precision, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import milliseconds, signed_points
from yolotrt.report.fitting import terminal_table
from yolotrt.workflow.worth import Tried, Worth

if TYPE_CHECKING:
    from rich.table import Table


def worth_table(worth: Worth, width: int | None = None) -> Table:
    """Return one row per precision; an angle bracket marks the one to use.

    Args:
        worth: What was tried.
        width: Characters of a line; None is as wide as is needed.
    """
    base = next(entry for entry in worth.tried if entry.samples)

    def speed(entry: Tried) -> str | None:
        found = entry.speed(base)
        if found is None or entry is base:
            return None
        interval = found.interval
        return f"{found.value:.2f}x" + (f" ({interval.low:.2f} to {interval.high:.2f})" if interval else "")

    columns: list[Column[Tried]] = [
        Column("", lambda e: ">" if e is worth.chosen else "", words=True, key=True),
        Column("precision", lambda e: e.precision, words=True, key=True),
        Column("on", lambda e: e.device, words=True, rank=4),
        Column("ms (p50)", lambda e: e.p50_s, milliseconds),
        Column(f"as fast as {base.precision}", speed),
        Column("MB", lambda e: e.size, lambda size: f"{size / 1e6:.1f}", rank=2),
        Column("work in INT8", lambda e: e.work, "{:.1%}".format, rank=3),
    ]
    if worth.judged is not None:
        columns.append(Column("loss", lambda e: e.loss, signed_points))
    columns.append(Column("use", lambda e: _verdict(e, worth), words=True))
    title = "Is INT8 worth it here?" + (f" Loss: {worth.judged}" if worth.judged else "")
    return terminal_table(RowTable(title, columns, worth.tried), width=width)


def _verdict(entry: Tried, worth: Worth) -> str:
    if entry.refused:
        return "no: the bound is not kept"
    return "this one" if entry is worth.chosen else "no"
