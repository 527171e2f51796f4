"""Tables of results for the terminal, and how figures are written everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from yolotrt.bench.budgets import Verdict
from yolotrt.bench.compare import Comparison
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import Interval, Ratio, paired_ratio, summarize
from yolotrt.report.fitting import NOT_MEASURED as NOT_MEASURED
from yolotrt.report.fitting import Column, fits, fitted
from yolotrt.report.labels import short_names
from yolotrt.timing.trace import COPIES, DEVICE, INTERVAL, PASSES, STAGES

if TYPE_CHECKING:
    from rich.table import Table


LARGE = 3.0
"""From this ratio on, a change is said in times and not in percent."""


def latency_table(result: RunResult, width: int | None = None) -> Table:
    """Return one row per case: p50/p95/p99 of the passes, frames per second and speed-up.

    Args:
        result: What was measured.
        width: Characters of a line, here and below; where they do not suffice, lesser columns and the p99 are
            left out. None is as wide as is needed.
    """
    cases = [entry.case for entry in result.cases]
    for quantiles in (("p50", "p95", "p99"), ("p50", "p95")):
        columns = [
            *case_columns(cases),
            _column("tiles", (_percentiles(e, "tiles", quantiles) for e in result.cases), 2),
            _column("global", (_percentiles(e, "global", quantiles) for e in result.cases), 3),
            _column("end_to_end", (_percentiles(e, "end_to_end", quantiles) for e in result.cases)),
            _column("±", map(_half_width, result.cases), 5),
            _column("frames/s", map(_frames_per_second, result.cases), 4),
            _column("vs groups=1", (ratio_text(speed_up(e, result.cases)) for e in result.cases), 1),
            _column("outliers", map(_outliers, result.cases), 7),
            _column("found", (str(entry.detections) for entry in result.cases), 6),
        ]
        if fits(columns, width):
            break
    half = "; ± half of the median's 95 % interval"
    return fitted(case_title(f"Latency per frame, ms ({' / '.join(quantiles)}{half})", cases), columns, width)


def stage_table(result: RunResult, width: int | None = None) -> Table:
    """Return one row per case: the median of each stage, by the host's clock and then by the GPU's."""
    known = {stage for entry in result.cases for stage in entry.samples}
    stages = [s for s in STAGES if s not in PASSES] + ["end_to_end"]
    stages += [s for s in (*COPIES, INTERVAL) if s in known]
    stages += [DEVICE + s for s in (*COPIES, *STAGES) if DEVICE + s in known]
    first = ("end_to_end", "enqueue", "stream_sync", DEVICE + "enqueue", "prepare_batch", "decode", "merge")
    cases = [entry.case for entry in result.cases]
    columns = case_columns(cases)
    for index, stage in enumerate(stages):
        name = stage.replace("_", " ", 1) if stage.startswith(DEVICE) else stage
        rank = first.index(stage) if stage in first else len(first) + index
        columns.append(_column(name, (_median(entry, stage) for entry in result.cases), rank))
    return fitted(case_title("Stages, ms (p50)", cases), columns, width)


def budget_table(verdicts: Sequence[Verdict], width: int | None = None) -> Table:
    """Return one row per budget that was held against a case."""
    cases = [verdict.case for verdict in verdicts]
    columns = [
        *case_columns(cases),
        _column("stage", (f"{v.stage} {v.stat}" for v in verdicts), words=True),
        _column("took", (milliseconds(v.seconds) for v in verdicts)),
        _column("budget", (milliseconds(v.limit) for v in verdicts)),
        _column("over", ("" if v.met else signed_percent(v.seconds / v.limit) for v in verdicts)),
    ]
    return fitted(case_title("Budgets, ms", cases), columns, width)


def comparison_table(comparison: Comparison, width: int | None = None) -> Table:
    """Return one row per case and stage that both results have."""
    changes = comparison.changes
    cases = [change.case for change in changes]
    columns = [
        *case_columns(cases),
        _column("stage", (change.stage for change in changes), words=True),
        _column("base", (milliseconds(change.base_s) for change in changes), 2),
        _column("new", (milliseconds(change.new_s) for change in changes), 3),
        _column("change", (signed_percent(change.ratio.value, change.ratio.interval) for change in changes)),
        _column(
            "interval", (interval_percent(change.ratio.interval, change.ratio.value) for change in changes), 1
        ),
        _column("verdict", (change.word for change in changes), words=True),
    ]
    return fitted(case_title(f"New against base, ms ({comparison.stat})", cases), columns, width)


def case_columns(cases: Sequence[Case]) -> list[Column]:
    """Return the columns that say which case a row is about; that of the engine only if there are several."""
    names = short_names([case.engine for case in cases])
    engine = [_column("engine", (names[case.engine] for case in cases), words=True)] if len(names) > 1 else []
    return [
        *engine,
        _column("mode", (case.mode for case in cases), words=True),
        _column("dispatch", (case.dispatch for case in cases), words=True),
        _column("groups", (str(case.groups) for case in cases)),
    ]


def case_title(text: str, cases: Sequence[Case]) -> str:
    """Return the title of a table, with the engine if it has no column."""
    engines = dict.fromkeys(case.engine for case in cases)
    return f"{next(iter(engines))}: {text}" if len(engines) == 1 else text


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


def signed_percent(ratio: float, interval: Interval | None = None) -> str:
    """Return a ratio as a change: 1.05 is ``+5.0 %``; one that is large as what it is: 73.6 is ``74x``.

    With its interval both are said in the same way, here and by :func:`interval_percent`.
    """
    return _times(ratio) if _is_large(ratio, interval) else f"{signed((ratio - 1) * 100, 1)} %"


def _is_large(ratio: float, interval: Interval | None) -> bool:
    return max(ratio, interval.high if interval else ratio) >= LARGE


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def interval_percent(interval: Interval | None, ratio: float = 0.0) -> str:
    """Return an interval of ratios as changes, in the way in which the ratio itself is said."""
    if interval is None:
        return NOT_MEASURED
    if _is_large(ratio, interval):
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


def _column(name: str, cells: Iterable[str], rank: int = 0, *, words: bool = False) -> Column:
    return Column(name, tuple(cells), rank, words)


def _percentiles(entry: CaseResult, stage: str, quantiles: Sequence[str]) -> str:
    summary = summarize(entry.taken(stage))
    if summary is None:
        return NOT_MEASURED
    return " / ".join(milliseconds(getattr(summary, name)) for name in quantiles)


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
