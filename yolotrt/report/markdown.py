"""Results and comparisons as Markdown, such as for a pull request comment."""

from __future__ import annotations

from collections.abc import Sequence

from yolotrt.bench.advice import advise
from yolotrt.bench.compare import Comparison
from yolotrt.bench.result import RunResult
from yolotrt.bench.statistics import Interval, summarize
from yolotrt.report.tables import (
    NOT_MEASURED,
    interval_percent,
    milliseconds,
    ratio_text,
    signed_percent,
    speed_up,
)
from yolotrt.text import Markup, markdown_text

_CASE = ("engine", "mode", "dispatch", "groups")


def result_markdown(result: RunResult) -> str:
    """Return the latencies of a run, the machine and the warnings."""
    environment = result.environment
    gpu = f"{environment.gpu.name}, " if environment.gpu else ""
    machine = f"{environment.cpu}, {environment.threads} of {environment.cores} cores"
    revision = f", revision {environment.git}" if environment.git else ""
    where = f"{gpu}{machine}; yolotrt {environment.yolotrt}{revision}"
    lines = [
        f"**Latency per frame**, {result.rounds} interleaved frames per case of "
        f"{markdown_text(str(result.settings.source))}",
        "",
        *_table(
            (*_CASE, "median ms", "95 % interval", "p95", "p99", "frames/s", "vs groups=1"),
            _rows(result),
            left=3,
        ),
        "",
        f"On {markdown_text(where)}",
    ]
    lines += ["", *(f"- **{a.code}**: {markdown_text(str(a))}" for a in advise(result))]
    return "\n".join(lines).rstrip() + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """Return the verdict in bold, the table, and what else differs."""
    rows = [
        (
            change.case.engine,
            change.case.mode,
            change.case.way,
            str(change.case.groups),
            change.stage,
            milliseconds(change.base_s),
            milliseconds(change.new_s),
            signed_percent(change.ratio.value, change.ratio.interval),
            interval_percent(change.ratio.interval, change.ratio.value),
            change.word if change.outcome == "passed" else Markup(f"**{change.word}**"),
        )
        for change in comparison.changes
    ]
    head = (*_CASE, "stage", "base ms", "new ms", "change", "interval", "verdict")
    lines = [
        f"**yolotrt: {comparison.headline}** ({comparison.stat}, base against new)",
        "",
        *_table(head, rows, left=3),
    ]
    further = [lost for lost in comparison.lost if f"only in the base: {lost}" not in comparison.missing]
    for title, items in (
        ("Different", comparison.differences),
        ("Not compared", (*comparison.missing, *further)),
        ("Note", comparison.notes),
    ):
        if items:
            lines += ["", f"{title}: {markdown_text('; '.join(items))}"]
    if comparison.doubts:
        lines.append("")
        for which, advice in comparison.doubts:
            lines.append(f"- {which}, **{advice.code}**: {markdown_text(str(advice))}")
    return "\n".join(lines) + "\n"


def _rows(result: RunResult) -> list[tuple[str, ...]]:
    rows = []
    for entry in result.cases:
        case = (entry.case.engine, entry.case.mode, entry.case.way, str(entry.case.groups))
        summary = summarize(entry.samples["end_to_end"])
        if summary is None:
            rows.append((*case, *[NOT_MEASURED] * 6))
            continue
        rows.append(
            (
                *case,
                milliseconds(summary.p50),
                _interval(summary.p50_interval),
                milliseconds(summary.p95),
                milliseconds(summary.p99),
                f"{1 / summary.mean:.2f}",
                ratio_text(speed_up(entry, result.cases)),
            )
        )
    return rows


def _interval(interval: Interval | None) -> str:
    return NOT_MEASURED if interval is None else " to ".join(milliseconds(v) for v in interval)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Return a Markdown table whose columns after the first ``left`` are right-aligned."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return [_row(head), _row(rule), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown_text, cells)) + " |"
