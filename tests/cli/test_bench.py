"""Measuring, gating and reporting from the command line, on a tiny but real engine."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from benchmarks.forked import Commands
from tests.cli.conftest import Cli
from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.schema import schema
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.result import DOCUMENT, read_result
from yolotrt.workflow.build import BuildRequest, build_engine

FAST = ("--groups", "1,2", "-n", 12, "--warmup", 1, "--threads", 1)


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench-engines")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench-picture") / "street.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (128, 160, 3), dtype=np.uint8))
    return path


def test_a_bench_leaves_a_valid_result_and_all_its_forms(
    cli: Cli, engine: Path, picture: Path, tmp_path: Path
) -> None:
    done = cli("bench", engine, "--source", picture, *FAST, "-o", "r.json", "--html", "r.html",
               "--csv", "r.csv", "--markdown", "r.md", "--json", "-")  # fmt: skip
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if line.startswith("fastest")]
    assert [(": tiled, " in line, ": tiled+global, " in line) for line in told] == [
        (True, False),
        (False, True),
    ]
    document = json.loads(done.out)
    jsonschema.validate(document, schema(DOCUMENT))
    jsonschema.validate(read_json(tmp_path / "r.json"), schema(DOCUMENT))
    result = read_result(tmp_path / "r.json")
    assert [entry.case.mode for entry in result.cases] == ["global", *["tiled"] * 4, *["tiled+global"] * 4]
    assert result.rounds == 12
    assert result.complete
    again = cli("report", "r.json", "--json", "-")
    assert json.loads(again.out) == document
    assert [line for line in again.err.splitlines() if "fastest" in line] == [
        f"r.json: {line}" for line in told
    ]
    assert len(json.loads(cli("report", "r.json", "r.json", "--json", "-").out)) == 2
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 10
    metrics = document["cases"][1]["metrics"]
    assert metrics["end_to_end_ms"] >= metrics["inference_model_yolo_tiles_ms"] > 0
    assert metrics["inference_model_yolo_global_ms"] is None


def test_a_missed_budget_ends_with_3_and_a_table(
    cli: Cli, engine: Path, picture: Path, tmp_path: Path
) -> None:
    bench = ("bench", engine, "--source", picture, *FAST, "--mode", "tiled", "-o", "r.json")
    missed = cli(*bench, "--budget", "tiles=1us", "--budget", "end_to_end=60s", "--budget-stat", "p95")
    assert missed.code == 3
    assert "tiles p95" in missed.err
    assert "4 of 8 budgets were missed" in missed.err
    assert "warning: 12 frames cannot tell p95" in missed.err
    assert read_result(tmp_path / "r.json").budgets == Budgets({"tiles": 1e-6, "end_to_end": 60}, "p95")
    assert cli(*bench, "--budget", "60s").code == 0
    assert cli("report", "r.json", "--budget", "end_to_end=1us").code == 3
    few = cli(*bench, "--resume", "--budget", "end_to_end=60s", "--budget-stat", "p95")
    assert (few.code, "130 are needed" in few.err) == (1, True)
    assert "is complete; judged by other budgets" in few.err
    unmeasured = cli(*bench, "--budget", "global=1s")
    assert unmeasured.code == 2
    assert "held against nothing" in unmeasured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--budget", "tiles"), "--budget end_to_end=33ms"),
        (("--budget", "4000"), "has no unit.\nhint:  Type: --budget 4000ms, or 4000s"),
        (("--budget", "tiles=4"), "Type: --budget tiles=4ms, or tiles=4s"),
        (("--budget", "tiles=1ms", "--budget-stat", "p42"), "p50, p90"),
        (("--until-stable", "5"), "5%"),
        (("--until-stable", "x%"), "percentage"),
        (("--resume",), "--output"),
    ],
)
def test_options_that_make_no_sense_end_with_2_before_anything_is_measured(
    cli: Cli, engine: Path, picture: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = cli("bench", engine, "--source", picture, *arguments)
    assert done.code == 2
    assert words in done.err


def test_until_stable_stops_when_it_is_or_when_the_time_is_up(
    cli: Cli, engine: Path, picture: Path, tmp_path: Path
) -> None:
    done = cli("bench", engine, "--source", picture, "--mode", "global", "--until-stable", "30%",
               "--duration", 20, "-o", "r.json")  # fmt: skip
    assert done.code == 0
    assert read_result(tmp_path / "r.json").stopped.measure in ("stable", "cap")


def _check_undecided(cli: Cli, folder: Path) -> None:
    """What cannot be told is an error of its own where a limit is given, and passes where none is."""
    three = read_json(folder / "slow.json")
    for entry in three["cases"]:
        entry["samples"] = {stage: values[:3] for stage, values in entry["samples"].items()}
        entry["samples"]["end_to_end"] = [0.0103, 0.0112, 0.0110]
    (folder / "three.json").write_text(json.dumps(three))
    call = ("compare", "base.json", "three.json")
    judged = cli(*call, "--fail-on", "5%", "--json", "u.json", "--markdown", "u.md")
    assert judged.code == 1, judged.err
    assert "error: Undecided" in judged.err
    assert "too few frames to tell" in judged.out
    assert read_json(folder / "u.json")["outcome"] == "undecided"
    assert "\n**yolotrt: Undecided" in (folder / "u.md").read_text()
    assert cli(*call).code == cli(*call, "--fail-on", "5%", "--undecided", "pass").code == 0
    assert cli(*call, "--undecided", "fail").code == 1
    assert cli(*call, "--undecided", "maybe").code == 2


def test_comparing_finds_what_was_made_slower_and_refuses_other_machines(
    cli: Cli, engine: Path, picture: Path, tmp_path: Path
) -> None:
    assert cli("bench", engine, "--source", picture, *FAST, "-n", 20, "-o", "base.json").code == 0
    document = read_json(tmp_path / "base.json")
    for name, factor in (("base", 1), ("slow", 2)):  # steady figures, however busy this machine is
        for entry in document["cases"]:
            entry["samples"]["end_to_end"] = [factor * (0.01 + 0.0001 * (i % 5)) for i in range(20)]
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "slow.json").write_text(json.dumps(document))
    document["environment"]["cpu"] = "another"
    (tmp_path / "other.json").write_text(json.dumps(document))
    document["during"]["other_cores"] = 1.5
    (tmp_path / "loud.json").write_text(json.dumps(document))

    same = cli("compare", "base.json", "base.json")
    assert same.code == 0, same.err
    slow = cli(
        "compare", "base.json", "slow.json", "--fail-on", "5%", "--markdown", "c.md", "--json", "c.json"
    )
    assert slow.code == 3
    assert "+100" in slow.err
    assert "significant regressions**" in (tmp_path / "c.md").read_text()
    changes = read_json(tmp_path / "c.json")["changes"]
    assert [c["regressed"] for c in changes if c["stage"] == "end_to_end"] == [True] * 9
    assert cli("compare", "base.json", "slow.json", "--fail-on", "150%").code == 0
    _check_undecided(cli, tmp_path)
    loud = cli("compare", "other.json", "loud.json", "--json", "-")
    assert "warning: loud.json: Other programs kept 1.5" in loud.err
    assert {"result": "new", "code": "other load"}.items() <= json.loads(loud.out)["warnings"][-1].items()
    refused = cli("compare", "base.json", "other.json")
    assert refused.code == 1
    assert "--across" in refused.err
    assert cli("compare", "slow.json", "other.json", "--across").code == 0


def test_json_of_other_verbs_is_called_what_it_is(
    cli: Cli, engine: Path, picture: Path, tmp_path: Path
) -> None:
    assert cli("bench", engine, "--source", picture, *FAST, "-n", 3, "-o", "r.json").code == 0
    run = cli("run", engine, "--source", picture, "--json", "run.json")
    assert run.code == 0, run.err
    assert cli("compare", "r.json", "r.json", "--json", "changes.json").code == 0
    (tmp_path / "accuracy.json").write_text(json.dumps({"mode": "tiled", "engines": []}))
    for name, verb in (("run", "run"), ("changes", "compare"), ("accuracy", "eval")):
        refused = cli("compare", "r.json", f"{name}.json")
        assert refused.code == 1
        assert f"{name}.json is what yolotrt {verb} --json wrote" in refused.err
        assert "yolotrt bench wrote with -o FILE" in refused.err
    refused = cli("report", "r.json", "run.json", "--csv", "r.csv")
    assert refused.code == 2
    assert "run.json is what yolotrt run --json wrote" in refused.err
    for name in ("run", "changes"):
        document = json.loads((tmp_path / f"{name}.json").read_text())
        assert json.loads(cli("report", f"{name}.json", "--json", "-").out) == document
    assert "frames out" in cli("report", "run.json").out
    shown = cli("report", "changes.json", "r.json")
    assert "New against base" in shown.out
    assert "No significant regression" in shown.err
    assert cli("report", "r.json", "run.json", "--json", "both.json").code == 0
    both = json.loads((tmp_path / "both.json").read_text())
    assert [entry["format"] for entry in both] == ["yolotrt.result", "yolotrt.run"]
    assert "it has no engine" in cli("report", "accuracy.json").err
    (tmp_path / "other.json").write_text("{}")
    assert "not a yolotrt.result file" in cli("report", "other.json").err


def test_every_way_of_joining_tiles_can_be_measured_but_no_engine_twice(
    cli: Cli, engine: Path, picture: Path, tmp_path: Path
) -> None:
    options = ("--source", picture, "--mode", "tiled", "--groups", 1, "--dispatch", "serial", "-n", 2)
    for merge, said in (("nms", "nms ios-boxes:0.5"), ("seams", "seams")):
        assert cli("bench", engine, *options, "--merge", merge, "-o", f"{merge}.json").code == 0
        assert read_result(tmp_path / f"{merge}.json").settings.merge == said
    apart = cli("compare", "seams.json", "nms.json")
    assert "merge seams -> nms ios-boxes:0.5" in apart.err
    doubled = cli("bench", engine, engine, *options)
    assert (doubled.code, "would be measured twice" in doubled.err) == (2, True)
    assert cli("run", engine, picture, "--merge", "nmm", "--merge-overlap", "iou-boxes:0.4").code == 0


def test_a_pipeline_yaml_says_what_to_measure(cli: Cli, engine: Path, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(
        f"models:\n  yolo_global: {{engine: {engine}, enabled: true}}\n  yolo_tiles: {{engine: {engine}}}\n"
        "yolo_tiles_parallel: {enabled: true, groups: 3}\n"
    )
    done = cli("bench", "--config", "pipeline.yaml", "--source", picture, "-n", 2, "-o", "r.json")
    assert done.code == 0, done.err
    (entry,) = read_result(tmp_path / "r.json").cases
    assert (entry.case.mode, entry.case.dispatch, entry.case.groups) == ("tiled+global", "threads", 3)
    assert cli("bench", engine, "--config", "pipeline.yaml").code == 2
    (tmp_path / "pipeline.yaml").write_text("models:\n  yolo_tiles: {engine: a, enabled: 7}\n")
    bad = cli("bench", "--config", "pipeline.yaml")
    assert bad.code == 1
    assert "pipeline.yaml:2: models.yolo_tiles.enabled" in bad.err
    (tmp_path / "pipeline.yaml").write_text("models:\n  yolo_tiles:\n    engine: none.engine\n")
    missing = cli("bench", "--config", "pipeline.yaml")
    assert missing.code == 1
    assert "pipeline.yaml:3: models.yolo_tiles.engine: no such engine: 'none.engine'." in missing.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_bench_keeps_its_rounds_and_continues(
    commands: Commands, engine: Path, picture: Path, tmp_path: Path, how: signal.Signals
) -> None:
    command = ("bench", engine, "--source", picture, "--groups", 1,
               "--mode", "global", "--warmup", 1, "-o", "r.json")  # fmt: skip
    running = commands.start([*command, "--duration", 600], tmp_path)
    path = tmp_path / "r.json"
    deadline = time.monotonic() + 240
    while not path.exists() and time.monotonic() < deadline:
        assert not running.ended(), running.said
        time.sleep(0.05)
    running.send(how)
    interrupted = running.done(60)
    partial = read_result(path)
    assert not partial.complete
    assert partial.rounds >= 1
    if how == signal.SIGINT:
        assert interrupted.code == 130
        assert "--resume" in interrupted.stderr
    total = str(partial.rounds + 5)
    done = commands.run([*command, "-n", total, "--resume"], tmp_path)
    assert done.code == 0, done.stderr
    result = read_result(path)
    assert result.rounds == int(total)
    assert result.resumed_at == (partial.rounds,)
    kept = result.cases[0].samples["end_to_end"][: partial.rounds]
    assert kept == partial.cases[0].samples["end_to_end"]


def test_groups_that_nobody_asked_for_fit_the_frame(cli: Cli, tiny_onnx: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((64, 100, 3), np.uint8))
    options = ("--source", "small.png", "--mode", "tiled", "--dispatch", "serial", "-n", 1, "--warmup", 0)
    done = cli("bench", tiny_onnx, "--trust", *options, "-o", "r.json")
    assert done.code == 0, done.err
    assert "note: the frame has few tiles: groups 1" in done.err
    asked = cli("bench", tiny_onnx, "--trust", *options, "--groups", "1,8")
    assert asked.code == 2
    assert "8 groups are too many" in asked.err
