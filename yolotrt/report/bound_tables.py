"""What INT8 was traded for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.report.tables import signed
from yolotrt.workflow.accuracy_bound.search import BoundOutcome

if TYPE_CHECKING:
    from rich.table import Table


def bound_table(outcome: BoundOutcome) -> Table:
    """Return one row per attempt: what is INT8, how large the engine is, what was measured, what it lost.

    Losses are in the bound's unit, percent or points; a gain is negative.
    """
    from rich.table import Table

    title = f"INT8 with --max-drop {outcome.bound} by {outcome.criterion}, {outcome.mode}"
    table = Table(title=title, title_justify="left")
    table.add_column("engine")
    for name in ("convolutions in INT8", "multiply-adds in INT8", "MB", *outcome.reference, "counts as loss"):
        table.add_column(name, justify="right")
    table.add_column("held")
    figures = [_figure(value) for value in outcome.reference.values()]
    table.add_row("fp32", "-", "-", "-", *figures, "-", "-")
    for number, attempt in enumerate(outcome.attempts, 1):
        worst = max(attempt.losses, key=lambda name: attempt.losses[name])
        table.add_row(
            f"attempt {number}",
            f"{attempt.quantized} of {attempt.convolutions}",
            f"{attempt.work:.1%}",
            "-" if attempt.size is None else f"{attempt.size / 1e6:.1f}",
            *(_figure(attempt.figures[name]) for name in outcome.reference),
            f"{signed(attempt.losses[worst] * 100, 2)} ({worst})",
            "yes" if attempt.held else "no",
        )
    return table


def _figure(value: float) -> str:
    return f"{value * 100:.2f}"
