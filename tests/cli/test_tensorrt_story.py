"""The README's TensorRT section, command by command, on doubles of the library and of the GPU's memory.

It shows that the commands fit together; what TensorRT itself makes of them only a machine with it can show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yolotrt.artifacts.documents import read_json

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
    shown = json.loads(inspected.stdout)
    assert shown["told_by"] == "TensorRT 10.99.0.1"
    assert shown["profiles"] == ["1", "4", "8", "16", "32"]
    assert "images: input FLOAT (batch, 3, 64, 64)" in shown["inputs_outputs"]

    profiled = yolotrt(tmp_path, "profile", str(engine), "--batch", "8", "--json", "-")
    assert [row["name"] for row in json.loads(profiled.stdout)["layers"]] == ["conv", "silu"]
    refused = yolotrt(tmp_path, "profile", str(engine), "--batch", "5")
    assert refused.returncode == 1
    assert "--int8 --backend tensorrt --batch 1,4,5,8,16,32" in refused.stderr
