"""One frame's spans over time: what ran side by side, and what waited."""

from __future__ import annotations

from collections.abc import Sequence

from yolotrt.bench.result import CaseResult, TimelineSpan
from yolotrt.report.labels import OTHER_COLOR, STAGE_COLORS, legend
from yolotrt.report.svg import WIDTH, Canvas, Scale, round_ticks, x_axis
from yolotrt.report.tables import milliseconds

_COVERS = frozenset({"tiles", "global", "end_to_end"})
"""Spans that hold other spans; drawing them too would hide what they hold."""

Row = tuple[str, int, str]


def timeline_chart(entry: CaseResult) -> str:
    """Return the frame nearest the median: a row per group and clock, a bar per span; empty without spans."""
    spans = [span for span in entry.timeline if span.stage not in _COVERS]
    if not spans:
        return ""
    rows = sorted({_row(span) for span in spans})
    left, pitch = 74.0, 18.0
    bottom = len(rows) * pitch + 4
    canvas = Canvas(bottom + 20)
    ticks = round_ticks(max(span.end_s for span in entry.timeline) * 1e3)
    x = Scale(0, ticks[-1], left, WIDTH - 12)
    x_axis(canvas, x, ticks, 0, bottom)
    for index, row in enumerate(rows):
        canvas.text(left - 6, index * pitch + 14, _name(row), anchor="end", style="tick")
    for span in spans:
        top = rows.index(_row(span)) * pitch + 4
        begin, end = x(span.begin_s * 1e3), x(span.end_s * 1e3)
        color = STAGE_COLORS.get(span.stage, OTHER_COLOR)
        canvas.rect(begin, top, max(end - begin, 0.75), pitch - 5, color, _tip(span))
    return canvas.render(f"Timeline of one frame: {entry.case}") + legend(_keys(spans))


def _row(span: TimelineSpan) -> Row:
    """Sort tiles by group, then the whole frame, then what belongs to neither; the device below the host."""
    order = {"tiles": 0, "global": 1, "frame": 2}[span.scope]
    return (span.on if span.on == "device" else "", order * 10_000 + (span.group or 0), span.scope)


def _name(row: Row) -> str:
    on, place, scope = row
    name = f"group {place + 1}" if scope == "tiles" else "whole frame" if scope == "global" else "frame"
    return f"GPU {name}" if on else name


def _tip(span: TimelineSpan) -> str:
    return f"{span.stage}: {milliseconds(span.begin_s)} to {milliseconds(span.end_s)} ms"


def _keys(spans: Sequence[TimelineSpan]) -> list[tuple[str, str]]:
    present = {span.stage for span in spans}
    keys = [(color, stage) for stage, color in STAGE_COLORS.items() if stage in present]
    return keys + [(OTHER_COLOR, "other")] * bool(present - set(STAGE_COLORS))
