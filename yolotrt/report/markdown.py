"""Results and comparisons as Markdown, such as for a pull request comment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yolotrt.bench.advice import advise
from yolotrt.bench.compare import Comparison
from yolotrt.bench.compare_file import comparison_file
from yolotrt.bench.result import RunResult
from yolotrt.report.columns import RowTable
from yolotrt.report.tables import changes, latencies
from yolotrt.text import markdown_text


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
        *markdown_table(latencies(result)),
        "",
        f"On {markdown_text(where)}",
    ]
    lines += ["", *(f"- **{a.code}**: {markdown_text(str(a))}" for a in advise(result))]
    return "\n".join(lines).rstrip() + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """Return the verdict in bold, the table, and what else differs."""
    lines = [
        f"**yolotrt: {comparison.headline}** ({comparison.stat}, base against new)",
        "",
        *markdown_table(changes(comparison_file(comparison))),
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


def markdown_table(table: RowTable[Any]) -> list[str]:
    """Return the lines of a table, without its title."""
    columns = table.shown("markdown")
    rule = ["---" if column.words else "---:" for column in columns]
    rows = ([column.cell(row, "markdown") for column in columns] for row in table.rows)
    return [_row([column.head("markdown") for column in columns]), _row(rule), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown_text, cells)) + " |"
