from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from tests.bench.fakes import result_of
from tests.report.worlds import gpu_result
from yolotrt.artifacts.schema import schema
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.compare import compare
from yolotrt.bench.compare_file import comparison_file
from yolotrt.bench.judge import judge
from yolotrt.bench.metrics import METRICS
from yolotrt.bench.result import DOCUMENT, to_json
from yolotrt.bench.statistics import Interval
from yolotrt.machine.watch import During
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.fastest import fastest_lines
from yolotrt.report.figures import interval_percent, milliseconds, signed, signed_percent
from yolotrt.report.fitting import terminal_table
from yolotrt.report.labels import short_names
from yolotrt.report.markdown import comparison_markdown, result_markdown
from yolotrt.report.spreadsheet import to_csv
from yolotrt.report.svg import Scale, round_ticks
from yolotrt.report.tables import (
    budget_table,
    comparison_table,
    latency_table,
    stage_table,
)

FAST = [0.010, 0.011, 0.012] * 10
SLOW = [value * 1.2 for value in FAST]


def test_csv_has_the_flat_metric_names_and_empty_cells_for_what_was_not_measured() -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv([result_of(FAST)])))
    assert float(row["end_to_end_ms"]) == 11
    assert row["end_to_end_p95_ms"] == "", "30 frames cannot tell it"
    (many,) = csv.DictReader(io.StringIO(to_csv([result_of(FAST * 5)])))
    assert float(many["end_to_end_p95_ms"]) == pytest.approx(np.percentile(FAST * 5, 95) * 1e3)
    assert float(row["end_to_end_p50_low_ms"]) <= 11 <= float(row["end_to_end_p50_high_ms"])
    assert row["inference_model_yolo_tiles_ms"] == ""
    assert set(METRICS) <= set(row)
    assert row["frames"] == "30"


def test_csv_and_json_hold_the_times_of_the_gpu_under_names_of_their_own() -> None:
    result = gpu_result(8)
    rows = list(csv.DictReader(io.StringIO(to_csv([result, result_of(FAST)]))))
    assert float(rows[0]["inference_device_enqueue_ms"]) == pytest.approx(9, rel=0.05)
    assert float(rows[0]["inference_enqueue_ms"]) == pytest.approx(1, rel=0.05)
    assert rows[-1]["inference_device_enqueue_ms"] == ""
    document = to_json(result)
    assert document["cases"][0]["metrics"]["inference_device_enqueue_ms"] == pytest.approx(
        float(rows[0]["inference_device_enqueue_ms"])
    )
    jsonschema.validate(json.loads(json.dumps(document)), schema(DOCUMENT))


def test_markdown_holds_the_table_and_the_warnings() -> None:
    text = result_markdown(result_of(FAST, SLOW, during=During(other_cores=3.0)))
    assert "| a | tiled | serial | 2 | 13.2 |" in text
    assert "**other load**" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_a_comparison_says_its_verdict_first() -> None:
    bad = comparison_markdown(compare(result_of(FAST), result_of(SLOW)))
    assert bad.startswith("**yolotrt: 1 significant regression**")
    assert "**REGRESSION**" in bad
    assert "+20.0 %" in bad
    loud = comparison_markdown(compare(result_of(FAST, during=During(other_cores=3.0)), result_of(SLOW)))
    assert "- base, **other load**: Other programs" in loud
    good = comparison_markdown(compare(result_of(SLOW), result_of(FAST)))
    assert good.startswith("**yolotrt: No significant regression**")


def test_a_pipe_in_a_name_does_not_break_the_table() -> None:
    result = result_of(FAST)
    case = replace(result.cases[0].case, engine="a|b")
    text = result_markdown(replace(result, cases=(replace(result.cases[0], case=case),)))
    assert "a\\|b" in text


def test_terminal_tables_hold_every_case() -> None:
    result = replace(result_of(FAST, SLOW))
    for entry in result.cases:
        entry.samples.update({stage: [None] * 30 for stage in ("tiles", "global")})  # type: ignore[attr-defined]
    assert latency_table(result).row_count == 2
    assert comparison_table(comparison_file(compare(result, result))).row_count == 2


ENGINES = ("m.fp16.engine", "m.int8.engine")


def _lines(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("engines", [ENGINES[:1], ENGINES])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_terminal_tables_fit_and_break_no_figure(engines: tuple[str, ...], width: int) -> None:
    result = gpu_result(rounds=140, engines=engines)
    slow = [
        replace(e, samples={k: [v and 2 * v for v in s] for k, s in e.samples.items()}) for e in result.cases
    ]
    compared = compare(result, replace(result, cases=tuple(slow)))
    verdicts = judge(result.cases, Budgets.parse(["tiles=1ms"]))
    for table in (
        latency_table(result, width),
        stage_table(result, width),
        comparison_table(comparison_file(compared), width),
        budget_table(verdicts, width),
    ):
        lines = _lines(table, width)
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)
        assert sum("│" in line for line in lines) == table.row_count, "no row takes two lines"
    shown = " ".join(_lines(latency_table(result, width), width))
    p50, p95 = (np.percentile(result.cases[3].samples["end_to_end"], q) for q in (50, 95))  # type: ignore[arg-type]
    assert f"{milliseconds(p50)} / {milliseconds(p95)}" in shown
    assert width > 80 or "too narrow for: " in shown


