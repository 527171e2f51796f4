"""Tables that fit a terminal: no figure is broken over two lines, lesser columns are left out instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolotrt.text import visible

if TYPE_CHECKING:
    from rich.table import Table

NOT_MEASURED = "-"

_BORDER = 3
"""Characters that a column costs besides its content: a line and a space on each side."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        cells: One text per row.
        rank: 0 always stays; of the others those with the highest rank are the first to go.
        words: It holds words, which may be broken between them; figures may not.
    """

    name: str
    cells: Sequence[str]
    rank: int = 0
    words: bool = False

    @property
    def empty(self) -> bool:
        """Whether no row measured it."""
        return all(cell == NOT_MEASURED for cell in self.cells)

    def width(self, *, broken: bool = False) -> int:
        """Return the characters it takes; ``broken`` between words where it may be."""
        from rich.cells import cell_len

        texts = tuple(map(visible, (self.name, *self.cells)))
        if broken and self.words:
            texts = tuple(word for text in texts for word in text.split())
        return max(map(cell_len, texts), default=0) + _BORDER


def fits(columns: Sequence[Column], width: int | None) -> bool:
    """Whether all columns fit as they are; None is as wide as is needed."""
    return width is None or _total(columns) <= width


def fitted(title: str, columns: Sequence[Column], width: int | None) -> Table:
    """Return the table of as many columns as fit, the most important first; it names those it leaves out.

    Where not all fit, those go without mention that nothing measured.

    Args:
        title: Stands above it.
        columns: All of the same number of cells.
        width: Characters of a line; None is as wide as is needed.
    """
    from rich.table import Table

    shown, broken = list(columns), False
    if width is not None and not fits(columns, width):
        shown = [column for column in columns if not column.rank]
        broken = not fits(shown, width)
        for column in sorted((c for c in columns if c.rank and not c.empty), key=lambda c: c.rank):
            if _total([*shown, column], broken=broken) <= width:
                shown.append(column)
        shown.sort(key=columns.index)
    missing = [column.name for column in columns if column not in shown and not column.empty]
    caption = f"too narrow for: {', '.join(missing)}" if missing else None
    table = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        show_edge=not broken,
        pad_edge=not broken,
    )
    for column in shown:
        table.add_column(
            column.name, justify="left" if column.words else "right", no_wrap=not (column.words and broken)
        )
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*row)
    return table


def _total(columns: Sequence[Column], *, broken: bool = False) -> int:
    edges = -_BORDER if broken else 1  # a table that has to break words has no frame
    return sum(column.width(broken=broken) for column in columns) + edges
