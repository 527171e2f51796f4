"""One frame's spans over time: what ran side by side, and what waited."""

from __future__ import annotations

from collections.abc import Sequence

from yolotrt.bench.result import CaseResult, TimelineSpan
from yolotrt.report.figures import milliseconds
from yolotrt.report.labels import OTHER_COLOR, STAGE_COLORS, legend
from yolotrt.report.svg import WIDTH, Scale, SvgCanvas, round_ticks, x_axis
from yolotrt.timing.trace import PASSES

"""Spans that hold other spans; they are drawn only where nothing divides them."""

_LEFT, _PITCH, _BAR = 80.0, 18.0, 13.0

TimelineRow = tuple[bool, int, int, int]
"""On the device, pass, group (-1 without one), and lane: spans of one group that overlap lie in lanes."""

_SCOPES = ("tiles", "global", "frame")


def timeline_chart(entry: CaseResult) -> str:
    """Return the frame nearest the median: a row per group and clock, a bar per span; empty without spans."""
    spans = _drawn(entry.timeline)
    if not spans:
        return ""
    placed = _placed(spans)
    rows = sorted({row for row, _ in placed})
    bottom = len(rows) * _PITCH + 4
    canvas = SvgCanvas(bottom + 20)
    ticks = round_ticks(max(span.end_s for span in entry.timeline) * 1e3)
    x = Scale(0, ticks[-1], _LEFT, WIDTH - 12)
    x_axis(canvas, x, ticks, 0, bottom)
    for index, row in enumerate(rows):
        if row[-1] == 0:
            canvas.text(_LEFT - 6, index * _PITCH + 14, _name(row), anchor="end", style="tick")
    for row, span in placed:
        begin, end = x(span.begin_s * 1e3), x(span.end_s * 1e3)
        color = STAGE_COLORS.get(span.stage, OTHER_COLOR)
        canvas.rect(begin, rows.index(row) * _PITCH + 4, max(end - begin, 0.75), _BAR, color, _tip(span))
    return canvas.render(f"Timeline of one frame: {entry.case}") + legend(_keys(spans))


def overlap_text(entry: CaseResult) -> str:
    """Return how much ran side by side in the frame of the timeline; empty where nothing could."""
    sentences = []
    for on, who in (("device", "On the GPU"), ("host", "On the host")):
        groups = [s for s in entry.timeline if s.on == on and s.stage == "enqueue" and s.group is not None]
        if len({s.group for s in groups}) > 1:
            at_once = sum(s.end_s - s.begin_s for s in groups) / (_covered(groups) or 1.0)
            sentences.append(f"{who}, {at_once:.1f} groups were in enqueue at once on average.")
    device = [s for s in entry.timeline if s.on == "device"]
    frame = max((s.end_s for s in entry.timeline), default=0.0)
    if device and frame:
        busy = _covered([s for s in device if s.stage not in PASSES] or device)
        sentences.append(f"The GPU was busy for {milliseconds(busy)} of {milliseconds(frame)} ms.")
    return " ".join(sentences)


def _covered(spans: Sequence[TimelineSpan]) -> float:
    """Return the length of the union of the spans, seconds."""
    total, reached = 0.0, 0.0
    for span in sorted(spans, key=lambda s: s.begin_s):
        total += max(0.0, span.end_s - max(span.begin_s, reached))
        reached = max(reached, span.end_s)
    return total


def _drawn(spans: Sequence[TimelineSpan]) -> list[TimelineSpan]:
    """Return the spans that show something of their own."""
    divided = {(s.on, s.scope) for s in spans if s.stage not in PASSES}
    return [
        s
        for s in spans
        if s.stage not in PASSES or (s.stage in ("tiles", "global") and (s.on, s.scope) not in divided)
    ]


def _placed(spans: Sequence[TimelineSpan]) -> list[tuple[TimelineRow, TimelineSpan]]:
    """Give every span a row; those of one group that overlap, such as of two GPUs, go to further lanes."""
    ends: dict[tuple[bool, int, int], list[float]] = {}
    placed = []
    for span in sorted(spans, key=lambda s: (s.begin_s, s.end_s)):
        key = (span.on == "device", _SCOPES.index(span.scope), -1 if span.group is None else span.group)
        lanes = ends.setdefault(key, [])
        lane = next((i for i, end in enumerate(lanes) if end <= span.begin_s + 1e-9), len(lanes))
        lanes[lane : lane + 1] = [span.end_s]
        placed.append(((*key, lane), span))
    return placed


def _name(row: TimelineRow) -> str:
    device, scope, group, _lane = row
    name = f"group {group + 1}" if group >= 0 else ("tiles", "global", "frame")[scope]
    return f"GPU {name}" if device else name


def _tip(span: TimelineSpan) -> str:
    return f"{span.stage}: {milliseconds(span.begin_s)} to {milliseconds(span.end_s)} ms"


def _keys(spans: Sequence[TimelineSpan]) -> list[tuple[str, str, str]]:
    present = {span.stage for span in spans}
    keys = [(color, stage, "box") for stage, color in STAGE_COLORS.items() if stage in present]
    return keys + [(OTHER_COLOR, "tiles" if "tiles" in present else "other", "box")] * bool(
        present - set(STAGE_COLORS)
    )