def test_words_are_broken_before_a_figure_is_lost() -> None:
    columns: list[Column[list[str]]] = [
        Column("how", lambda r: r[0], words=True),
        Column("ms", lambda r: r[1]),
    ]
    table = RowTable("t", columns, [["graph, depth 2", "1234567.8"], ["-", "1"]])
    lines = _lines(terminal_table(table, width=22), 22)
    assert "1234567.8" in "".join(lines)
    assert [part for line in lines for part in ("graph,", "depth 2") if part in line] == ["graph,", "depth 2"]


def test_a_single_engine_is_named_in_the_title_and_needs_no_column() -> None:
    result = gpu_result(rounds=12)
    for table in (
        latency_table(result),
        stage_table(result),
        comparison_table(comparison_file(compare(result, result))),
    ):
        assert "engine" not in [column.header for column in table.columns]
        assert str(table.title).startswith(f"{result.cases[0].case.engine}: ")


def test_terminal_tables_call_engines_by_what_tells_them_apart() -> None:
    result = gpu_result(rounds=12, engines=ENGINES)
    verdicts = judge(result.cases, Budgets.parse(["tiles=1ms"]))
    for table in (
        latency_table(result),
        stage_table(result),
        comparison_table(comparison_file(compare(result, result))),
        budget_table(verdicts),
    ):
        assert set(table.columns[0].cells) == {"fp16", "int8"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0000123, "0.012"), (0.00123, "1.23"), (0.0123, "12.3"), (0.1234, "123"), (1.234, "1234")],
)
def test_milliseconds_have_three_digits(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.05, "+5.0 %"),
        (0.99999, "+0.0 %"),
        (0.5, "-50.0 %"),
        (2.5, "+150.0 %"),
        (4, "4.0x"),
        (73.639, "74x"),
    ],
)
def test_a_change_is_in_percent_until_that_is_hard_to_read(ratio: float, text: str) -> None:
    assert signed_percent(ratio) == text
    assert text.removesuffix(" %") in interval_percent(Interval(ratio, ratio))


@settings(deadline=None, derandomize=True)
@given(st.floats(-1, 1), st.integers(0, 3))
def test_nothing_is_minus_nothing(value: float, digits: int) -> None:
    assert float(signed(value, digits)) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-12)
    assert not re.fullmatch(r"-0(\.0*)?", signed(value, digits))


def test_engines_are_called_by_what_tells_them_apart() -> None:
    names = ["m.int8.onnxruntime.onnx", "m.fp32.onnxruntime.onnx"]
    assert list(short_names(names).values()) == ["int8", "fp32"]
    assert short_names(["m.onnx", "m.onnx"]) == {"m.onnx": "m.onnx"}
    assert short_names(["m.onnx", "m.b.onnx"]) == {"m.onnx": "m.onnx", "m.b.onnx": "b"}


@settings(deadline=None, derandomize=True)
@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_reach_the_top(high: float) -> None:
    ticks = round_ticks(high)
    assert ticks[0] == 0
    assert ticks[-1] >= high * (1 - 1e-9)
    assert 2 <= len(ticks) <= 7
    assert Scale(0, ticks[-1], 100, 0)(0) == 100


def test_the_fastest_case_of_a_pass_is_told_with_its_doubt() -> None:
    fast = [0.0101 + (k * 7 % 5 - 2) / 1e5 for k in range(20)]
    slow = [seconds + 0.01 for seconds in fast]
    clear = result_of(slow, fast)
    assert list(fastest_lines(clear)) == ["fastest: tiled, serial, 2 groups: 10.1 ms"]
    assert not list(fastest_lines(result_of(fast)))
    doubtful = ["fastest, as far as can be told: tiled, serial, 2 groups: 10.1 ms"]
    mixed = [seconds + (0.001 if k % 2 else -0.0009) for k, seconds in enumerate(fast)]
    for unclear in (result_of(mixed, fast), result_of(slow[:2], fast[:2])):
        assert [line.split(":")[0] for line in fastest_lines(unclear)] == ["fastest, as far as can be told"]
    busy = replace(clear, during=During(other_cores=3.0))
    assert list(fastest_lines(busy)) == doubtful
    a, b = (
        replace(e, case=replace(e.case, engine=f"m.{n}.onnx")) for n, e in zip("ab", clear.cases, strict=True)
    )
    named = list(fastest_lines(replace(clear, cases=(a, b))))
    assert named == ["fastest: b, tiled, serial, 2 groups: 10.1 ms"]
