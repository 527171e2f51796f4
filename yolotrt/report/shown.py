"""What evaluations, long runs, comparisons and searches wrote, shown again on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from yolotrt.artifacts.documents import Document, read_json
from yolotrt.bench.compare_file import DOCUMENT as COMPARISON
from yolotrt.bench.compare_file import ComparisonFile
from yolotrt.bench.result import DOCUMENT as RESULT
from yolotrt.bench.result import RunResult, read_results
from yolotrt.bench.run_file import DOCUMENT as RUN
from yolotrt.bench.run_file import RunReport
from yolotrt.errors import ArtifactError, YoloTrtError
from yolotrt.report.accuracy_tables import accuracy_table, loss_table
from yolotrt.report.sustain_tables import camera_tables, sustain_table
from yolotrt.report.tables import comparison_table
from yolotrt.report.tune_tables import given_up_table, tune_table
from yolotrt.text import shell_words
from yolotrt.workflow.accuracy_file import DOCUMENT as ACCURACY
from yolotrt.workflow.accuracy_file import AccuracyFile
from yolotrt.workflow.describe import describe
from yolotrt.workflow.tune.outcome_file import DOCUMENT as TUNED
from yolotrt.workflow.tune.outcome_file import OutcomeFile

if TYPE_CHECKING:
    from rich.table import Table

Shown: TypeAlias = AccuracyFile | RunReport | ComparisonFile | OutcomeFile

SHOWN: tuple[Document[Any], ...] = (ACCURACY, RUN, COMPARISON, TUNED)
"""What is shown as it was when it was written; results of benchmarks are tables, pages and more."""


def read_reported(path: Path) -> list[tuple[Document[Any], RunResult | Shown]]:
    """Return the documents in a file and what they say: one, or a list such as ``report --json`` writes.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is damaged, of a later version, or of another kind, which is named.
    """
    try:
        return _read(path)
    except ArtifactError as exc:
        kind = _other_kind(path)
        if kind is None:
            raise
        raise ArtifactError(
            f"report has nothing to show of {path}: {kind}.",
            hint=f"See what is in it: yolotrt inspect {shell_words(str(path))}   "
            "report takes what bench, eval, run, compare and tune wrote.",
        ) from exc


def _other_kind(path: Path) -> str | None:
    """Return what a file is that is not shown; None if it is, or nobody knows."""
    try:
        kind = str(describe(path)["kind"])
    except YoloTrtError:
        return None
    return None if kind in {"benchmark result", *(document.what for document in SHOWN)} else kind


def _read(path: Path) -> list[tuple[Document[Any], RunResult | Shown]]:
    found = read_json(path)
    entries = found if isinstance(found, list) and found else [found]
    kinds = [next((known for known in SHOWN if known.is_in(entry)), None) for entry in entries]
    if not any(kinds):
        return [(RESULT, result) for result in read_results(path)]
    return [
        (document, document.parse(path, entry))
        for document, entry in zip((kind or RESULT for kind in kinds), entries, strict=True)
    ]


def tables(value: Shown, title: str, width: int) -> Iterator[Table]:
    """Return the tables that the verb showed.

    Args:
        value: What was read.
        title: What to call a run.
        width: Characters of a line.
    """
    if isinstance(value, RunReport):
        yield sustain_table(value, title)
        yield from camera_tables(value, width)
    elif isinstance(value, ComparisonFile):
        yield comparison_table(value, width)
    elif isinstance(value, AccuracyFile):
        yield accuracy_table(value.engines, width)
        losses = loss_table(value.engines, width)
        if losses is not None:
            yield losses
    else:
        yield tune_table(value, width)
        if value.dropped or value.refused:
            yield given_up_table(value, width)


def sayings(value: Shown) -> tuple[str, ...]:
    """Return what the verb said beside its tables, a line each."""
    if isinstance(value, RunReport):
        return value.remarks
    if isinstance(value, ComparisonFile):
        doubts = (f"{d.result}: {d.message} {d.remedy}" for d in value.warnings)
        headline = (value.headline,) if value.headline else ()
        return (*headline, *value.differences, *doubts, *value.notes, *value.missing)
    if isinstance(value, AccuracyFile):
        return value.notes
    return (f"recommended: {value.candidates[value.recommended]}", *value.reasons)
