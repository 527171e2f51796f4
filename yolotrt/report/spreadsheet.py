"""Results as CSV: one row per case, flat metric names, milliseconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from yolotrt.artifacts.kinds import begins
from yolotrt.bench.result import RunResult
from yolotrt.report.columns import RowTable
from yolotrt.report.result_columns import result_columns, result_rows
from yolotrt.text import csv_text

CSV = begins("a table of yolotrt", "engine,precision,mode,dispatch,groups,frames")


def to_csv(results: Sequence[RunResult]) -> str:
    """Return one row per case of every result; a value that was not measured is an empty cell.

    Columns are the case, ``frames``, the medians under :func:`yolotrt.bench.metrics.metric_stages`, and for
    each of these ``<name without _ms>_p95_ms`` and so on, with the 95 % interval of the median as
    ``_p50_low_ms`` and ``_p50_high_ms``. Texts that a spreadsheet would compute are quoted.
    """
    columns = result_columns(entry for result in results for entry in result.cases)
    return csv_table(RowTable("", columns, [row for result in results for row in result_rows(result)]))


def csv_table(table: RowTable[Any]) -> str:
    """Return a table as CSV, without its title."""
    columns = table.shown("csv")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(csv_text(column.head("csv")) for column in columns)
    writer.writerows([csv_text(column.value(row)) for column in columns] for row in table.rows)
    return text.getvalue()
