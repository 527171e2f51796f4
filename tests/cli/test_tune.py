"""The search, on a tiny but real network and real, if meaningless, annotations."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from yolotrt.artifacts.documents import read_json

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
    app.write_text("models:\n  yolo_tiles:\n    engine: old.engine  # to be tuned\nother: kept\n")
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
    assert len(found["candidates"]) + len(found["dropped"]) == 4
    text = app.read_text()
    assert f"engine: {best['path']}  # to be tuned" in text
    assert f"groups: {best['groups']}" in text
    assert "other: kept" in text
    assert (tmp_path / "pipeline.yaml.bak").exists()

    state = read_json(tmp_path / "runs" / "tune.json")
    again = cli(*command)
    assert again.code == 0, again.err
    assert "continuing" in again.err
    assert read_json(tmp_path / "runs" / "tune.json")["cases"] == state["cases"]
    other = cli(*command, "--budget", "end_to_end=50s")
    assert "racing anew" in other.err


def test_what_cannot_be_kept_ends_with_3_and_writes_nothing(
    cli: Cli, tiny_onnx: Path, picture: Path, tmp_path: Path
) -> None:
    app = tmp_path / "pipeline.yaml"
    app.write_text("models: {}\n")
    done = cli("tune", tiny_onnx, "--source", picture, "--precisions", "fp32", *SMALL,
               "--budget", "tiles=1us", "--write", app)  # fmt: skip
    assert done.code == 3
    assert "Nothing keeps the budgets" in done.err
    assert "given up after 3 rounds" in done.err
    assert app.read_text() == "models: {}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--max-drop", "1%"), 2, "--eval-images"),
        (("--eval-images", "."), 2, "--annotations"),
        (("--precisions", "int3"), 2, "fp32, fp16, int8"),
        (("--write", "none.yaml"), 1, "does not exist"),
    ],
)
def test_options_that_make_no_sense_are_met_before_the_search(
    cli: Cli, tiny_onnx: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = cli("tune", tiny_onnx, *arguments)
    assert done.code == code
    assert words in done.err
