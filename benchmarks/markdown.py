"""Tables of figures in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from yolotrt.report.figures import NOT_MEASURED


def points(value: float | None) -> str:
    """Return a share in percentage points."""
    return NOT_MEASURED if value is None else f"{value * 100:.2f}"


def rows_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is its head; all but the first column are figures."""
    return table_of(rows[0], rows[1:], left=1)


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Return a table; columns from ``left`` on are figures."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))
