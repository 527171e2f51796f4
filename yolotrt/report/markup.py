"""Pieces of HTML that the parts of the page share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from yolotrt.bench.statistics import Interval
from yolotrt.report.tables import NOT_MEASURED, milliseconds
from yolotrt.text import html_text


def heading(text: str) -> str:
    """Return a heading of a part."""
    return f"<h2>{html_text(text)}</h2>"


def figure(title: str, chart: str, how: str) -> str:
    """Return a chart with its title and how to read it."""
    caption = f'<p class="muted">{html_text(how)}</p>' if how else ""
    return f"<figure><figcaption><h3>{html_text(title)}</h3>{caption}</figcaption>{chart}</figure>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int,
    kind: str = "figures",
    wrap_head: bool = False,
) -> str:
    """Return a table; columns after the first ``left`` hold numbers, and cells that are HTML are markup.

    Names of stages in the head may be broken at underscores, so that many columns fit a page.
    """
    sides = ["l"] * left + ["r"] * (len(head) - left)
    shown = [html_text(text).replace("_", "_<wbr>") if wrap_head else html_text(text) for text in head]
    top = "".join(f'<th class="{side}">{text}</th>' for side, text in zip(sides, shown, strict=True))
    lines = (
        "<tr>"
        + "".join(f'<td class="{s}">{html_text(cell)}</td>' for s, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in rows
    )
    thead = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table class="{kind}">{thead}<tbody>{"".join(lines)}</tbody></table></div>'


def interval_text(interval: Interval | None) -> str:
    """Return an interval in milliseconds."""
    return NOT_MEASURED if interval is None else " to ".join(milliseconds(v) for v in interval)
