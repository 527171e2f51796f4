"""A page from results: one file, no scripts, no network; for a screen, a phone and paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from yolotrt.bench.advice import advise
from yolotrt.bench.budgets import Budgets, judge
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import Interval, Summary, summarize
from yolotrt.report.accuracy import Accuracy, accuracy_chart, matches
from yolotrt.report.charts import latency_by_groups, percentile_curves, stage_stacks
from yolotrt.report.labels import case_label, highlights, short_names
from yolotrt.report.tables import NOT_MEASURED, milliseconds, ratio_text, speed_up
from yolotrt.report.timeline import timeline_chart

TITLE = "yolotrt benchmark"
_COLUMNS = ("median", "95 % interval", "p95", "p99", "frames/s", "vs groups=1", "found")


def page(results: Sequence[RunResult], accuracy: Sequence[Accuracy] = ()) -> str:
    """Return the HTML of a page.

    Args:
        results: At least one; each gets a section.
        accuracy: Figures of engines; those of engines that were timed are shown beside their latency.

    Raises:
        UsageError: A result has a budget on a stage that it did not measure.
    """
    style = (files("yolotrt.report") / "page.css").read_text(encoding="utf-8")
    body = "".join(_section(result, accuracy, index) for index, result in enumerate(results))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{TITLE}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _section(result: RunResult, accuracy: Sequence[Accuracy], index: int) -> str:
    charts = [_figure(f"Latency, {title}", chart, _HOW_LATENCY) for title, chart in latency_by_groups(result)]
    charts.append(_figure("Stages", stage_stacks(result), _HOW_STAGES))
    charts.append(_figure("Percentiles (p50 / p95)", percentile_curves(result), _HOW_PERCENTILES))
    if chart := accuracy_chart(result, accuracy):
        charts.append(_figure("Accuracy over latency", chart, _HOW_ACCURACY))
    return "".join(
        (
            _header(result, index),
            _warnings(result),
            _cards(result),
            _budgets(result),
            f'<div class="charts">{"".join(charts)}</div>',
            _heading("Every case, milliseconds"),
            _cases(result, index),
            _accuracy(result, accuracy),
            _timelines(result),
            _machine(result),
        )
    )


_HOW_LATENCY = "Median milliseconds per frame, with 95 % intervals. Lower is better."
_HOW_STAGES = "Median milliseconds. A bar beyond its mark: stages of different groups ran side by side."
_HOW_PERCENTILES = "Milliseconds per frame at each percentile; the slow end is stretched."
_HOW_TIMELINE = "The frame nearest the median of each case, milliseconds. Bars above each other ran together."
_HOW_ACCURACY = "mAP50-95 in points over median milliseconds. Up and to the left is better."


def _header(result: RunResult, index: int) -> str:
    settings, environment = result.settings, result.environment
    facts = [
        f"{result.rounds} interleaved frames per case",
        f"source {settings.get('source')}"
        + (f" ({settings['frame_px']} px)" if "frame_px" in settings else ""),
        str((environment.get("gpu") or {}).get("name") or environment.get("cpu")),
        str(environment.get("time", "")),
    ]
    level = "h1" if index == 0 else "h2"
    line = " · ".join(escape(fact) for fact in facts if fact)
    return f'<header><{level}>{TITLE}</{level}><p class="muted">{line}</p></header>'


def _warnings(result: RunResult) -> str:
    items = [
        f"<li><b>{escape(a.code)}</b> {escape(a.message)} <em>{escape(a.remedy)}</em></li>"
        for a in advise(result)
    ]
    items += [f"<li>{escape(note)}</li>" for note in result.notes]
    return f'<ul class="notes">{"".join(items)}</ul>' if items else ""


def _cards(result: RunResult) -> str:
    """Return the fastest case of each pass, large."""
    names = short_names([e.case.engine for e in result.cases])
    best: dict[str, tuple[Summary, CaseResult]] = {}
    for entry in highlights(result):
        summary = summarize(entry.samples["end_to_end"])
        if summary is not None and (
            entry.case.mode not in best or summary.p50 < best[entry.case.mode][0].p50
        ):
            best[entry.case.mode] = (summary, entry)
    cards = []
    for mode, (summary, entry) in best.items():
        detail = _interval(summary.p50_interval)
        gain = speed_up(entry, result.cases)
        lines = [
            f"{1 / summary.mean:.1f} frames/s",
            *([f"95 % of such medians: {detail} ms"] if detail != NOT_MEASURED else []),
            *([f"{ratio_text(gain)} as fast as one group"] if gain else []),
        ]
        cards.append(
            f"<article><h3>fastest {escape(mode)}</h3>"
            f'<p class="big">{milliseconds(summary.p50)}<small> ms</small></p>'
            f"<p>{escape(case_label(entry.case, names))}</p>"
            f'<p class="muted">{"<br>".join(escape(line) for line in lines)}</p></article>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _budgets(result: RunResult) -> str:
    verdicts = judge(result, Budgets.of(result))
    if not verdicts:
        return ""
    names = short_names([e.case.engine for e in result.cases])
    rows = [
        (
            escape(case_label(v.case, names)),
            f"{v.stage} {v.stat}",
            milliseconds(v.seconds),
            milliseconds(v.limit),
            f'<span class="{"met" if v.met else "missed"}">{"met" if v.met else "missed"}</span>',
        )
        for v in verdicts
    ]
    return _heading("Budgets, milliseconds") + _table(("case", "stage", "took", "budget", ""), rows, left=2)


def _cases(result: RunResult, index: int) -> str:
    several = len({e.case.engine for e in result.cases}) > 1
    head = (*(("engine",) if several else ()), "pass", "dispatch", "groups", *_COLUMNS)
    rows = []
    for number, entry in enumerate(result.cases):
        case = entry.case
        cells = [escape(case.engine)] * several + [case.mode, escape(case.dispatch), str(case.groups)]
        for name, text in zip(_COLUMNS, _figures(entry, result), strict=True):
            cells.append(f'<data value="{index}/{number}/{escape(name)}">{escape(text)}</data>')
        rows.append(tuple(cells))
    note = (
        "" if several else f'<p class="muted">engine {escape(result.cases[0].case.engine)}</p>' * bool(rows)
    )
    return note + _table(head, rows, left=len(head) - len(_COLUMNS) - 1)


def _figures(entry: CaseResult, result: RunResult) -> tuple[str, ...]:
    summary = summarize(entry.samples["end_to_end"])
    if summary is None:
        return (NOT_MEASURED,) * len(_COLUMNS)
    return (
        milliseconds(summary.p50),
        _interval(summary.p50_interval),
        milliseconds(summary.p95),
        milliseconds(summary.p99),
        f"{1 / summary.mean:.2f}",
        ratio_text(speed_up(entry, result.cases)),
        str(entry.detections),
    )


def _accuracy(result: RunResult, accuracy: Sequence[Accuracy]) -> str:
    timed = {a: None for entry in result.cases for a in matches(result, entry, accuracy)}
    if not timed:
        return ""
    rows = [
        (
            escape(a.engine),
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
    return _heading("Accuracy, mAP50-95 in points") + _table(head, rows, left=2)


def _points(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.2f}"


def _change(change: tuple[float, float, float] | None) -> str:
    if change is None:
        return NOT_MEASURED
    absolute, low, high = (value * 100 for value in change)
    return f"{absolute:+.2f} ({low:+.2f} to {high:+.2f})"


def _timelines(result: RunResult) -> str:
    names = short_names([e.case.engine for e in result.cases])
    charts = [
        _figure(case_label(entry.case, names), chart, "")
        for entry in highlights(result)
        if (chart := timeline_chart(entry))
    ]
    if not charts:
        return ""
    return (
        _heading("One frame over time")
        + f'<p class="muted">{_HOW_TIMELINE}</p>'
        + f'<div class="charts">{"".join(charts)}</div>'
    )


def _machine(result: RunResult) -> str:
    environment = result.environment
    skipped = {"packages", "engines", "gpu"}
    rows = [(k.replace("_", " "), v) for k, v in environment.items() if k not in skipped]
    rows += [(f"GPU {k.replace('_', ' ')}", v) for k, v in (environment.get("gpu") or {}).items()]
    rows += [(k, v) for k, v in (environment.get("packages") or {}).items() if v]
    rows += [(f"settings: {k.replace('_', ' ')}", v) for k, v in result.settings.items()]
    rows += [(f"meanwhile: {k.replace('_', ' ')}", v) for k, v in result.during.items() if k != "gpu"]
    engines = environment.get("engines") or {}
    rows += [(f"engine {name}", _about(about)) for name, about in engines.items()]
    shown = [(escape(str(k)), escape(_value(v))) for k, v in rows if v not in (None, [], "")]
    return _heading("Machine and settings") + _table(("", ""), shown, left=2, kind="facts")


def _about(engine: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {str(v)[:12] if k == 'sha256' else v}" for k, v in engine.items())


def _value(value: Any) -> str:
    return ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)


def _interval(interval: Interval | None) -> str:
    return NOT_MEASURED if interval is None else " to ".join(milliseconds(v) for v in interval)


def _heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _figure(title: str, chart: str, how: str) -> str:
    caption = f'<p class="muted">{escape(how)}</p>' if how else ""
    return f"<figure><figcaption><h3>{escape(title)}</h3>{caption}</figcaption>{chart}</figure>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int, kind: str = "figures") -> str:
    """Return a table; ``rows`` are HTML, and columns after the first ``left`` hold numbers."""
    sides = ["l"] * left + ["r"] * (len(head) - left)
    top = "".join(f'<th class="{side}">{escape(text)}</th>' for side, text in zip(sides, head, strict=True))
    lines = (
        "<tr>" + "".join(f'<td class="{s}">{cell}</td>' for s, cell in zip(sides, row, strict=True)) + "</tr>"
        for row in rows
    )
    thead = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table class="{kind}">{thead}<tbody>{"".join(lines)}</tbody></table></div>'
