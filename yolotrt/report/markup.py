"""Pieces of HTML that the parts of the page share."""

from __future__ import annotations

from typing import Any

from yolotrt.report.columns import RowTable
from yolotrt.text import html_text


def heading(text: str) -> str:
    """Return a heading of a part."""
    return f"<h2>{html_text(text)}</h2>"


def figure(title: str, chart: str, how: str) -> str:
    """Return a chart with its title and how to read it."""
    caption = f'<p class="muted">{html_text(how)}</p>' if how else ""
    return f"<figure><figcaption><h3>{html_text(title)}</h3>{caption}</figcaption>{chart}</figure>"


def table(
    shown: RowTable[Any], *, place: str | None = None, kind: str = "figures", wrap_head: bool = False
) -> str:
    """Return a table; cells that are HTML are markup.

    Args:
        shown: The table; its title is left out.
        place: Its place on the page: every figure then carries ``place/row/column`` and can be found.
        kind: Its class.
        wrap_head: Headings may be broken at underscores, so that many columns fit a page.
    """
    columns = shown.shown("page")
    heads = [column.head("page") for column in columns]
    sides = ["l" if column.words else "r" for column in columns]
    top = "".join(
        f'<th class="{side}">{html_text(head).replace("_", "_<wbr>") if wrap_head else html_text(head)}</th>'
        for side, head in zip(sides, heads, strict=True)
    )
    lines = []
    for number, row in enumerate(shown.rows):
        cells = []
        for column, side, head in zip(columns, sides, heads, strict=True):
            cell = html_text(column.cell(row, "page"))
            if place is not None and not column.key:
                cell = f'<data value="{place}/{number}/{html_text(head)}">{cell}</data>'
            cells.append(f'<td class="{side}">{cell}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    thead = f"<thead><tr>{top}</tr></thead>" if any(heads) else ""
    return f'<div class="scroll"><table class="{kind}">{thead}<tbody>{"".join(lines)}</tbody></table></div>'
