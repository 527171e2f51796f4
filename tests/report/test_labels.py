"""What tells series apart, and which charts say anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.fakes import machine, result_of
from tests.report.worlds import accuracy_figures
from yolotrt.bench.result import Case, RunResult
from yolotrt.bench.statistics import Interval
from yolotrt.machine.environment import EngineRecord
from yolotrt.report.accuracy import accuracy_chart
from yolotrt.report.charts import every_frame, latency_by_groups, percentile_curves
from yolotrt.report.figures import interval_percent, signed_percent
from yolotrt.report.labels import DISPATCH_COLORS, looks

MODES = ("global", "tiled", "tiled+global")
WAYS = (
    "serial",
    "threads",
    "graph, depth 2",
    "graph, depth 4",
    "graph, depth 8",
    "graph, after it",
    "x",
    "y",
    "z",
)


def _result(*cases: Case) -> RunResult:
    base = result_of(*([0.01, 0.011, 0.012] for _ in cases))
    return replace(
        base, cases=tuple(replace(entry, case=case) for entry, case in zip(base.cases, cases, strict=True))
    )


@pytest.mark.parametrize("engines", [1, 3, 6])
def test_no_two_series_look_alike(engines: int) -> None:
    """Dispatch modes whose names are equally long, and more engines and passes than there are dashes."""
    series = [
        (f"m{number}", mode, way)
        for number in range(engines)
        for mode in MODES
        for way in (("-",) if mode == "global" else WAYS)
    ]
    found = looks(_result(*(Case(e, "fp32", mode, way, 1) for e, mode, way in series)))
    assert len(set(found.values())) == len(series)


def test_groups_of_one_series_look_alike_and_known_modes_keep_their_colours() -> None:
    cases = [Case("m", "fp32", "tiled", way, groups) for way in WAYS for groups in (1, 2)]
    found = looks(_result(*cases))
    assert len(set(found.values())) == len(WAYS)
    assert found[cases[0]].color == DISPATCH_COLORS["serial"]


def test_the_chart_over_groups_has_the_colours_of_the_others() -> None:
    cases = [Case("m", "fp32", "tiled", way, groups) for way in WAYS[2:5] for groups in (1, 2)]
    result = _result(*cases)
    charts = [latency_by_groups(result)[0][1], percentile_curves(result), every_frame(result)]
    for look in looks(result).values():
        assert all(look.color in chart for chart in charts)


def test_a_single_point_gets_no_chart() -> None:
    whole, tiled = Case("m", "fp32", "global", "-", 1), Case("m", "fp32", "tiled", "serial", 1)
    assert latency_by_groups(_result(whole, tiled)) == []
    assert len(latency_by_groups(_result(whole, tiled, replace(tiled, groups=2)))) == 1
    assert len(latency_by_groups(_result(tiled, replace(tiled, dispatch="threads")))) == 1
    result = replace(_result(whole, tiled), environment=machine(engines={"m": EngineRecord(sha256="a")}))
    score = accuracy_figures("m", "a", 0.5, 0.4)
    assert accuracy_chart(result, [score]) == ""
    assert "circle" in accuracy_chart(result, [score, replace(score, mode="tiled")])


def test_a_change_and_its_interval_are_said_in_the_same_way() -> None:
    for ratio, interval in (
        (2.95, Interval(2.8, 3.1)),
        (3.1, Interval(2.9, 3.3)),
        (1.05, Interval(1.0, 1.1)),
    ):
        texts = signed_percent(ratio, interval), interval_percent(interval, ratio)
        assert len({text.endswith("x") for text in texts}) == 1, texts
