"""``yolotrt report``: a page, Markdown or CSV from results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, say, stdout, warn
from yolotrt.cli.gates import (
    BudgetStat,
    BudgetTerms,
    Deadline,
    JUnit,
    Undecided,
    check_budgets,
    fails_undecided,
)
from yolotrt.cli.options import JsonTarget
from yolotrt.cli.outputs import (
    Csv,
    Html,
    Markdown,
    Overwrite,
    claim_outputs,
    json_output,
    page_outputs,
    write_outputs,
)

if TYPE_CHECKING:
    from yolotrt.report.shown import Shown


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...",
            help="Result files of bench, or what eval, run, compare and tune wrote with --json.",
        ),
    ],
    accuracy: Annotated[
        list[Path] | None,
        typer.Option(help="What yolotrt eval --json wrote, to be shown beside the latency."),
    ] = None,
    budget: BudgetTerms = None,
    budget_stat: BudgetStat = "p50",
    deadline: Deadline = None,
    undecided: Undecided = None,
    html: Html = None,
    markdown: Markdown = None,
    csv: Csv = None,
    junit: JUnit = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Show results again: as tables here, or as a page, Markdown, CSV or JUnit XML.

    Other budgets and deadlines judge the samples that are there. What eval, run, compare and tune wrote
    with --json is shown here, too.

    \b
    Examples:
      yolotrt report result.json --html result.html
      yolotrt report fp32.json int8.json --accuracy accuracy.json --html both.html
      yolotrt report result.json --budget end_to_end=33ms --csv result.csv
    """
    from dataclasses import replace

    from yolotrt.artifacts.kinds import either
    from yolotrt.bench.advice import advise
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.result import REPORTED, RunResult, to_json
    from yolotrt.errors import UsageError
    from yolotrt.report.accuracy import read_accuracy
    from yolotrt.report.fastest import fastest_lines
    from yolotrt.report.shown import SHOWN, read_reported
    from yolotrt.report.tables import latency_table, stage_table

    written = either(REPORTED, *(document.kind for document in SHOWN))
    outputs = [json_output(json, written), *page_outputs(html, markdown, csv, junit)]
    claim_outputs(outputs, results, accuracy, overwrite=overwrite)
    budgets = Budgets.parse(budget or (), budget_stat, deadline)
    strict = fails_undecided(undecided, asked=bool(budget))
    documents = [(path, *entry) for path in results for entry in read_reported(path)]
    others = [entry for entry in documents if not isinstance(entry[2], RunResult)]
    if others and (html or markdown or csv or junit or accuracy or budget or deadline):
        path, document, _ = others[0]
        raise UsageError(
            f"{path} is {document.what}: it has no samples of a benchmark.",
            hint="Pages, Markdown, CSV, JUnit, --accuracy, --budget and --deadline take what yolotrt bench "
            "wrote with -o FILE; what eval wrote goes beside it with --accuracy.",
        )
    found = [(path, value) for path, _, value in documents if isinstance(value, RunResult)]
    read = [result for _, result in found]
    read = [replace(result, budgets=result.budgets.given(budgets)) for result in read]
    figures = [entry for path in accuracy or () for entry in read_accuracy(path)]
    for (path, _), result in zip(found, read, strict=True):
        if json != "-":
            console = stdout()
            console.print(latency_table(result, console.width))
            console.print(stage_table(result, console.width))
        for line in fastest_lines(result):
            say(f"{path}: {line}")
        for advice in advise(result):
            warn(f"{path}: {advice}")
    for path, _, value in documents:
        if not isinstance(value, RunResult):
            _show(path, value, json != "-")
    told = [to_json(result) for result in read] + [document.to_json(value) for _, document, value in others]
    emit_json(json, told[0] if len(told) == 1 else told)
    write_outputs(read, html=html, markdown=markdown, csv=csv, junit=junit, accuracy=figures)
    for result in read:
        check_budgets(result, budgets, strict=strict)


def _show(path: Path, value: Shown, aloud: bool) -> None:
    from yolotrt.report.shown import sayings, tables

    if aloud:
        console = stdout()
        for table in tables(value, str(path), console.width):
            console.print(table)
    for line in sayings(value):
        say(f"{path}: {line}")
