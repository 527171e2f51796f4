"""Charts of a result: latency by groups, stages, percentiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import F64, Summary, measured, summarize
from yolotrt.report.labels import SERIES, STAGE_COLORS, case_label, highlights, legend, short_names
from yolotrt.report.svg import WIDTH, Canvas, Scale, round_ticks, tick_label, x_axis, y_axis
from yolotrt.report.tables import milliseconds

LEFT, RIGHT, TOP, BOTTOM = 44.0, WIDTH - 12, 12.0, 190.0
MAX_CURVES = 8


def latency_by_groups(result: RunResult) -> list[tuple[str, str]]:
    """Return a title and a chart for each engine and tiled pass: median and interval over groups.

    The pass over the whole frame, which has no groups, is a dashed line.
    """
    names = short_names([e.case.engine for e in result.cases])
    panels = []
    keys = {(e.case.engine, e.case.mode): None for e in result.cases if e.case.mode != "global"}
    for engine, mode in keys:
        lines: dict[str, list[tuple[int, Summary]]] = {}
        for entry in result.cases:
            summary = summarize(entry.samples["end_to_end"])
            if summary is not None and (entry.case.engine, entry.case.mode) == (engine, mode):
                lines.setdefault(entry.case.dispatch, []).append((entry.case.groups, summary))
        whole = _whole(result.cases, engine)
        if lines:
            title = f"{names[engine]}, {mode}" if len(names) > 1 else mode
            panels.append((title, _group_chart(lines, whole, title)))
    return panels


def _whole(cases: Sequence[CaseResult], engine: str) -> Summary | None:
    found = [e for e in cases if e.case.engine == engine and e.case.mode == "global"]
    return summarize(found[0].samples["end_to_end"]) if found else None


def _group_chart(lines: dict[str, list[tuple[int, Summary]]], whole: Summary | None, title: str) -> str:
    groups = sorted({group for points in lines.values() for group, _ in points})
    tops = [s.p50_interval.high if s.p50_interval else s.p50 for points in lines.values() for _, s in points]
    ticks = round_ticks(max([*tops, whole.p50 if whole else 0.0]) * 1e3)
    y = Scale(0, ticks[-1], BOTTOM, TOP)
    step = (RIGHT - LEFT) / len(groups)
    canvas = Canvas(BOTTOM + 34)
    y_axis(canvas, y, ticks, LEFT, RIGHT)
    for index, group in enumerate(groups):
        canvas.text(LEFT + (index + 0.5) * step, BOTTOM + 15, str(group), anchor="middle", style="tick")
    canvas.text((LEFT + RIGHT) / 2, BOTTOM + 31, "groups", anchor="middle", style="axis")
    if whole is not None:
        canvas.line(LEFT, y(whole.p50 * 1e3), RIGHT, y(whole.p50 * 1e3), "dashed")
    keys = []
    for number, (dispatch, points) in enumerate(sorted(lines.items())):
        color = SERIES[number % len(SERIES)]
        shift = (number - (len(lines) - 1) / 2) * 7  # side by side: intervals must not cover each other
        places = [
            (LEFT + (groups.index(g) + 0.5) * step + shift, s) for g, s in sorted(points, key=lambda p: p[0])
        ]
        canvas.path([(x, y(s.p50 * 1e3)) for x, s in places], "curve", color)
        for x, summary in places:
            _point(canvas, x, y, summary, color, dispatch)
        keys.append((color, dispatch))
    if whole is not None:
        keys.append(("var(--muted)", f"whole frame only: {milliseconds(whole.p50)} ms"))
    return canvas.render(f"Median latency over groups: {title}") + legend(keys)


def _point(canvas: Canvas, x: float, y: Scale, summary: Summary, color: str, name: str) -> None:
    tip = f"{name}: {milliseconds(summary.p50)} ms"
    if (interval := summary.p50_interval) is not None:
        low, high = y(interval.low * 1e3), y(interval.high * 1e3)
        canvas.line(x, low, x, high, "whisker", color)
        for end in (low, high):
            canvas.line(x - 3, end, x + 3, end, "whisker", color)
        tip += f", 95 % interval {milliseconds(interval.low)} to {milliseconds(interval.high)} ms"
    canvas.dot(x, y(summary.p50 * 1e3), color, tip)


def stage_stacks(result: RunResult) -> str:
    """Return one bar per case: medians of its stages end to end, and a mark at the frame's latency.

    A bar that reaches beyond its mark shows stages that ran side by side.
    """
    names = short_names([e.case.engine for e in result.cases])
    rows = [(e.case, *_stages(e)) for e in result.cases]
    longest = max((max(sum(s.values()), total) for _, s, total in rows), default=0.0)
    ticks = round_ticks(longest * 1e3)
    pitch = 30.0
    canvas = Canvas(len(rows) * pitch + 30)
    x = Scale(0, ticks[-1], 4, WIDTH - 12)
    bottom = len(rows) * pitch + 6
    x_axis(canvas, x, ticks, 2, bottom)
    for index, (case, stages, total) in enumerate(rows):
        _stack(canvas, x, index * pitch, case_label(case, names), stages, total)
    used = [stage for stage in STAGE_COLORS if any(stage in stages for _, stages, _ in rows)]
    keys = [(STAGE_COLORS[stage], stage) for stage in used] + [("var(--ink)", "frame (end_to_end)")]
    return canvas.render("Medians of the stages of every case, milliseconds") + legend(keys)


def _stages(entry: CaseResult) -> tuple[dict[str, float], float]:
    found = {stage: summarize(entry.samples.get(stage, ())) for stage in (*STAGE_COLORS, "end_to_end")}
    seconds = {stage: summary.p50 for stage, summary in found.items() if summary is not None}
    return {s: v for s, v in seconds.items() if s != "end_to_end"}, seconds.get("end_to_end", 0.0)


def _stack(canvas: Canvas, x: Scale, top: float, label: str, stages: dict[str, float], total: float) -> None:
    canvas.text(4, top + 12, label, style="label")
    reached = 0.0
    for stage, seconds in stages.items():
        width = x(seconds * 1e3) - x(0)
        canvas.rect(
            x(reached * 1e3), top + 16, width, 10, STAGE_COLORS[stage], f"{stage} {milliseconds(seconds)} ms"
        )
        reached += seconds
    canvas.line(x(total * 1e3), top + 14, x(total * 1e3), top + 28, "mark")
    canvas.text(WIDTH - 12, top + 12, f"{milliseconds(total)} ms", anchor="end", style="label")


def percentile_curves(result: RunResult) -> str:
    """Return the latency at every percentile, for the fastest case of each engine, pass and dispatch.

    The axis stretches towards the slow end, as is usual for latencies: from p0 to p90 it is as far as from
    p90 to p99.
    """
    names = short_names([e.case.engine for e in result.cases])
    chosen = [e for e in highlights(result) if measured(e.samples["end_to_end"]) is not None][:MAX_CURVES]
    samples = {e.case: np.sort(np.asarray(e.samples["end_to_end"], np.float64)) * 1e3 for e in chosen}
    count = max((len(values) for values in samples.values()), default=1)
    last = 1 - 0.5 / max(count, 2)
    marks = [p for p in (0.0, 0.5, 0.9, 0.95, 0.99, 0.999) if p <= last]
    x = Scale(0, _stretch(last), LEFT, RIGHT)
    ticks = round_ticks(max((float(v[-1]) for v in samples.values()), default=1.0))
    y = Scale(0, ticks[-1], BOTTOM, TOP)
    canvas = Canvas(BOTTOM + 20)
    y_axis(canvas, y, ticks, LEFT, RIGHT)
    for p in marks:
        canvas.line(x(_stretch(p)), TOP, x(_stretch(p)), BOTTOM, "grid")
        canvas.text(x(_stretch(p)), BOTTOM + 15, f"p{tick_label(p * 100)}", anchor="middle", style="tick")
    keys = []
    for index, (case, values) in enumerate(samples.items()):
        color = SERIES[index % len(SERIES)]
        canvas.path(_curve(values, x, y), "curve", color)
        keys.append((color, _with_spread(case, names, values)))
    return canvas.render("Latency at each percentile, milliseconds") + legend(keys)


def _curve(values: F64, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Place sample i of n at the middle of its share, (i + 1/2) / n; at most 200 points."""
    n = len(values)
    chosen = np.unique(np.round(n * (1 - np.geomspace(1, 0.5 / n, 200))).astype(int).clip(0, n - 1))
    return [(x(_stretch((i + 0.5) / n)), y(float(values[i]))) for i in chosen]


def _stretch(p: float) -> float:
    return -math.log10(1 - p)


def _with_spread(case: Case, names: dict[str, str], values: F64) -> str:
    p50, p95 = np.percentile(values, (50, 95)) / 1e3
    return f"{case_label(case, names)}: {milliseconds(p50)} / {milliseconds(p95)} ms"
