"""Tables of results for the terminal, and how figures are written everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yolotrt.bench.budgets import Verdict
from yolotrt.bench.compare import Comparison
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import Interval, Ratio, paired_ratio, summarize
from yolotrt.report.labels import short_names
from yolotrt.timing.trace import COPIES, DEVICE, INTERVAL, STAGES

if TYPE_CHECKING:
    from rich.table import Table

PASSES = ("tiles", "global", "end_to_end")
NOT_MEASURED = "-"

LARGE = 3.0
"""From this ratio on, a change is said in times and not in percent."""


def latency_table(result: RunResult) -> Table:
    """Return one row per case: p50/p95/p99 of the passes, frames per second and speed-up."""
    table = _table("Latency per frame, ms (p50 / p95 / p99; ± half of the median's 95 % interval)")
    for name in (*PASSES, "±", "frames/s", "vs groups=1", "outliers", "found"):
        table.add_column(name, justify="right")
    names = _short_names(result)
    for entry in result.cases:
        table.add_row(
            *_case_cells(entry.case, names),
            *(_percentiles(entry, stage) for stage in PASSES),
            _half_width(entry),
            _frames_per_second(entry),
            ratio_text(speed_up(entry, result.cases)),
            _outliers(entry),
            str(entry.detections),
        )
    return table


def stage_table(result: RunResult) -> Table:
    """Return one row per case: the median of each stage, by the host's clock and then by the GPU's."""
    known = {stage for entry in result.cases for stage in entry.samples}
    stages = [s for s in STAGES if s not in PASSES] + ["end_to_end"]
    stages += [s for s in (*COPIES, INTERVAL) if s in known]
    on_device = [DEVICE + s for s in (*COPIES, *STAGES) if DEVICE + s in known]
    table = _table("Stages, ms (p50)")
    for name in (*stages, *(name.replace("_", " ", 1) for name in on_device)):
        table.add_column(name, justify="right")
    names = _short_names(result)
    for entry in result.cases:
        cells = (_median(entry, stage) for stage in (*stages, *on_device))
        table.add_row(*_case_cells(entry.case, names), *cells)
    return table


def budget_table(verdicts: Sequence[Verdict]) -> Table:
    """Return one row per budget that was held against a case."""
    table = _table("Budgets, ms")
    table.add_column("stage")
    for name in ("took", "budget", "over"):
        table.add_column(name, justify="right")
    for verdict in verdicts:
        over = "" if verdict.met else signed_percent(verdict.seconds / verdict.limit)
        table.add_row(
            *_case_cells(verdict.case),
            f"{verdict.stage} {verdict.stat}",
            milliseconds(verdict.seconds),
            milliseconds(verdict.limit),
            over,
        )
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Return one row per case and stage that both results have."""
    table = _table(f"New against base, ms ({comparison.stat})")
    table.add_column("stage")
    for name in ("base", "new", "change", "interval"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for change in comparison.changes:
        table.add_row(
            *_case_cells(change.case),
            change.stage,
            milliseconds(change.base_s),
            milliseconds(change.new_s),
            signed_percent(change.ratio.value),
            interval_percent(change.ratio.interval),
            change.word,
        )
    return table


def milliseconds(seconds: float) -> str:
    """Return milliseconds with three significant digits or more."""
    value = seconds * 1e3
    return (
        f"{value:.3f}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else f"{value:.0f}"
    )


def signed(value: float, digits: int) -> str:
    """Return a number with its sign; what rounds to zero is ``+0.00``, never ``-0.00``."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def signed_percent(ratio: float) -> str:
    """Return a ratio as a change: 1.05 is ``+5.0 %``; one that is large as what it is: 73.6 is ``74x``."""
    return f"{signed((ratio - 1) * 100, 1)} %" if ratio < LARGE else _times(ratio)


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def interval_percent(interval: Interval | None) -> str:
    """Return an interval of ratios as changes."""
    if interval is None:
        return NOT_MEASURED
    if interval.high >= LARGE:
        return f"{_times(interval.low)} to {_times(interval.high)}"
    return " to ".join(signed((end - 1) * 100, 1) for end in interval) + " %"


def ratio_text(ratio: Ratio | None) -> str:
    """Return ``1.31x``, with a tilde in front where "no difference" is not excluded."""
    if ratio is None:
        return NOT_MEASURED
    return f"{'' if ratio.certain or ratio.interval is None else '~'}{ratio.value:.2f}x"


def speed_up(entry: CaseResult, cases: Sequence[CaseResult]) -> Ratio | None:
    """Return how many times faster a case is than the same with one group; None where that says nothing."""
    if entry.case.mode == "global" or entry.case.groups == 1:
        return None
    base = next((c for c in cases if c.case == _with_one_group(entry.case)), None)
    return None if base is None else paired_ratio(base.samples["end_to_end"], entry.samples["end_to_end"])


def _table(title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("engine", "mode", "dispatch"):
        table.add_column(name)
    table.add_column("groups", justify="right")
    return table


def _short_names(result: RunResult) -> dict[str, str]:
    """Return names of engines that leave room for the figures."""
    return short_names([entry.case.engine for entry in result.cases])


def _case_cells(case: Case, names: Mapping[str, str] | None = None) -> tuple[str, str, str, str]:
    return (names or {}).get(case.engine, case.engine), case.mode, case.dispatch, str(case.groups)


def _percentiles(entry: CaseResult, stage: str) -> str:
    summary = summarize(entry.taken(stage))
    if summary is None:
        return NOT_MEASURED
    return " / ".join(milliseconds(v) for v in (summary.p50, summary.p95, summary.p99))


def _median(entry: CaseResult, stage: str) -> str:
    summary = summarize(entry.samples.get(stage, ()))
    return NOT_MEASURED if summary is None else milliseconds(summary.p50)


def _half_width(entry: CaseResult) -> str:
    summary = summarize(entry.samples["end_to_end"])
    if summary is None or summary.p50_interval is None:
        return NOT_MEASURED
    return milliseconds((summary.p50_interval.high - summary.p50_interval.low) / 2)


def _frames_per_second(entry: CaseResult) -> str:
    summary = summarize(entry.samples.get(INTERVAL, entry.samples["end_to_end"]))
    return NOT_MEASURED if summary is None else f"{1 / summary.mean:.2f}"


def _outliers(entry: CaseResult) -> str:
    summary = summarize(entry.samples["end_to_end"])
    return NOT_MEASURED if summary is None else str(summary.outliers)


def _with_one_group(case: Case) -> Case:
    return Case(case.engine, case.precision, case.mode, case.dispatch, 1)
