"""The search, on a tiny but real network and real, if meaningless, annotations."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.forked import Commands
from tests.cli.conftest import Cli
from yolotrt.artifacts.documents import read_json
from yolotrt.workflow.accuracy_bound.criterion import Judgement
from yolotrt.workflow.pipeline_yaml import read_pipeline

SMALL = ("--groups", "1,2", "--dispatch", "serial", "--threads", 1, "--backend", "onnxruntime")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    return path


@pytest.fixture
def annotations(tmp_path: Path, pictures: Path) -> Path:
    images = [{"id": i, "file_name": f"{i}.png", "width": 200 + i, "height": 150} for i in range(4)]
    objects = [
        {"id": 1 + i, "image_id": i, "category_id": 1, "bbox": [10, 10, 60, 60], "area": 3600, "iscrowd": 0,
         "segmentation": [[10, 10, 70, 10, 70, 70, 10, 70]]}
        for i in range(4)
    ]  # fmt: skip
    path = tmp_path / "instances.json"
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    path.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))
    return path


def test_a_search_recommends_writes_and_continues(
    cli: Cli, tiny_onnx: Path, picture: Path, pictures: Path, annotations: Path, tmp_path: Path
) -> None:
    app = tmp_path / "pipeline.yaml"
    app.write_text(
        "models:\n  yolo_tiles:\n    engine: old.engine  # to be tuned\n  yolo_global: {}\nother: kept\n"
    )
    command = ("tune", tiny_onnx, "--source", picture, "--images", pictures, *SMALL,
               "--eval-images", pictures, "--annotations", annotations, "--budget", "end_to_end=60s",
               "--write", app, "--json", "t.json")  # fmt: skip
    done = cli(*command)
    assert done.code == 0, done.err
    assert "recommended:" in done.out
    found = read_json(tmp_path / "t.json")
    assert found["kept"]
    best = found["candidates"][found["recommended"]]
    assert any(c["pareto"] for c in found["candidates"])
    assert all(c["memory_bytes"] > 10 << 20 for c in found["candidates"])
    assert all(c["gpu_memory_bytes"] is None for c in found["candidates"])
    assert "precisions: fp32, int8" in done.err
    assert ("Given up early" in done.out) == bool(found["dropped"])
    assert len(found["candidates"]) + len(found["dropped"]) == 4
    text = app.read_text()
    assert f"engine: {best['path']}  # to be tuned" in text
    written = read_pipeline(app)
    assert (written.dispatch, written.groups) == (best["dispatch"], best["groups"])
    assert "other: kept" in text
    assert (tmp_path / "pipeline.yaml.bak").exists()

    state = read_json(tmp_path / "runs" / "tune.json")
    again = cli(*command)
    assert again.code == 0, again.err
    assert "continuing" in again.err
    assert read_json(tmp_path / "runs" / "tune.json")["cases"] == state["cases"]
    other = cli(*command, "--budget", "end_to_end=50s")
    assert "judging what is there" in other.err
    assert read_json(tmp_path / "runs" / "tune.json")["cases"] == state["cases"]


def test_what_cannot_be_kept_ends_with_3_and_writes_nothing(
    cli: Cli, tiny_onnx: Path, picture: Path, tmp_path: Path
) -> None:
    app = tmp_path / "pipeline.yaml"
    app.write_text("models: {yolo_tiles: {}, yolo_global: {}}\n")
    done = cli("tune", tiny_onnx, "--source", picture, "--precisions", "fp32", *SMALL,
               "--budget", "tiles=1us", "--write", app)  # fmt: skip
    assert done.code == 3
    assert "Nothing keeps the budgets" in done.err
    assert "given up after 3 rounds" in done.err
    assert app.read_text() == "models: {yolo_tiles: {}, yolo_global: {}}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--max-drop", "1%"), 2, "--images"),
        (("--max-drop", "1%", "--precisions", "fp32"), 2, "int8"),
        (("--max-drop", "0.1%", "--images", "."), 2, "0.5%"),
        (("--eval-images", "."), 2, "--annotations"),
        (("--precisions", "int3"), 2, "fp32, fp16, int8"),
        (("--write", "none.yaml"), 1, "does not exist"),
        (("--write", "other.yaml"), 1, "Add models.yolo_tiles first."),
        (("--groups", "1", "--chunk", "8"), 2, "Give one of them"),
        (("--chunk", "0"), 2, "8"),
    ],
)
def test_options_that_make_no_sense_are_met_before_the_search(
    cli: Cli, tiny_onnx: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    Path("other.yaml").write_text("models:\n  another: {}\n")
    done = cli("tune", tiny_onnx, *arguments)
    assert done.code == code
    assert words in done.err
    assert not Path("engines").exists(), "nothing was built"


def test_without_annotations_int8_and_fp16_are_held_to_an_estimate(
    cli: Cli, tiny_onnx: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("tune", tiny_onnx, pictures, "--images", pictures, "--groups", "1", *SMALL[2:],
               "--max-drop", "0.5%", "--precisions")  # fmt: skip
    done = cli(*command, "int8,fp16")
    assert done.code == 0, done.err
    assert "given up: int8: --max-drop 0.5% is not kept" in done.err
    assert "fp16: objects counts as a loss of 0.00 of 0.5%: held" in done.err
    monkeypatch.setattr(Judgement, "beyond", lambda _self, _bound: frozenset({"objects"}))
    done = cli(*command, "fp16")
    assert done.code == 2
    assert "given up: fp16: objects counts as" in done.err
    assert done.err.count("judging: without annotations the loss of mAP is estimated, on ") == 1
    assert "No precision keeps its accuracy" in done.err


def test_chunks_are_tiles_per_batch(cli: Cli, tiny_onnx: Path, picture: Path, tmp_path: Path) -> None:
    """A frame of 128x96 px has 3 x 2 = 6 tiles of 64 px."""
    done = cli("tune", tiny_onnx, "--source", picture, "--precisions", "fp32", *SMALL[2:],
               "--chunk", "6,4,2,9", "--json", "t.json")  # fmt: skip
    assert done.code == 0, done.err
    assert "6 tiles in batches of up to 6 tiles as 1, 4 tiles as 2, 2 tiles as 3, 9 tiles as 1" in done.err
    assert re.search(r"after 3 rounds: \d of 3 ways left, fastest tiny-seg", done.err)
    found = read_json(tmp_path / "t.json")
    assert sorted(c["groups"] for c in [*found["candidates"], *found["dropped"]]) == [1, 2, 3]


def test_a_killed_search_goes_on_with_the_samples_it_had(
    commands: Commands, tiny_onnx: Path, tmp_path: Path
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "street.png"), picture)
    command = ("tune", tiny_onnx, "--source", "street.png", "--precisions", "fp32", *SMALL)
    state = tmp_path / "runs" / "tune.json"
    running = commands.start(command, tmp_path)
    deadline = time.monotonic() + 60
    while not (state.exists() and read_json(state)["cases"]) and time.monotonic() < deadline:
        assert not running.ended(), running.said
        time.sleep(0.05)
    running.send(signal.SIGKILL)
    assert running.done().code == -signal.SIGKILL
    before = {json.dumps(e["case"]): e["samples"]["end_to_end"] for e in read_json(state)["cases"]}
    assert before
    done = commands.run(command, tmp_path)
    assert done.code == 0, done.stderr
    assert "continuing" in done.stderr
    after = {json.dumps(e["case"]): e["samples"]["end_to_end"] for e in read_json(state)["cases"]}
    assert after
    for case, samples in after.items():
        assert len(samples) == 16
        assert samples[: len(before[case])] == before[case]
