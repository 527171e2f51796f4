"""``yolotrt report``: a page, Markdown or CSV from results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, stdout, warn
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


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Result files of bench.")],
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

    \b
    Examples:
      yolotrt report result.json --html result.html
      yolotrt report fp32.json int8.json --accuracy accuracy.json --html both.html
      yolotrt report result.json --budget end_to_end=33ms --csv result.csv
    """
    from dataclasses import replace

    from yolotrt.bench.advice import advise
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.result import REPORTED, read_results, to_json
    from yolotrt.report.accuracy import read_accuracy
    from yolotrt.report.tables import latency_table, stage_table

    outputs = [json_output(json, REPORTED), *page_outputs(html, markdown, csv)]
    claim_outputs(outputs, results, accuracy, overwrite=overwrite)
    budgets = Budgets.parse(budget or (), budget_stat)
    found = [(path, result) for path in results for result in read_results(path)]
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
    documents = [to_json(result) for result in read]
    emit_json(json, documents[0] if len(documents) == 1 else documents)
    write_outputs(read, html=html, markdown=markdown, csv=csv, accuracy=figures)
    for result in read:
        check_budgets(result, budgets)
