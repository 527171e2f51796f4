"""The README's TensorRT section, command by command, on doubles of the library and of the GPU's memory.

It shows that the commands fit together; what TensorRT itself makes of them only a machine with it can show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolotrt.artifacts.documents import read_json
from yolotrt.workflow.pipeline_yaml import read_pipeline

ROOT = Path(__file__).parents[2]


def yolotrt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.cli.tensorrt_world", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("way", [(), ("--implicit",)], ids=["explicit", "implicit"])
def test_from_onnx_to_the_time_of_each_layer(
    tmp_path: Path, tiny_onnx: Path, pictures: Path, way: tuple[str, ...]
) -> None:
    build = ["build", str(tiny_onnx), "--int8", "--images", str(pictures), "--backend", "tensorrt", *way]
    build += ["--batch", "1,4,8,16,32"]
    built = yolotrt(tmp_path, *build)
    assert built.returncode == 0, built.stderr
    assert (
        "backend: tensorrt (10.99.0.1 on NVIDIA GeForce RTX 5060 Ti (compute capability 12.0))"
        in built.stderr
    )
    engine = tmp_path / built.stdout.strip()
    assert engine.name == "tiny-seg.int8.tensorrt.engine"
    recorded = read_json(engine.with_name(engine.name + ".json"))
    assert recorded["environment"] == {
        "product": "TensorRT",
        "version": "10.99.0.1",
        "gpu": "NVIDIA GeForce RTX 5060 Ti",
        "compute_capability": "12.0",
        "driver": "CUDA 13.0",
        "profiles": "1,4,8,16,32",
        "options": "implicit-int8" if way else "none",
    }
    assert (engine.parent / "timing.cache").exists()
    if way:
        return  # from here on both are the same
    assert "is up to date" in yolotrt(tmp_path, *build).stderr

    inspected = yolotrt(tmp_path, "inspect", str(engine), "--json", "-")
    assert inspected.returncode == 0, inspected.stderr
    shown = json.loads(inspected.stdout)["found"]
    assert shown["told_by"] == "TensorRT 10.99.0.1"
    assert shown["profiles"] == ["1", "4", "8", "16", "32"]
    assert "images: input FLOAT (batch, 3, 64, 64)" in shown["inputs_outputs"]

    profiled = yolotrt(tmp_path, "profile", str(engine), "--batch", "8", "--json", "-")
    assert [row["name"] for row in json.loads(profiled.stdout)["layers"]] == ["conv", "silu"]
    refused = yolotrt(tmp_path, "profile", str(engine), "--batch", "5")
    assert refused.returncode == 1
    assert "--int8 --backend tensorrt --batch 1,4,5,8,16,32" in refused.stderr


def test_a_search_builds_engines_for_the_batches_that_it_runs(
    tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    """A frame of 128x96 px has 3 x 2 = 6 tiles of 64 px; an annotated image of 200x150 px has 12."""
    cv2.imwrite(str(tmp_path / "street.png"), np.zeros((96, 128, 3), np.uint8))
    images = [{"id": 0, "file_name": "0.png", "width": 200, "height": 150}]
    square = {"bbox": [10, 10, 60, 60], "area": 3600, "segmentation": [[10, 10, 70, 10, 70, 70, 10, 70]]}
    objects = [{"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, **square}]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    document = {"images": images, "annotations": objects, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    search = ["tune", str(tiny_onnx), "--backend", "tensorrt", "--precisions", "fp32", "--json", "t.json"]
    search += ["--source", "street.png", "--mode", "tiled+global", "--dispatch", "streams", "--groups", "1,4"]
    (tmp_path / "pipeline.yaml").write_text("models: {yolo_tiles: {}, yolo_global: {}}\n")
    search += ["--write", "pipeline.yaml"]
    done = yolotrt(tmp_path, *search, "--eval-images", str(pictures), "--annotations", "instances.json")
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / "t.json")
    assert sorted(c["groups"] for c in [*found["candidates"], *found["dropped"]]) == [1, 4]
    sidecar = tmp_path / "engines" / "tiny-seg.fp32.tensorrt.engine.json"
    assert read_json(sidecar)["environment"]["profiles"] == "1,2,6,1-12-12"
    best = found["candidates"][found["recommended"]]
    written = read_pipeline(tmp_path / "pipeline.yaml")
    assert (written.mode, written.dispatch, written.groups) == ("tiled+global", "streams", best["groups"])

    engine = str(sidecar.with_suffix(""))
    options = [
        "--source",
        "street.png",
        "--mode",
        "tiled",
        "--dispatch",
        "streams",
        "--groups",
        "1",
        "-n",
        "2",
    ]
    checked = yolotrt(tmp_path, "bench", engine, *options)
    assert checked.returncode == 0, checked.stderr
    assert "a batch of 6 gives what single tiles give" in checked.stderr
