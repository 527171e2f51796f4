"""The top of the page: what was measured, what to doubt, the fastest cases, the budgets."""

from __future__ import annotations

import re

from yolotrt.bench.advice import advise
from yolotrt.bench.crowding import crowding
from yolotrt.bench.judge import Verdict, judge
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import Summary, summarize
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import interval_text, milliseconds, ratio_text
from yolotrt.report.labels import case_label, highlights, short_names
from yolotrt.report.markup import heading, table
from yolotrt.report.result_columns import ResultRow, frames_per_second, speed_up
from yolotrt.report.tables import BUDGETS
from yolotrt.text import html_text

TITLE = "yolotrt benchmark"
_OPTION = re.compile(r"(--?[a-z][a-z-]*(?: \d+%?)?)(?=[ ,.]|$)")


def header(result: RunResult, index: int) -> str:
    """Return the title, what was measured, on what and when, and how it went in a few words."""
    settings, environment = result.settings, result.environment
    facts = [
        str(environment.gpu.name if environment.gpu else environment.cpu),
        f"{settings.source}" + (f", {settings.frame_px} px" if settings.frame_px is not None else ""),
        f"{len(result.cases)} cases, {result.rounds} interleaved frames each",
        (environment.time or "").replace("T", " ").replace("+00:00", " UTC"),
    ]
    level = "h1" if index == 0 else "h2"
    line = "".join(f"<li>{html_text(fact)}</li>" for fact in facts if fact)
    return (
        f'<header><{level}>{TITLE}</{level}><ul class="factline">{line}</ul>'
        f'<p class="chips">{_chips(result)}</p></header>'
    )


def _chips(result: RunResult) -> str:
    """Return the verdicts in a few words each."""
    verdicts, doubts = judge(result.cases, result.budgets, crowding(result)), len(advise(result))
    chips = []
    if verdicts:
        missed, open_ = (sum(v.held == word for v in verdicts) for word in ("missed", "undecided"))
        if missed:
            chips.append(("missed", f"{missed} of {len(verdicts)} budgets missed"))
        if open_:
            chips.append(("doubt", f"{open_} of {len(verdicts)} budgets undecided"))
        if not missed and not open_:
            chips.append(("met", f"all {len(verdicts)} budgets met"))
    chips.append(("doubt", f"{doubts} warning{'s' * (doubts != 1)}") if doubts else ("met", "no warnings"))
    return " ".join(f'<span class="chip {kind}">{html_text(text)}</span>' for kind, text in chips)


def warnings(result: RunResult) -> str:
    """Return what to doubt, with what to do about it, and the notes."""
    items = [
        f"<li><b>{html_text(a.code)}</b> {html_text(a.message)} <em>{_remedy(a.remedy)}</em></li>"
        for a in advise(result)
    ]
    items += [f"<li>{html_text(note)}</li>" for note in result.notes]
    return f'<ul class="notes">{"".join(items)}</ul>' if items else ""


def _remedy(text: str) -> str:
    """Return the text with options kept in one piece."""
    return _OPTION.sub(r"<code>\1</code>", html_text(text))


def cards(result: RunResult) -> str:
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
        interval = summary.p50_interval
        gain, rate = speed_up(entry, result.cases), frames_per_second(ResultRow(entry, result.cases))
        lines = [
            *([f"{rate:.1f} frames/s"] if rate else []),
            *([f"95 % interval {interval_text(interval)} ms"] if interval else []),
            *([f"{ratio_text(gain)} as fast as one group, by paired frames"] if gain else []),
        ]
        cards.append(
            f"<article><h3>fastest {html_text(mode)}</h3>"
            f'<p class="big">{milliseconds(summary.p50)}<small> ms</small></p>'
            f"<p>{html_text(case_label(entry.case, names))}</p>"
            f'<p class="muted">{"<br>".join(html_text(line) for line in lines)}</p></article>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def budgets(result: RunResult) -> str:
    """Return a line per budget, and a table of the cases that missed one."""
    verdicts = judge(result.cases, result.budgets, crowding(result))
    if not verdicts:
        return ""
    names = short_names([e.case.engine for e in result.cases])
    lines = []
    for stage in dict.fromkeys(v.stage for v in verdicts):
        held = [v for v in verdicts if v.stage == stage]
        met, best = [v for v in held if v.met], min(held, key=lambda v: v.seconds)
        words = {v.held for v in held}
        state = "missed" if "missed" in words else "undecided" if "undecided" in words else "met"
        text = f"met by {len(met)} of {len(held)} cases, fastest {milliseconds(best.seconds)} ms"
        if state == "undecided":
            text += f"; {next(v.why_open for v in held if v.held == 'undecided')}"
        kind = "doubt" if state == "undecided" else state
        lines.append(
            f'<li><span class="{kind}">{state}</span> {html_text(stage)} {html_text(held[0].stat)} within '
            f"{milliseconds(held[0].limit)} ms: {text}</li>"
        )
    missed = [v for v in verdicts if v.held == "missed"]
    by: Column[Verdict] = Column("missed by", lambda v: case_label(v.case, names), words=True, key=True)
    details = table(RowTable("Budgets", [by, *BUDGETS], missed)) if missed else ""
    return heading("Budgets, milliseconds") + f'<ul class="verdicts">{"".join(lines)}</ul>{details}'
