"""A wall clock that jumps by a year at every reading: only the recorded date may notice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import read_engine, sidecar_path, write_engine
from yolotrt.bench.result import read_result
from yolotrt.model.onnxfile import read_spec
from yolotrt.workflow.catalog import newest_engine

YEAR_S = 365 * 86_400


@pytest.fixture(scope="module")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose wall clock jumps to and fro."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the C library's clock cannot be replaced")
    library = tmp_path_factory.mktemp("clock") / "jumping_clock.so"
    source = Path(__file__).with_name("jumping_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    paths = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "LD_PRELOAD": str(library), "JUMP_S": str(YEAR_S), "PYTHONPATH": paths}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def yolotrt(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "yolotrt", *map(str, arguments)]


def test_the_clock_really_jumps(jumping: dict[str, str], tmp_path: Path) -> None:
    code = "import time; a = time.time(); b = time.time(); print(abs(b - a), time.monotonic())"
    apart, monotonic = map(float, run([sys.executable, "-c", code], tmp_path, jumping).stdout.split())
    assert apart > 1.9 * YEAR_S
    assert abs(monotonic - time.monotonic()) < 60


def test_durations_caches_and_results_do_not_notice(
    jumping: dict[str, str], tmp_path: Path, tiny_onnx: Path
) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(
        str(picture), cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (100, 80))
    )
    build = yolotrt("build", tiny_onnx, "--int8", "--images", picture, "--json", "-")
    assert json.loads(run(build, tmp_path, jumping).stdout)["cached"] is False
    again = run(build, tmp_path, jumping)
    assert json.loads(again.stdout)["cached"] is True
    assert "(cached, 1 images)" in again.stderr
    begin = time.monotonic()
    bench = ("--source", picture, "--groups", "1,2", "--mode", "tiled", "--duration", "0.3", "-o", "r.json")
    run(yolotrt("bench", *bench), tmp_path, jumping)
    took = time.monotonic() - begin
    result = read_result(tmp_path / "r.json")
    assert result.complete
    assert 0.3 <= result.measured_s < took
    samples = [
        v for case in result.cases for values in case.samples.values() for v in values if v is not None
    ]
    assert samples
    assert all(0 <= value < took for value in samples)


LOCK = """
import sys, time
from pathlib import Path
from yolotrt.artifacts.files import exclusive
from yolotrt.errors import StorageError
begin = time.monotonic()
try:
    with exclusive(Path("engine"), print, timeout_s=0.3):
        print("free")
except StorageError as exc:
    print(exc.message)
print(time.monotonic() - begin)
"""


def test_waiting_for_a_lock_takes_as_long_as_it_should(jumping: dict[str, str], tmp_path: Path) -> None:
    from yolotrt.artifacts.files import exclusive

    with exclusive(tmp_path / "engine", print):
        waited, gave_up, seconds = run([sys.executable, "-c", LOCK], tmp_path, jumping).stdout.splitlines()
    assert "waiting" in waited
    assert "has been locked" in gave_up
    assert 0.3 <= float(seconds) < 30
    assert run([sys.executable, "-c", LOCK], tmp_path, jumping).stdout.startswith("free")


def test_the_engine_built_last_is_the_newest_though_the_clock_was_set_back(tmp_path: Path) -> None:
    spec = read_spec(tiny_yolo(), "tiny")
    file = EngineFile(tmp_path / "a.onnx", "onnxruntime", "fp32", spec, (), "", {}, {})
    write_engine(file, b"first")
    future = time.time() + YEAR_S
    os.utime(sidecar_path(file.path), (future, future))  # built before the clock was set right
    for name in ("c.onnx", "b.onnx", "a.onnx"):
        write_engine(replace(file, path=tmp_path / name), name.encode())
        assert newest_engine(tmp_path) == tmp_path / name
        assert read_engine(tmp_path / name)
