"""The tables of the page: every case, accuracy, machine and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import median, summarize
from yolotrt.report.accuracy import Change, ReportedAccuracy, matches
from yolotrt.report.labels import short_names
from yolotrt.report.markup import heading, interval_text, table
from yolotrt.report.tables import NOT_MEASURED, milliseconds, ratio_text, signed, speed_up
from yolotrt.text import Markup, html_text
from yolotrt.timing.trace import COPIES, DEVICE, STAGES

_COLUMNS = ("median", "95 % interval", "p90", "p95", "p99", "frames/s", "vs groups=1", "outliers", "found")


def cases_table(result: RunResult, index: int) -> str:
    """Return every case; each figure carries ``result/case/column`` so that it can be found."""
    engines = dict.fromkeys(e.case.engine for e in result.cases)
    note = f'<p class="muted">engine {html_text(next(iter(engines)))}</p>' if len(engines) == 1 else ""
    return note + _case_rows(result, index, _COLUMNS, lambda entry: _figures(entry, result))


def stages_table(result: RunResult, index: int) -> str:
    """Return the median of every stage that any case measured; empty if there is none but the frame."""
    order = [s for prefix in ("", DEVICE) for s in (prefix + stage for stage in (*COPIES, *STAGES))]
    stages = [s for s in order if any(median(entry.samples.get(s, ())) is not None for entry in result.cases)]
    if stages in ([], ["end_to_end"]):
        return ""
    columns = tuple(f"GPU {s.removeprefix(DEVICE)}" if s.startswith(DEVICE) else s for s in stages)

    def texts(entry: CaseResult) -> tuple[str, ...]:
        found = (median(entry.samples.get(stage, ())) for stage in stages)
        return tuple(NOT_MEASURED if seconds is None else milliseconds(seconds) for seconds in found)

    return heading("Medians of every stage, milliseconds") + _case_rows(result, index, columns, texts)


def _case_rows(
    result: RunResult, index: int, columns: tuple[str, ...], texts: Callable[[CaseResult], tuple[str, ...]]
) -> str:
    names = short_names([e.case.engine for e in result.cases])
    several = len(names) > 1
    head = (*(("engine",) if several else ()), "pass", "dispatch", "groups", *columns)
    rows = []
    for number, entry in enumerate(result.cases):
        case = entry.case
        cells = [names[case.engine]] * several + [case.mode, case.dispatch, str(case.groups)]
        for name, text in zip(columns, texts(entry), strict=True):
            place = f"{index}/{number}/{html_text(name)}"
            cells.append(Markup(f'<data value="{place}">{html_text(text)}</data>'))
        rows.append(tuple(cells))
    return table(head, rows, left=len(head) - len(columns) - 1, wrap_head=True)


def _figures(entry: CaseResult, result: RunResult) -> tuple[str, ...]:
    summary = summarize(entry.samples["end_to_end"])
    if summary is None:
        return (NOT_MEASURED,) * len(_COLUMNS)
    return (
        milliseconds(summary.p50),
        interval_text(summary.p50_interval),
        milliseconds(summary.p90),
        milliseconds(summary.p95),
        milliseconds(summary.p99),
        f"{1 / summary.mean:.2f}",
        ratio_text(speed_up(entry, result.cases)),
        str(summary.outliers),
        str(entry.detections),
    )


def accuracy_table(result: RunResult, accuracy: Sequence[ReportedAccuracy]) -> str:
    """Return the accuracy of the engines that were timed; empty without any."""
    timed = {a: None for entry in result.cases for a in matches(result, entry, accuracy)}
    if not timed:
        return ""
    rows = [
        (
            a.engine,
            a.mode,
            str(a.images),
            _points(a.box),
            _change(a.box_change),
            _points(a.mask),
            _change(a.mask_change),
        )
        for a in timed
    ]
    head = ("engine", "pass", "images", "box", "against reference", "mask", "against reference")
    return heading("Accuracy, mAP50-95 in points") + table(head, rows, left=2)


def _points(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.2f}"


def _change(change: Change | None) -> str:
    if change is None:
        return NOT_MEASURED
    absolute, *ends = (signed(value * 100, 2) for value in change if value is not None)
    return f"{absolute} ({' to '.join(ends)})" if ends else absolute


def machine_table(result: RunResult) -> str:
    """Return everything that the numbers depend on."""
    environment = result.environment
    skipped = {"packages", "engines", "gpu"}
    rows = [(k.replace("_", " "), v) for k, v in environment.items() if k not in skipped]
    rows += [(f"GPU {k.replace('_', ' ')}", v) for k, v in (environment.get("gpu") or {}).items()]
    rows += [(k, v) for k, v in (environment.get("packages") or {}).items() if v]
    rows += [(f"settings: {k.replace('_', ' ')}", v) for k, v in result.settings.items()]
    rows += [(f"meanwhile: {k.replace('_', ' ')}", v) for k, v in result.during.items() if k != "gpu"]
    engines = environment.get("engines") or {}
    rows += [(f"engine {name}", _about(about)) for name, about in engines.items()]
    shown = [(str(k), _value(v)) for k, v in rows if v not in (None, [], (), "")]
    return heading("Machine and settings") + table(("", ""), shown, left=2, kind="facts")


def _about(engine: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {str(v)[:12] if k == 'sha256' else v}" for k, v in engine.items())


def _value(value: Any) -> str:
    return ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
