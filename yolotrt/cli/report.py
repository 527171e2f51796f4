"""``yolotrt report``: a page, Markdown or CSV from results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, say, stdout, warn
from yolotrt.cli.gates import BudgetStat, BudgetTerms, check_budgets
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
    html: Html = None,
    markdown: Markdown = None,
    csv: Csv = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Show results again: as tables here, or as a page, Markdown or CSV.

    What eval, run, compare and tune wrote with --json is shown here, too.

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
    from yolotrt.bench.result import REPORTED, read_results, to_json
    from yolotrt.errors import UsageError
    from yolotrt.report.accuracy import read_accuracy
    from yolotrt.report.shown import SHOWN, read_shown
    from yolotrt.report.tables import latency_table, stage_table

    written = either(REPORTED, *(document.kind for document in SHOWN))
    outputs = [json_output(json, written), *page_outputs(html, markdown, csv)]
    claim_outputs(outputs, results, accuracy, overwrite=overwrite)
    budgets = Budgets.parse(budget or (), budget_stat)
    others = {path: other for path in results if (other := read_shown(path)) is not None}
    if others and (html or markdown or csv or accuracy or budgets.limits):
        path, (document, _) = next(iter(others.items()))
        raise UsageError(
            f"{path} is {document.what}: it has no samples of a benchmark.",
            hint="Pages, Markdown, CSV, --accuracy and --budget take what yolotrt bench wrote with -o FILE; "
            "what eval wrote goes beside it with --accuracy.",
        )
    found = [(path, result) for path in results if path not in others for result in read_results(path)]
    read = [result for _, result in found]
    if budgets.limits:
        read = [replace(result, budgets=budgets) for result in read]
    figures = [entry for path in accuracy or () for entry in read_accuracy(path)]
    for (path, _), result in zip(found, read, strict=True):
        if json != "-":
            console = stdout()
            console.print(latency_table(result, console.width))
            console.print(stage_table(result, console.width))
        for advice in advise(result):
            warn(f"{path}: {advice}")
    for path, (_, value) in others.items():
        _show(path, value, json != "-")
    documents = [to_json(result) for result in read]
    documents += [document.to_json(value) for document, value in others.values()]
    emit_json(json, documents[0] if len(documents) == 1 else documents)
    write_outputs(read, html=html, markdown=markdown, csv=csv, accuracy=figures)
    for result in read:
        check_budgets(result, budgets)


def _show(path: Path, value: Shown, aloud: bool) -> None:
    from yolotrt.report.shown import sayings, tables

    if aloud:
        console = stdout()
        for table in tables(value, str(path), console.width):
            console.print(table)
    for line in sayings(value):
        say(f"{path}: {line}")
