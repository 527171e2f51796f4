"""A page from results: one file, no scripts, no network; for a screen, a phone and paper."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from yolotrt.artifacts.kinds import HTML_MARK
from yolotrt.bench.result import RunResult
from yolotrt.report.accuracy import accuracy_chart
from yolotrt.report.charts import every_frame, latency_by_groups, percentile_curves
from yolotrt.report.labels import case_label, left_out, short_names, timeline_cases
from yolotrt.report.markup import figure, heading
from yolotrt.report.page_tables import accuracy_table, cases_table, machine_table, stages_table
from yolotrt.report.page_top import TITLE, budgets, cards, header, warnings
from yolotrt.report.stacks import has_device_times, stage_stacks
from yolotrt.report.timeline import overlap_text, timeline_chart
from yolotrt.workflow.accuracy_file import EngineFigures

_HOW_LATENCY = "Median milliseconds per frame, with 95 % intervals. Lower is better."
_HOW_STAGES = (
    "Median milliseconds. The mark is the time of the frame. A bar that is longer than its mark shows stages "
    "of different groups that ran side by side."
)
_HOW_DEVICE = " The lower bar is the GPU's own time, by its clock."
_HOW_PERCENTILES = (
    "Milliseconds per frame at each percentile; the slow end is stretched. A - is a percentile "
    "that so few frames cannot tell."
)
_HOW_FRAMES = (
    "Milliseconds, in the order of measuring. Rings are outliers: counted, and kept in every figure."
)
_HOW_TIMELINE = (
    "The frame nearest the median of each case, milliseconds. Bars above each other ran side by side. GPU "
    "rows are by the GPU's clock; they begin where the host began to submit."
)
_HOW_TABLE = (
    "Medians with bootstrap intervals. Ratios are medians over paired rounds, so they can differ from "
    "the ratio of the two medians beside them. A ~ marks a ratio whose 95 % "
    "interval contains 1: there may be no difference."
)
_HOW_ACCURACY = "mAP50-95 in points over median milliseconds. Up and to the left is better."


def page(results: Sequence[RunResult], accuracy: Sequence[EngineFigures] = ()) -> str:
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
        f"{HTML_MARK}\n"
        '<link rel="icon" href="data:,">\n'
        f"<title>{TITLE}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _section(result: RunResult, accuracy: Sequence[EngineFigures], index: int) -> str:
    charts = [figure(f"Latency, {title}", chart, _HOW_LATENCY) for title, chart in latency_by_groups(result)]
    if chart := accuracy_chart(result, accuracy):
        charts.append(figure("Accuracy over latency", chart, _HOW_ACCURACY))
    fewer = left_out(result)
    if result.rounds > 1:  # of a single frame there is neither a percentile nor an order
        charts.append(figure("Percentiles (p50 / p95)", percentile_curves(result), _HOW_PERCENTILES + fewer))
        charts.append(figure("Every frame", every_frame(result), _HOW_FRAMES + fewer))
    how = _HOW_STAGES + _HOW_DEVICE * has_device_times(result)
    charts.append(figure("Stages", stage_stacks(result), how))
    return "".join(
        (
            header(result, index),
            cards(result),
            budgets(result),
            warnings(result),
            f'<div class="charts">{"".join(charts)}</div>',
            heading("Every case, milliseconds"),
            f'<p class="muted">{_HOW_TABLE}</p>',
            cases_table(result, index),
            stages_table(result, index),
            accuracy_table(result, accuracy),
            _timelines(result),
            machine_table(result),
        )
    )


def _timelines(result: RunResult) -> str:
    names = short_names([e.case.engine for e in result.cases])
    charts = [
        figure(case_label(entry.case, names), chart, overlap_text(entry))
        for entry in timeline_cases(result)
        if (chart := timeline_chart(entry))
    ]
    if not charts:
        return ""
    return (
        heading("One frame over time")
        + f'<p class="muted">{_HOW_TIMELINE}</p>'
        + f'<div class="charts">{"".join(charts)}</div>'
    )
