"""What INT8 was traded for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import points, signed_points
from yolotrt.report.fitting import terminal_table
from yolotrt.workflow.accuracy_bound.search import BoundOutcome
from yolotrt.workflow.accuracy_bound.trial import Attempt
from yolotrt.workflow.evaluate import MaxDrop

if TYPE_CHECKING:
    from rich.table import Table

_Try = tuple[int, Attempt | None]
"""Number of an attempt and what came of it; None for the FP32 network that all are compared with."""


def bound_table(outcome: BoundOutcome, width: int | None = None) -> Table:
    """Return one row per attempt: what is INT8, how large the engine is, what was measured, what it lost.

    Losses are in the bound's unit, percent or points; a gain is negative.
    """
    figures = [_figure(name, outcome.reference) for name in outcome.reference]
    bound = MaxDrop.parse(outcome.bound).value
    loss: Column[_Try] = Column("counts as loss", _of(lambda attempt: _loss(attempt, bound)))
    columns = [*ATTEMPT, *figures, loss, HELD]
    title = f"INT8 with --max-drop {outcome.bound} by {outcome.criterion}, {outcome.mode}"
    rows: list[_Try] = [(0, None), *enumerate(outcome.attempts, 1)]
    return terminal_table(RowTable(title, columns, rows), width=width)


def _of(take: Callable[[Attempt], object]) -> Callable[[_Try], object]:
    return lambda row: None if row[1] is None else take(row[1])


def _figure(name: str, reference: dict[str, float]) -> Column[_Try]:
    return Column(name, lambda row: (row[1].figures if row[1] else reference)[name], points)


def _loss(attempt: Attempt, bound: float) -> str:
    worst = attempt.judgement.worst(bound)
    return f"{signed_points(attempt.losses[worst])} ({worst})"


ATTEMPT: tuple[Column[_Try], ...] = (
    Column("engine", lambda row: f"attempt {row[0]}" if row[1] else "fp32", words=True, key=True),
    Column("convolutions in INT8", _of(lambda a: f"{a.quantized} of {a.convolutions}"), rank=3),
    Column("multiply-adds in INT8", _of(lambda a: a.work), "{:.1%}".format, rank=1),
    Column("MB", _of(lambda a: a.size), lambda size: f"{size / 1e6:.1f}", rank=2),
)
HELD: Column[_Try] = Column("held", _of(lambda a: "yes" if a.held else "no"), words=True)
