"""Which case of each pass was the fastest, in a line."""

from __future__ import annotations

from collections.abc import Iterator

from yolotrt.bench.crowding import crowding
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import median, paired_ratio
from yolotrt.report.figures import milliseconds
from yolotrt.report.labels import short_names


def fastest_lines(result: RunResult) -> Iterator[str]:
    """Yield the case with the least median of each pass that was measured in several ways.

    One that paired frames do not tell from another, or that was measured among busy programs, is called the
    fastest as far as can be told.
    """
    names, quiet = short_names([entry.case.engine for entry in result.cases]), crowding(result) == 1
    for mode in dict.fromkeys(entry.case.mode for entry in result.cases):
        known = [
            (seconds, entry)
            for entry in result.cases
            if entry.case.mode == mode and (seconds := median(entry.samples["end_to_end"])) is not None
        ]
        if len(known) < 2:
            continue
        seconds, best = min(known, key=lambda pair: pair[0])
        others = [entry for _, entry in known if entry is not best]
        sure = quiet and all(_slower(entry, best) for entry in others)
        doubt = "" if sure else ", as far as can be told"
        yield f"fastest{doubt}: {_words(best.case, names)}: {milliseconds(seconds)} ms"


def _slower(entry: CaseResult, best: CaseResult) -> bool:
    """Return whether it is certain that a case takes longer than the best one."""
    if entry.arrived is not None or best.arrived is not None:  # dropped frames leave nothing to pair
        return False
    ratio = paired_ratio(entry.samples["end_to_end"], best.samples["end_to_end"])
    return ratio is not None and ratio.certain and ratio.value > 1


def _words(case: Case, names: dict[str, str]) -> str:
    engine = [names[case.engine]] if len(names) > 1 else []
    groups = f"{case.groups} group{'s' * (case.groups != 1)}"
    return ", ".join([*engine, case.mode, *([] if case.mode == "global" else [case.way, groups])])
