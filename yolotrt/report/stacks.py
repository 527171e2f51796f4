"""A bar per case made of its stages: where a frame's time goes, on the host and on the GPU."""

from __future__ import annotations

from dataclasses import dataclass

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import median
from yolotrt.report.figures import milliseconds
from yolotrt.report.labels import STAGE_COLORS, case_label, legend, short_names
from yolotrt.report.svg import WIDTH, Scale, SvgCanvas, round_ticks, x_axis
from yolotrt.timing.trace import DEVICE

_HOST_SKIPPED = frozenset({"global"})
"""On the host ``global`` holds the stages of its pass; on the device nothing divides it."""

_RIGHT = WIDTH - 12


@dataclass(frozen=True)
class _Bar:
    """Median seconds by stage, and of the frame; None if that was not measured."""

    stages: dict[str, float]
    total: float | None

    @property
    def reach(self) -> float:
        return max(sum(self.stages.values()), self.total or 0.0)


def has_device_times(result: RunResult) -> bool:
    """Whether any case has stages timed by the device's clock."""
    return any(stage.startswith(DEVICE) for entry in result.cases for stage in entry.samples)


def stage_stacks(result: RunResult) -> str:
    """Return one bar per case: medians of its stages end to end, and a mark at the frame's latency.

    A second bar below holds the device's own times. A bar that reaches beyond its mark shows stages that
    ran side by side.
    """
    names, device = short_names([e.case.engine for e in result.cases]), has_device_times(result)
    rows = [(e.case, _bar(e, ""), _bar(e, DEVICE)) for e in result.cases]
    ticks = round_ticks(max((bar.reach for _, *bars in rows for bar in bars), default=0.0) * 1e3)
    left, pitch = (32.0, 45.0) if device else (4.0, 31.0)
    canvas = SvgCanvas(len(rows) * pitch + 30)
    x = Scale(0, ticks[-1], left, _RIGHT)
    x_axis(canvas, x, ticks, 2, len(rows) * pitch + 6)
    for index, (case, host, gpu) in enumerate(rows):
        top = index * pitch
        canvas.text(4, top + 12, case_label(case, names), style="label")
        if host.total is not None:
            canvas.text(_RIGHT, top + 12, f"{milliseconds(host.total)} ms", anchor="end", style="label")
        _draw(canvas, x, top + 16, host)
        if device:
            canvas.text(4, top + 25, "host", style="tick small")
            if gpu.stages:
                canvas.text(4, top + 37, "GPU", style="tick small")
                _draw(canvas, x, top + 28, gpu)
    used = {stage for _, *bars in rows for bar in bars for stage in bar.stages}
    keys = [(color, stage, "box") for stage, color in STAGE_COLORS.items() if stage in used]
    return canvas.render("Medians of the stages of every case, milliseconds") + legend(
        [*keys, ("var(--ink)", "frame (end_to_end)", "bar")]
    )


def _bar(entry: CaseResult, prefix: str) -> _Bar:
    skipped = frozenset() if prefix else _HOST_SKIPPED
    found = {
        stage: seconds
        for stage in (*STAGE_COLORS, "end_to_end")
        if stage not in skipped and (seconds := median(entry.samples.get(prefix + stage, ()))) is not None
    }
    total = found.pop("end_to_end", None)
    return _Bar(found, total)


def _draw(canvas: SvgCanvas, x: Scale, top: float, bar: _Bar) -> None:
    reached = 0.0
    for stage, seconds in bar.stages.items():
        width = x(seconds * 1e3) - x(0)
        tip = f"{stage} {milliseconds(seconds)} ms"
        canvas.rect(x(reached * 1e3), top, width, 10, STAGE_COLORS[stage], tip)
        reached += seconds
    if bar.total is not None:
        canvas.line(x(bar.total * 1e3), top - 1.5, x(bar.total * 1e3), top + 11.5, "mark")
