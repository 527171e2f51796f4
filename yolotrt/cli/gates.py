"""What the gates share: percentages, budgets, and how misses are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import note, stderr, warn
from yolotrt.errors import GateFailed, GateUndecided, UsageError

if TYPE_CHECKING:
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.judge import Verdict
    from yolotrt.bench.result import RunResult

BudgetTerms = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="[STAGE=]TIME",
        help="Fail (exit 3) above this: 33ms for the whole frame (end_to_end, held against tiled+global), or "
        "tiles=10ms for a stage.",
    ),
]
Undecided = Annotated[
    str | None,
    typer.Option(
        metavar="pass|fail",
        help="Whether figures too few or too noisy to judge are an error (exit 1). "
        "[default: fail if a limit is given]",
    ),
]
BudgetStat = Annotated[
    str, typer.Option("--budget-stat", help="What budgets are put on: p50, p90, p95, p99 or mean.")
]


Deadline = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Count frames without a result this long after arrival, such as 33ms."),
]
Arrivals = Annotated[
    str | None,
    typer.Option(
        "--arrival",
        metavar="30fps|poisson:30|trace:FILE",
        help="Let frames come on their own clock, as a camera's do. [default: back to back]",
    ),
]
JUnit = Annotated[
    Path | None, typer.Option("--junit", help="Also write JUnit XML for CI: a test case for each budget.")
]


def percentage(text: str, option: str) -> float:
    """Parse ``5%`` or ``0.05`` as 0.05.

    Raises:
        UsageError: It is neither.
    """
    match = re.fullmatch(r"(?P<value>\d+(\.\d+)?)\s*(?P<percent>%?)", text.strip())
    if match is None:
        raise UsageError(f"{option} {text!r} is not a percentage.", hint=f"Like this: {option} 5%")
    value = float(match["value"])
    if not match["percent"] and value >= 1:
        raise UsageError(f"{option} {text!r} is ambiguous.", hint=f"Did you mean {option} {text}%?")
    return value / 100 if match["percent"] else value


def fails_undecided(text: str | None, *, asked: bool) -> bool:
    """Return whether ``--undecided`` makes what cannot be judged fail.

    Args:
        text: The option's value, if it was given.
        asked: Whether a limit was named, so that somebody relies on the answer.

    Raises:
        UsageError: It is neither ``pass`` nor ``fail``.
    """
    if text not in (None, "pass", "fail"):
        raise UsageError(f"--undecided {text!r} is unknown.", hint="Choose from: pass, fail.")
    return asked if text is None else text == "fail"


def announce_few(budgets: Budgets, frames: int | None, hint: str = "Use -n {needed}.") -> None:
    """Warn before long work if a budget is put on a percentile that so few frames cannot carry.

    Args:
        budgets: The budgets.
        frames: How many frames will be measured; None if only the run will tell.
        hint: What to do; ``{needed}`` is the number of frames that carry it.
    """
    from yolotrt.bench.percentiles import needed_count

    needed = needed_count(budgets.stat)
    if budgets.limits and frames is not None and frames < needed:
        warn(
            f"{frames} frames cannot tell {budgets.stat}, so its budget cannot be judged unless even the "
            f"median misses it: {needed} frames are needed. {hint.format(needed=needed)}"
        )


def check_budgets(
    result: RunResult, budgets: Budgets, *, announced: bool = False, strict: bool = True
) -> None:
    """Print how each budget was kept, and fail if one was not.

    Args:
        result: What was measured.
        budgets: What it is held against.
        announced: Whether :func:`announce_few` has had its say before the run.
        strict: Whether a budget that so few frames cannot judge is an error.

    Raises:
        UsageError: A budget is on a stage that no case measured.
        GateFailed: A case takes longer than its budget.
        GateUndecided: There are too few frames to tell, or other programs were busy.
    """
    from yolotrt.bench.crowding import crowding
    from yolotrt.bench.judge import judge
    from yolotrt.report.figures import milliseconds
    from yolotrt.report.tables import budget_table

    verdicts = judge(result.cases, budgets, crowding(result))
    if not announced:
        announce_few(budgets, result.rounds, "Measure with bench -n {needed}.")
    missed = [verdict for verdict in verdicts if verdict.held == "missed"]
    open_ = [verdict for verdict in verdicts if verdict.held == "undecided"]
    if not missed and not (open_ and strict):
        if verdicts and not open_:
            nearest = max(verdicts, key=lambda verdict: verdict.of_limit)
            took, limit = (milliseconds(value) for value in (nearest.seconds, nearest.limit))
            each = f"all {len(verdicts)} budgets are" if len(verdicts) > 1 else "the budget is"
            note(f"{each} kept; nearest: {nearest.stage} {nearest.stat} {took} ms of {limit} ms")
        return
    console = stderr()
    if not missed:
        console.print(budget_table(open_, console.width))
        raise _undecided(open_, len(verdicts))
    console.print(budget_table(missed, console.width))
    raise GateFailed(
        f"{len(missed)} of {len(verdicts)} budgets were missed.",
        hint="Every case that measures the stage must keep its budget (end_to_end: each of tiled+global): "
        "narrow --mode, --dispatch and --groups to what you ship, or see yolotrt tune.",
    )


def _undecided(verdicts: Sequence[Verdict], of: int) -> GateUndecided:
    """Return the error of budgets that too few frames, or frames among busy programs, cannot judge."""
    from yolotrt.report.figures import milliseconds

    first = verdicts[0]
    if first.frames < first.needed:
        return GateUndecided(
            f"Undecided: {len(verdicts)} of {of} budgets are on {first.stat} of {first.frames} frames; "
            f"{first.needed} are needed.",
            hint=f"Measure more frames (bench -n {first.needed}), put the budget on p50, or let it pass with "
            "--undecided pass.",
        )
    nearest = min(verdicts, key=lambda verdict: verdict.of_limit)
    took, alone, limit = (
        milliseconds(value) for value in (nearest.seconds, nearest.seconds / nearest.crowding, nearest.limit)
    )
    return GateUndecided(
        f"Undecided: {len(verdicts)} of {of} budgets were missed while other programs were busy. Without "
        f"them {nearest.stage} {nearest.stat}, {took} ms, could be {alone} ms, and the budget is {limit} ms.",
        hint="Measure again while nothing else runs, or let it pass with --undecided pass.",
    )
