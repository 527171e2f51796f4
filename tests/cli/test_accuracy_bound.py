"""``yolotrt build --int8 --max-drop`` as a person types it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.workflow.test_evaluate import tiny_engine
from yolotrt.artifacts.documents import read_json
from yolotrt.backends.sidecar import sidecar_path
from yolotrt.workflow.accuracy_bound.thresholds import SOURCE, as_source, threshold

SCORES = np.array([0.9, 0.8, 0.5, 0.3, 0.2])


def test_the_trade_is_printed_and_a_second_run_is_up_to_date(
    cli: Cli, tiny_onnx: Path, pictures: Path, tmp_path: Path
) -> None:
    command = ("build", tiny_onnx, "--int8", "--backend", "onnxruntime", "--images", pictures,
               "--max-drop", "50%", "--mode", "tiled", "--json", "p.json")  # fmt: skip
    done = cli(*command)
    assert done.code == 0, done.err
    assert "convolutions in INT8" in done.out
    assert "held" in done.err
    found = read_json(tmp_path / "p.json")
    assert found["accuracy_bound"]["bound"] == "50%"
    assert found["accuracy_bound"]["mode"] == found["sources"]["bound_mode"] == "tiled"
    assert found["sources"]["bound_criterion"] == "agreement with FP32"
    assert Path(found["path"]).is_file()
    again = cli(*command)
    assert again.code == 0, again.err
    assert "up to date" in again.err
    assert again.out == done.out
    assert read_json(tmp_path / "p.json")["cached"]


def test_the_precision_that_is_fastest_here_is_chosen_by_measurement(
    cli: Cli, tiny_onnx: Path, pictures: Path, tmp_path: Path
) -> None:
    done = cli("build", tiny_onnx, "--int8=auto", "--backend", "onnxruntime", "--images", pictures,
               "--max-drop", "50%", "--json", "a.json")  # fmt: skip
    assert done.code == 0, done.err
    found = read_json(tmp_path / "a.json")
    assert {entry["precision"] for entry in found["precisions"]} == {"fp32", "int8"}
    assert all(entry["p50_s"] > 0 for entry in found["precisions"])
    chosen = next(e for e in found["precisions"] if e["path"] == found["path"])
    assert chosen["precision"] == found["precision"]
    assert found["reason"] in done.err.replace("\n", " ")
    assert "Is INT8 worth it here?" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--precision", "auto", "--int8"), "chooses"),
        (("--precision", "auto", "-o", "e.onnx"), "-o"),
        (("--precision", "int4"), "int4"),
        (("--precision", "fp16", "--int8"), "exclude each other"),
        (("--precision", "fp32", "--max-drop", "1%"), "which judges FP16, too"),
        (("--int8", "--max-drop", "1"), "--max-drop '1'"),
        (("--int8", "--eval-images", "."), "--max-drop"),
        (("--int8", "--mode", "tiled"), "--max-drop"),
        (("--int8", "--max-drop", "1%", "--mode", "tiles"), "--mode 'tiles'"),
        (("--int8", "--max-drop", "1%", "--annotations", "a.json"), "--eval-images"),
        (("--int8", "--implicit", "--max-drop", "1%"), "--implicit"),
        (("--int8", "--max-drop-small", "5%"), "--max-drop"),
        (("--int8", "--max-drop", "1%", "--max-drop-small", "5%"), "--annotations"),
        (("--int8", "--max-drop", "1%", "--max-drop-small", "5"), "--max-drop-small '5'"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(
    cli: Cli, tiny_onnx: Path, pictures: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = cli("build", tiny_onnx, "--images", pictures, *arguments)
    assert done.code == 2, done.err
    assert words in done.err


def test_predict_says_that_the_confidence_has_moved(cli: Cli, tmp_path: Path, pictures: Path) -> None:
    engine = tiny_engine(tmp_path).path
    sidecar = sidecar_path(engine)
    document = json.loads(sidecar.read_text())
    said = []
    for scores in (SCORES * 0.8, SCORES):
        at = replace(threshold(SCORES, scores), best=0.2)
        sidecar.write_text(json.dumps({**document, "sources": {**document["sources"], **as_source(at)}}))
        said.append(cli("predict", engine, pictures, "--mode", "global").err)
    assert "found 25% fewer objects than FP32 at 0.25 when it was built: use 0.24 for as many" in said[0]
    assert "when it was built" not in said[1]
    document["sources"][SOURCE] = '{"conf": 1'
    sidecar.write_text(json.dumps(document))
    assert cli("predict", engine, pictures, "--mode", "global").code == 0
