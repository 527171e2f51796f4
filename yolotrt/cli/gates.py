"""What the gates share: percentages, budgets, and how misses are shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import stderr
from yolotrt.errors import GateFailed, UsageError

if TYPE_CHECKING:
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.result import RunResult

BudgetTerms = Annotated[
    list[str] | None,
    typer.Option("--budget", metavar="STAGE=TIME", help="Fail (exit 3) above this, such as tiles=10ms."),
]
BudgetStat = Annotated[
    str, typer.Option("--budget-stat", help="What budgets are put on: p50, p90, p95, p99 or mean.")
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


def check_budgets(result: RunResult, budgets: Budgets) -> None:
    """Print how each budget was kept, and fail if one was not.

    Raises:
        UsageError: A budget is on a stage that no case measured.
        GateFailed: A case takes longer than its budget.
    """
    from yolotrt.bench.budgets import judge
    from yolotrt.report.tables import budget_table

    verdicts = judge(result, budgets)
    missed = [verdict for verdict in verdicts if not verdict.met]
    if not missed:
        return
    console = stderr()
    console.print(budget_table(missed, console.width))
    raise GateFailed(
        f"{len(missed)} of {len(verdicts)} budgets were missed.",
        hint="Every case that measures the stage must keep its budget: narrow --mode, --dispatch and "
        "--groups to what you ship, or see yolotrt tune.",
    )
