"""Charts of latency: by groups, at every percentile, and frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from yolotrt.arrays import F64
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import Summary, far_fences, measured, summarize
from yolotrt.report.figures import milliseconds, quantiles_text
from yolotrt.report.labels import case_label, legend, looks, short_names, shown_series
from yolotrt.report.svg import WIDTH, Scale, SvgCanvas, round_ticks, tick_label, y_axis

LEFT, RIGHT, TOP, BOTTOM = 44.0, WIDTH - 12, 12.0, 190.0
MOST_POINTS = 240
"""Frames that are drawn one by one; of more, the extremes of each short stretch are."""


def latency_by_groups(result: RunResult) -> list[tuple[str, str]]:
    """Return a title and a chart for each engine and tiled pass: median and interval over groups.

    All have one scale. The global pass, which has no groups, is a dashed line. A single point gets no
    chart: the table says as much.
    """
    names, look = short_names([e.case.engine for e in result.cases]), looks(result)
    panels = []
    ticks = _shared_ticks(result)
    keys = {(e.case.engine, e.case.mode): None for e in result.cases if e.case.mode != "global"}
    for engine, mode in keys:
        lines: dict[str, list[tuple[int, Summary]]] = {}
        colors: dict[str, str] = {}
        for entry in result.cases:
            summary = summarize(entry.samples["end_to_end"])
            if summary is not None and (entry.case.engine, entry.case.mode) == (engine, mode):
                lines.setdefault(entry.case.way, []).append((entry.case.groups, summary))
                colors[entry.case.way] = look[entry.case].color
        global_summary = _global_summary(result.cases, engine)
        if sum(map(len, lines.values())) > 1:
            title = f"{names[engine]}, {mode}" if len(names) > 1 else mode
            panels.append((title, _group_chart(lines, colors, global_summary, title, ticks)))
    return panels


def _shared_ticks(result: RunResult) -> Sequence[float]:
    """Return one scale for all panels, so that they can be held against each other."""
    found = (summarize(entry.samples["end_to_end"]) for entry in result.cases)
    return round_ticks(max((_top(s) for s in found if s is not None), default=0.0) * 1e3)


def _top(summary: Summary) -> float:
    return summary.p50_interval.high if summary.p50_interval else summary.p50


def _global_summary(cases: Sequence[CaseResult], engine: str) -> Summary | None:
    found = [e for e in cases if e.case.engine == engine and e.case.mode == "global"]
    return summarize(found[0].samples["end_to_end"]) if found else None


def _group_chart(
    lines: dict[str, list[tuple[int, Summary]]],
    colors: dict[str, str],
    global_summary: Summary | None,
    title: str,
    ticks: Sequence[float],
) -> str:
    groups = sorted({group for points in lines.values() for group, _ in points})
    y = Scale(0, ticks[-1], BOTTOM, TOP)
    step = (RIGHT - LEFT) / len(groups)
    canvas = SvgCanvas(BOTTOM + 34)
    y_axis(canvas, y, ticks, LEFT, RIGHT)
    for index, group in enumerate(groups):
        canvas.text(LEFT + (index + 0.5) * step, BOTTOM + 15, str(group), anchor="middle", style="tick")
    canvas.text((LEFT + RIGHT) / 2, BOTTOM + 31, "groups", anchor="middle", style="axis")
    if global_summary is not None:
        canvas.line(LEFT, y(global_summary.p50 * 1e3), RIGHT, y(global_summary.p50 * 1e3), "dashed")
    keys = []
    for number, (dispatch, points) in enumerate(lines.items()):
        color = colors[dispatch]
        shift = (number - (len(lines) - 1) / 2) * 7  # side by side: intervals must not cover each other
        places = [
            (LEFT + (groups.index(g) + 0.5) * step + shift, s) for g, s in sorted(points, key=lambda p: p[0])
        ]
        canvas.path([(x, y(s.p50 * 1e3)) for x, s in places], color)
        for x, summary in places:
            _point(canvas, x, y, summary, color, dispatch)
        keys.append((color, dispatch, "mark0"))
    if global_summary is not None:
        keys.append(("var(--muted)", f"global pass only: {milliseconds(global_summary.p50)} ms", "line1"))
    return canvas.render(f"Median latency over groups: {title}") + legend(keys)


def _point(canvas: SvgCanvas, x: float, y: Scale, summary: Summary, color: str, name: str) -> None:
    tip = f"{name}: {milliseconds(summary.p50)} ms"
    if (interval := summary.p50_interval) is not None:
        low, high = y(interval.low * 1e3), y(interval.high * 1e3)
        canvas.line(x, low, x, high, "whisker", color)
        for end in (low, high):
            canvas.line(x - 3, end, x + 3, end, "whisker", color)
        tip += f", 95 % interval {milliseconds(interval.low)} to {milliseconds(interval.high)} ms"
    canvas.mark(x, y(summary.p50 * 1e3), color, tip)


def percentile_curves(result: RunResult) -> str:
    """Return the latency at every percentile, for the fastest case of each engine, pass and dispatch.

    The axis stretches towards the slow end, as is usual for latencies: from p0 to p90 it is as far as from
    p90 to p99.
    """
    names, look = short_names([e.case.engine for e in result.cases]), looks(result)
    samples = {e.case: np.sort(_milliseconds(e)) for e in shown_series(result)}
    count = max((len(values) for values in samples.values()), default=1)
    last = 1 - 0.5 / max(count, 2)
    marks = [p for p in (0.0, 0.5, 0.9, 0.95, 0.99, 0.999) if p <= last]
    x = Scale(0, _stretch(last), LEFT, RIGHT)
    ticks = round_ticks(max((float(v[-1]) for v in samples.values()), default=1.0))
    y = Scale(0, ticks[-1], BOTTOM, TOP)
    canvas = SvgCanvas(BOTTOM + 20)
    y_axis(canvas, y, ticks, LEFT, RIGHT)
    for p in marks:
        canvas.line(x(_stretch(p)), TOP, x(_stretch(p)), BOTTOM, "grid")
        canvas.text(x(_stretch(p)), BOTTOM + 15, f"p{tick_label(p * 100)}", anchor="middle", style="tick")
    keys = []
    for case, values in samples.items():
        canvas.path(_curve(values, x, y), look[case].color, look[case].kind)
        summary = summarize([float(value) / 1e3 for value in values])
        told = "" if summary is None else quantiles_text((summary.p50, summary.p95))
        keys.append((look[case].color, f"{case_label(case, names)}: {told} ms", f"line{look[case].kind}"))
    return canvas.render("Latency at each percentile, milliseconds") + legend(keys)


def _curve(values: F64, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Place sample i of n at the middle of its share, (i + 1/2) / n; at most 200 points."""
    n = len(values)
    chosen = np.unique(np.round(n * (1 - np.geomspace(1, 0.5 / n, 200))).astype(int).clip(0, n - 1))
    return [(x(_stretch((i + 0.5) / n)), y(float(values[i]))) for i in chosen]


