"""Files that are made from a result: a page, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import say

if TYPE_CHECKING:
    from yolotrt.bench.result import RunResult
    from yolotrt.report.accuracy import Accuracy

Html = Annotated[
    Path | None,
    typer.Option("--html", help="Also write a page to read, print and pass on; needs no network."),
]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="Also write the tables as Markdown.")]
Csv = Annotated[
    Path | None, typer.Option("--csv", help="Also write one row per case with flat metric names.")
]


def ensure_outputs(*targets: Path | str | None) -> None:
    """Find out before long work whether its results can be written; None and ``-`` are passed over.

    Raises:
        StorageError: One of them cannot be.
    """
    from yolotrt.artifacts.files import ensure_writable

    for target in targets:
        if target is not None and target != "-":
            ensure_writable(Path(target))


def write_outputs(
    results: Sequence[RunResult],
    *,
    html: Path | None,
    markdown: Path | None,
    csv: Path | None,
    accuracy: Sequence[Accuracy] = (),
) -> None:
    """Write what was asked for, and say where it is.

    Raises:
        StorageError: A file cannot be written.
    """
    from yolotrt.artifacts.files import write_text

    if html is not None:
        from yolotrt.report.page import page

        say(f"page: {write_text(html, page(results, accuracy))}")
    if markdown is not None:
        from yolotrt.report.markdown import result_markdown

        text = "\n".join(result_markdown(result) for result in results)
        say(f"Markdown: {write_text(markdown, text)}")
    if csv is not None:
        from yolotrt.report.spreadsheet import to_csv

        say(f"CSV: {write_text(csv, to_csv(results))}")
