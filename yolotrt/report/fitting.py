"""Tables on a terminal: no figure is broken over two lines, lesser columns are left out instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import NOT_MEASURED
from yolotrt.text import visible

if TYPE_CHECKING:
    from rich.table import Table

_BORDER = 3
"""Characters that a column costs besides its content: a line and a space on each side."""


ESSENTIAL = 2
"""Columns up to this rank are worth more than a longer text in each."""


@dataclass(frozen=True)
class _Fitted:
    """A column and its cells, whose width is known."""

    column: Column[Any]
    cells: Sequence[str]

    @property
    def head(self) -> str:
        return self.column.head("terminal")

    @property
    def empty(self) -> bool:
        """Whether no row measured it."""
        return all(cell == NOT_MEASURED for cell in self.cells)

    def width(self, *, broken: bool = False) -> int:
        """Return the characters it takes; ``broken`` between words where it may be."""
        from rich.cells import cell_len

        texts = tuple(map(visible, (self.head, *self.cells)))
        if broken and self.column.words:
            texts = tuple(word for text in texts for word in text.split())
        return max(map(cell_len, texts), default=0) + _BORDER


def terminal_table(table: RowTable[Any], *shorter: RowTable[Any], width: int | None = None) -> Table:
    """Return the table of as many columns as fit, the most important first; it names those it leaves out.

    Where not all fit, those go without mention that nothing measured.

    Args:
        table: What to show.
        shorter: What to show where not all of it fits, the longest first: the first one that has room for the
            columns up to :data:`ESSENTIAL`.
        width: Characters of a line; None is as wide as is needed.
    """
    if width is None:
        return _rendered(table.title, _filled(table), [], broken=False)
    for number, choice in enumerate((table, *shorter)):
        columns = _filled(choice)
        if _total(columns) <= width:
            return _rendered(choice.title, columns, [], broken=False)
        if number and _total([c for c in columns if c.column.rank <= ESSENTIAL and not c.empty]) <= width:
            break
    kept = [c for c in columns if not c.column.rank]
    essential = [c for c in columns if c.column.rank <= ESSENTIAL and not c.empty]
    # Words in two lines are better than a figure that everybody looks for left out.
    worth_it = _total(essential) > width >= _total(essential, broken=True)
    broken = _total(kept) > width or worth_it
    for further in sorted((c for c in columns if c.column.rank and not c.empty), key=lambda c: c.column.rank):
        if _total([*kept, further], broken=broken) <= width:
            kept.append(further)
    kept.sort(key=columns.index)
    missing = [c.head for c in columns if c not in kept and not c.empty]
    return _rendered(choice.title, kept, missing, broken=broken)


def headless_table(table: RowTable[Any]) -> Table:
    """Return a table of names and what is said of them, without headings; a terminal breaks its lines."""
    from rich.table import Table

    shown = Table(title=table.title, title_justify="left", show_header=False)
    for row in table.rows:
        shown.add_row(*(column.cell(row, "terminal") for column in table.shown("terminal")))
    return shown


def _filled(table: RowTable[Any]) -> list[_Fitted]:
    return [
        _Fitted(column, tuple(column.cell(row, "terminal") for row in table.rows))
        for column in table.shown("terminal")
    ]


def _rendered(title: str, columns: Sequence[_Fitted], missing: Sequence[str], *, broken: bool) -> Table:
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        caption=f"too narrow for: {', '.join(missing)}" if missing else None,
        caption_justify="left",
        show_edge=not broken,
        pad_edge=not broken,
    )
    for shown in columns:
        words = shown.column.words
        table.add_column(shown.head, justify="left" if words else "right", no_wrap=not (words and broken))
    for row in zip(*(shown.cells for shown in columns), strict=True):
        table.add_row(*row)
    return table


def _total(columns: Sequence[_Fitted], *, broken: bool = False) -> int:
    edges = -_BORDER if broken else 1  # a table that has to break words has no frame
    return sum(shown.width(broken=broken) for shown in columns) + edges