def _stretch(p: float) -> float:
    return -math.log10(1 - p)


def every_frame(result: RunResult) -> str:
    """Return the latency of every frame in the order of measuring; outliers are marked.

    Of long runs each stretch shows its fastest and its slowest frame, so that no spike gets lost.
    """
    names, look = short_names([e.case.engine for e in result.cases]), looks(result)
    shown = [(e.case, _milliseconds(e)) for e in shown_series(result)]
    count = max((len(values) for _, values in shown), default=1)
    ticks = round_ticks(max((float(values.max()) for _, values in shown), default=1.0))
    x, y = Scale(1, max(count, 2), LEFT + 4, RIGHT), Scale(0, ticks[-1], BOTTOM, TOP)
    canvas = SvgCanvas(BOTTOM + 20)
    y_axis(canvas, y, ticks, LEFT, RIGHT)
    for frame, anchor in ((1, "middle"), (count, "end")):
        canvas.text(x(frame), BOTTOM + 15, f"frame {frame}", anchor=anchor, style="tick")
    keys = []
    for case, values in shown:
        color, kind = look[case].color, look[case].kind
        canvas.path([(x(i + 1), y(float(values[i]))) for i in _extremes(values)], color, kind, style="fine")
        low, high = far_fences(values)
        outliers = np.flatnonzero((values < low) | (values > high))
        for i in outliers:
            canvas.mark(x(i + 1), y(float(values[i])), color, f"frame {i + 1}: {values[i]:.4g} ms", kind=1)
        tail = f": {len(outliers)} outlier{'s' * (len(outliers) != 1)}" if len(outliers) else ""
        keys.append((color, case_label(case, names) + tail, f"line{kind}"))
    return canvas.render("Latency of every frame in order, milliseconds") + legend(keys)


def _extremes(values: F64) -> list[int]:
    """Return the indices to draw: all, or the fastest and slowest of each stretch."""
    if len(values) <= MOST_POINTS:
        return list(range(len(values)))
    parts = np.array_split(np.arange(len(values)), MOST_POINTS // 2)
    return [
        int(i) for part in parts for i in sorted({part[values[part].argmin()], part[values[part].argmax()]})
    ]


def _milliseconds(entry: CaseResult) -> F64:
    array = measured(entry.samples["end_to_end"])
    assert array is not None  # highlights have a median
    return array * 1e3
