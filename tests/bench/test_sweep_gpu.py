"""A sweep on an emulated GPU: every way of running, and both clocks."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from tests.bench.fakes import machine
from tests.cuda.emulated_engine import EmulatedEngine
from tests.cuda.emulator import HostDriver, emulated
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.compare import compare
from yolotrt.bench.judge import judge
from yolotrt.bench.metrics import taken
from yolotrt.bench.result import RunResult, to_json
from yolotrt.bench.settings import Settings
from yolotrt.bench.sweep import EnginePair, SweepSettings, measure
from yolotrt.pipeline.tile_choice import TileChoice
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.report.spreadsheet import to_csv
from yolotrt.report.tables import latency_table, stage_table
from yolotrt.timing.trace import INTERVAL


@pytest.fixture
def pair(tiny_onnx: Path) -> EnginePair:
    driver = HostDriver()
    engine = EmulatedEngine(driver, tiny_onnx)
    engine.device = emulated(driver)
    return EnginePair(engine)  # type: ignore[arg-type]


FRAME = np.random.default_rng(3).integers(0, 256, (100, 151, 3), np.uint8)


def run(pair: EnginePair, **settings: object) -> RunResult:
    chosen = SweepSettings(groups=(1, 3), iterations=2, warmup=0, **settings)  # type: ignore[arg-type]
    cases, _ = measure([pair], [FRAME], chosen)
    return RunResult(Settings(), machine(), cases)


def test_by_default_every_dispatch_mode_of_a_gpu_is_a_case(pair: EnginePair) -> None:
    result = run(pair)
    found = [(e.case.mode, e.case.dispatch, e.case.groups) for e in result.cases]
    ways = [(d, g) for d in ("serial", "threads", "streams", "graph") for g in (1, 3)]
    assert found == [
        ("global", "-", 1),
        *((mode, *way) for mode in ("tiled", "tiled+global") for way in ways),
    ]
    for entry in result.cases:
        assert entry.samples["device_end_to_end"] != entry.samples["end_to_end"]
        assert len(entry.group_bytes) == 1


def test_graphs_are_left_out_where_there_are_none(tiny_onnx: Path) -> None:
    driver = HostDriver(captures=False)
    engine = EmulatedEngine(driver, tiny_onnx)
    engine.device = emulated(driver)
    found = run(EnginePair(engine), modes=("tiled",))  # type: ignore[arg-type]
    assert {entry.case.dispatch for entry in found.cases} == {"serial", "threads", "streams"}


def test_both_orders_of_the_global_pass_are_shown_and_have_the_devices_time(pair: EnginePair) -> None:
    result = run(pair, modes=("tiled+global",), dispatch=("graph",), orders=("concurrent", "after"))
    assert [e.case.way for e in result.cases] == ["graph", "graph", *["graph, global after"] * 2]
    for entry in result.cases:
        assert set(entry.samples["tiles"]) == {None}, "side by side they have no time on the host"
        assert entry.taken("tiles") == entry.samples["device_tiles"]
    metrics = to_json(result)["cases"][0]["metrics"]
    assert metrics["inference_model_yolo_tiles_ms"] > 0
    assert metrics["inference_model_yolo_global_ms"] > 0
    assert all(v.met for v in judge(result.cases, Budgets.parse(["tiles=60s", "global=60s"])))
    assert {change.stage for change in compare(result, result).changes} == {"tiles", "global", "end_to_end"}
    row = next(csv.DictReader(io.StringIO(to_csv([result]))))
    for stage in ("tiles", "global"):
        assert float(row[f"inference_model_yolo_{stage}_ms"]) > 0
        assert float(row[f"inference_model_yolo_{stage}_mean_ms"]) > 0


def test_passes_side_by_side_are_timed_by_the_devices_clock_and_never_take_0(pair: EnginePair) -> None:
    for measured in (True, False):
        settings = PipelineSettings("tiled+global", dispatch="streams", measure=measured)
        with TiledPipeline(pair.tiles, settings) as pipeline:
            stages = {name: [value] for name, value in pipeline(FRAME).trace.stages().items()}
        seconds = [taken(stages, stage)[0] for stage in ("tiles", "global", "end_to_end")]
        if measured:
            assert all(took is not None and took > 0 for took in seconds)
        else:
            assert seconds[:2] == [None, None]


def test_two_frames_in_flight_have_an_interval(pair: EnginePair) -> None:
    result = run(pair, modes=("tiled",), dispatch=("graph",), depth=2)
    for entry in result.cases:
        assert (entry.case.dispatch, entry.case.depth) == ("graph", 2)
        assert all(seconds and seconds > 0 for seconds in entry.samples[INTERVAL])


def test_tables_show_both_clocks(pair: EnginePair) -> None:
    result = run(pair, modes=("tiled",), dispatch=("streams",), depth=2)
    columns = [str(column.header) for column in stage_table(result).columns]
    assert {"enqueue", "interval", "device enqueue", "device upload"} <= set(columns)
    assert latency_table(result).row_count == 2


def test_chosen_tiles_are_a_case_of_their_own_with_what_ran(pair: EnginePair) -> None:
    adaptive = TileChoice.parse("adaptive:4")
    result = run(pair, dispatch=("graph",), modes=("tiled", "global"), tiles=adaptive, energy_s=0)
    tiled, single, whole = result.cases
    assert (tiled.case.mode, single.case.mode, whole.case.mode) == ("tiled", "tiled", "global")
    assert tiled.tiles is not None
    assert tiled.tiles.frames == 2
    assert tiled.tiles.run < 2 * tiled.tiles.tiles
    assert whole.tiles is None
    rows = list(csv.DictReader(io.StringIO(to_csv([result]))))
    assert [row["tiles_run"] != "" for row in rows] == [True, True, False]
    assert float(rows[0]["inference_decide_ms"]) > 0
    assert "tiles_run" not in to_csv([run(pair, dispatch=("graph",), modes=("tiled",))])
