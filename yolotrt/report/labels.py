"""How cases are called, coloured and told apart in charts."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import summarize
from yolotrt.text import html_text

DISPATCH_COLORS = {
    "serial": "#0072b2",
    "threads": "#d55e00",
    "streams": "#009e73",
    "graph": "#cc79a7",
    "-": "#7f8894",
}
"""The same colour in every chart; they differ for colour-blind readers and in grey, too (Okabe & Ito, *Color
Universal Design*)."""

OTHER_COLORS = ("#e69f00", "#56b4e9", "#8c6bb1", "#b2df8a", "#a6611a", "#5e4fa2")
"""For dispatch modes with no colour of their own, in the order in which a result has them."""

KINDS = 4
"""Ways to draw a line or a mark; engines and passes are told apart by them."""

STAGE_COLORS = {
    "upload": "#a6611a",
    "prepare_batch": "#56b4e9",
    "enqueue": "#0072b2",
    "stream_sync": "#cc79a7",
    "global": "#8c6bb1",
    "decode": "#e69f00",
    "merge": "#009e73",
    "download": "#d55e00",
}
OTHER_COLOR = "#8a8f98"

MOST_SERIES = 10
"""Series that one chart can show and still be read."""


@dataclass(frozen=True)
class Look:
    """How one case is drawn, the same in every chart of a result.

    Attributes:
        color: By dispatch mode; another one for engines and passes beyond the fourth.
        kind: Dash pattern of lines and shape of marks, 0 to :data:`KINDS` - 1: by engine and pass.
    """

    color: str
    kind: int


def short_names(engines: Sequence[str]) -> dict[str, str]:
    """Return what tells engines apart: their names without the parts that all of them share."""
    parts = {name: name.split(".") for name in dict.fromkeys(engines)}
    shared = set.intersection(*(set(p) for p in parts.values())) if len(parts) > 1 else set()
    return {name: ".".join(p for p in pieces if p not in shared) or name for name, pieces in parts.items()}


def case_label(case: Case, names: dict[str, str]) -> str:
    """Return a short name of a case; the engine is left out where there is only one."""
    engine = [names[case.engine]] if len(names) > 1 else []
    rest: list[str] = [case.mode] if case.mode == "global" else [case.mode, case.way, f"groups={case.groups}"]
    return " · ".join(engine + rest)


def looks(result: RunResult) -> dict[Case, Look]:
    """Return how each case of a result is drawn: no two engines, passes or dispatch modes look alike."""
    pairs: list[tuple[str, str]] = list(
        dict.fromkeys((e.case.engine, e.case.mode) for e in result.cases if e.case.mode != "global")
    )
    engines = list(dict.fromkeys(e.case.engine for e in result.cases))
    colors: dict[tuple[str, int], str] = {}
    found = {}
    for entry in result.cases:
        case = entry.case
        is_global = case.mode == "global"
        turn, kind = divmod(
            engines.index(case.engine) if is_global else pairs.index((case.engine, case.mode)), KINDS
        )
        own = None if turn else DISPATCH_COLORS.get(case.way)
        spare = sum(color not in DISPATCH_COLORS.values() for color in colors.values())
        color = colors.setdefault((case.way, turn), own or _spare_color(spare))
        found[case] = Look(color, kind)
    return found


def _spare_color(index: int) -> str:
    """Return one of the other colours, and when these are used up, hues by steps of the golden ratio."""
    if index < len(OTHER_COLORS):
        return OTHER_COLORS[index]
    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1.0, 0.42, 0.6)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def highlights(result: RunResult) -> list[CaseResult]:
    """Return the fastest case of each engine, pass and dispatch mode, for charts that cannot show all."""
    best: dict[tuple[str, str, str], tuple[float, CaseResult]] = {}
    for entry in result.cases:
        summary = summarize(entry.samples["end_to_end"])
        key = (entry.case.engine, entry.case.mode, entry.case.way)
        if summary is not None and (key not in best or summary.p50 < best[key][0]):
            best[key] = (summary.p50, entry)
    return [entry for _, entry in best.values()]


def timeline_cases(result: RunResult) -> list[CaseResult]:
    """Return the cases whose frame is shown over time: the highlights, and with them several groups.

    A dispatch mode whose fastest case has one group shows the fastest with more, too: one group cannot show
    what runs side by side.
    """
    found = highlights(result)
    several = replace(result, cases=tuple(e for e in result.cases if e.case.groups > 1))
    chosen = {e.case for e in [*found, *highlights(several)]}
    return [entry for entry in result.cases if entry.case in chosen]


def shown_series(result: RunResult) -> list[CaseResult]:
    """Return the highlights that one chart can show: the fastest, in the order of the table."""
    found = highlights(result)
    medians = {e.case: s.p50 for e in found if (s := summarize(e.samples["end_to_end"]))}
    kept = sorted(medians, key=lambda case: medians[case])[:MOST_SERIES]
    return [entry for entry in found if entry.case in kept]


def left_out(result: RunResult) -> str:
    """Return a sentence about series that a chart does not show; empty if it shows all."""
    missing = len(highlights(result)) - len(shown_series(result))
    return f" The {missing} slowest are left out." if missing else ""


def legend(entries: Sequence[tuple[str, str, str]]) -> str:
    """Return a legend: colour, label and kind of key (``box``, ``line0``, ``mark0`` ...) of each series."""
    keys = "".join(
        f'<li><i class="{kind}" style="--c:{color}"></i>{html_text(label)}</li>'
        for color, label, kind in entries
    )
    return f'<ul class="legend">{keys}</ul>'
