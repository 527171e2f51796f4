"""A column is defined once and is on every medium; a narrow terminal drops the times of the passes last."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from tests.bench.fakes import result_of
from tests.report.worlds import gpu_result
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.case import Intake
from yolotrt.report.columns import MEDIA, Column, Medium
from yolotrt.report.fitting import terminal_table
from yolotrt.report.markdown import markdown_table
from yolotrt.report.markup import table as page_table
from yolotrt.report.page import page
from yolotrt.report.result_columns import FIGURES, ResultRow
from yolotrt.report.spreadsheet import csv_table
from yolotrt.report.tables import latencies, latency_table

ENERGY: Column[ResultRow] = Column(
    "energy", lambda row: 3.25 if row.entry.case.groups == 1 else None, "{:.1f}".format, unit="J"
)


def test_a_new_column_is_on_every_medium() -> None:
    known = latencies(result_of([0.010] * 10, [0.012] * 10))
    table = replace(known, columns=[*known.columns, ENERGY])
    on_screen = terminal_table(table).columns[-1]
    assert (on_screen.header, list(on_screen.cells)) == ("energy, J", ["3.2", "-"])
    html = page_table(table, place="0")
    assert '<data value="0/0/energy, J">3.2</data>' in html
    assert '<data value="0/1/energy, J">-</data>' in html
    head, rule, *rows = markdown_table(table)
    assert head.endswith("| energy, J |")
    assert rule.endswith("| ---: |")
    assert [row.split(" | ")[-1] for row in rows] == ["3.2 |", "- |"]
    assert [row["energy_J"] for row in csv.DictReader(io.StringIO(csv_table(table)))] == ["3.25", ""]


@pytest.mark.parametrize("medium", MEDIA)
def test_no_medium_has_two_columns_of_one_name(medium: Medium) -> None:
    table = latencies(gpu_result(12, engines=("m.fp16.engine", "m.int8.engine")))
    heads = [column.head(medium) for column in table.shown(medium)]
    assert max(Counter(heads).values()) == 1
    assert {"mode", "pass"} & set(heads)
    assert all(column.media for column in FIGURES)


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("engines", [("m.fp16.engine",), ("m.fp16.engine", "m.int8.engine")])
def test_at_80_columns_the_times_of_the_passes_are_the_last_to_go(
    engines: tuple[str, ...], paced: bool
) -> None:
    result = gpu_result(12, engines=engines)
    for entry in result.cases:
        for stage in ("global", "response", "queued") if paced else ("global",):
            entry.samples[stage] = entry.samples["end_to_end"]  # type: ignore[index]
    if paced:
        arrived = tuple(replace(entry, arrived=Intake(12, 0)) for entry in result.cases)
        result = replace(result, cases=arrived, budgets=Budgets(deadline_s=0.02))
    table = latency_table(result, 80)
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    assert {"tiles", "global", "end_to_end"} <= {str(column.header) for column in table.columns}
    assert "too narrow for: " in "".join(lines)


def test_frames_in_flight_are_counted_alike_on_every_medium() -> None:
    result = result_of([0.010] * 30)
    result.cases[0].samples["interval"] = [0.005] * 30  # type: ignore[index]
    (row,) = latencies(result).rows
    (rate,) = [column for column in latencies(result).columns if column.name == "frames/s"]
    assert {rate.cell(row, medium) for medium in rate.media} == {"200.00"}
    assert "200.0 frames/s" in page([result])
