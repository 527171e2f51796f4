"""What each worker of a batch did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.report.columns import Column, RowTable
from yolotrt.report.fitting import terminal_table
from yolotrt.workflow.batched import BatchReport, WorkerShare

if TYPE_CHECKING:
    from rich.table import Table

SHARES: tuple[Column[WorkerShare], ...] = (
    Column("worker", lambda w: w.where, words=True, key=True),
    Column("shards", lambda w: w.shards, rank=3),
    Column("frames", lambda w: w.frames, rank=2),
    Column("busy s", lambda w: w.busy_s, "{:.1f}".format, rank=4),
    Column("frames/s", lambda w: w.frames_per_s, "{:.1f}".format, rank=1),
)


def worker_table(report: BatchReport, width: int | None = None) -> Table:
    """Return a row for each worker."""
    return terminal_table(RowTable("Workers", SHARES, report.workers), width=width)
