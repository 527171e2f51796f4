"""How cases are called and coloured in charts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import summarize

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
"""Colours that differ for colour-blind readers and in grey, too (Okabe & Ito, *Color Universal Design*)."""

STAGE_COLORS = {
    "upload": "#a6611a",
    "prepare_batch": "#56b4e9",
    "enqueue": "#0072b2",
    "stream_sync": "#cc79a7",
    "decode": "#e69f00",
    "merge": "#009e73",
    "download": "#d55e00",
}
OTHER_COLOR = "#8a8f98"


def short_names(engines: Sequence[str]) -> dict[str, str]:
    """Return what tells engines apart: their names without the parts that all of them share."""
    parts = {name: name.split(".") for name in dict.fromkeys(engines)}
    shared = set.intersection(*(set(p) for p in parts.values())) if len(parts) > 1 else set()
    return {name: ".".join(p for p in pieces if p not in shared) or name for name, pieces in parts.items()}


def case_label(case: Case, names: dict[str, str]) -> str:
    """Return a short name of a case; the engine is left out where there is only one."""
    engine = [names[case.engine]] if len(names) > 1 else []
    rest = [case.mode] if case.mode == "global" else [case.mode, case.dispatch, f"groups={case.groups}"]
    return " · ".join(engine + rest)


def highlights(result: RunResult) -> list[CaseResult]:
    """Return the fastest case of each engine, pass and dispatch mode, for charts that cannot show all."""
    best: dict[tuple[str, str, str], tuple[float, CaseResult]] = {}
    for entry in result.cases:
        summary = summarize(entry.samples["end_to_end"])
        key = (entry.case.engine, entry.case.mode, entry.case.dispatch)
        if summary is not None and (key not in best or summary.p50 < best[key][0]):
            best[key] = (summary.p50, entry)
    return [entry for _, entry in best.values()]


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return a legend: colour and label of each series."""
    keys = "".join(f'<li><i style="background:{color}"></i>{escape(label)}</li>' for color, label in entries)
    return f'<ul class="legend">{keys}</ul>'
