"""Two real processes that want the same file: one works, the other waits, says so, and uses what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.coco.world import few_certificates, make_world, serving  # noqa: F401
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.backends.sidecar import read_engine

FIRST = """
import sys, time
from importlib import import_module
from pathlib import Path
module, name, begun, go, *arguments = sys.argv[1:]
real = getattr(import_module(module), name)
def held(*args, **options):
    Path(begun).touch()
    while not Path(go).exists():
        time.sleep(0.01)
    return real(*args, **options)
setattr(import_module(module), name, held)
from yolotrt.cli.app import main
sys.argv = ["yolotrt", *arguments]
main()
"""
"""A yolotrt command that stops in the middle of its work, in a function, until a file appears."""

BUILD = ("yolotrt.workflow.build", "in_precision")
CALIBRATION = ("yolotrt.quantization.cache", "collect")
PATIENCE_S = 120.0


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(2):
        picture = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


class Process:
    """A command whose talk can be waited for."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.started = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.started.stderr is not None
        self.said.extend(iter(self.started.stderr.readline, ""))

    def hears(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def result(self) -> dict[str, object]:
        assert self.started.stdout is not None
        out = self.started.stdout.read()
        assert self.started.wait(PATIENCE_S) == 0, self.said
        self._reader.join()
        found: dict[str, object] = json.loads(out)
        return found


def until(happens, why: object = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, why
        time.sleep(0.01)


@contextmanager
def holding(tmp_path: Path, where: tuple[str, str], *arguments: object) -> Iterator[tuple[Process, Path]]:
    """Give a command that is stopped in the middle of its work, and the file that lets it go on."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    command = [sys.executable, "-c", FIRST, *where, str(begun), str(go), *map(str, arguments)]
    first = Process(command, tmp_path)
    until(lambda: begun.exists() or first.started.poll() is not None, first.said)
    assert first.started.poll() is None, first.said
    try:
        yield first, go
    finally:
        first.started.kill()
        first.started.wait()


def second(tmp_path: Path, *arguments: object) -> Process:
    return Process([sys.executable, "-m", "yolotrt", *map(str, arguments)], tmp_path)


def test_of_two_builds_one_builds_and_the_other_takes_its_engine(tmp_path: Path, tiny_onnx: Path) -> None:
    arguments = ("build", tiny_onnx, "--fp32", "--json", "-")
    with holding(tmp_path, BUILD, *arguments) as (first, go):
        other = second(tmp_path, *arguments)
        until(lambda: other.hears("Another process is producing tiny-seg.fp32"), other.said)
        assert other.started.poll() is None
        go.touch()
        built, taken = first.result(), other.result()
    assert (built["cached"], taken["cached"]) == (False, True)
    assert built["sha256"] == taken["sha256"]
    assert read_engine(tmp_path / str(taken["path"])).sha256 == built["sha256"]
    assert not first.hears("Another process")


def test_a_build_waits_for_the_calibration_that_another_process_makes(
    tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    with holding(tmp_path, CALIBRATION, "calibrate", tiny_onnx, "--images", pictures, "--json", "-") as (
        first,
        go,
    ):
        other = second(tmp_path, "build", tiny_onnx, "--int8", "--images", pictures, "--json", "-")
        until(lambda: other.hears("Another process is producing tiny-seg.calib.json"), other.said)
        go.touch()
        assert first.result()["cached"] is False
        assert other.result()["precision"] == "int8"
    assert other.hears("(cached, 2 images)")


def test_the_lock_of_a_killed_build_does_not_block_who_waits_for_it(tmp_path: Path, tiny_onnx: Path) -> None:
    arguments = ("build", tiny_onnx, "--fp32", "--json", "-")
    with holding(tmp_path, BUILD, *arguments) as (first, _go):
        other = second(tmp_path, *arguments)
        until(lambda: other.hears("Another process"), other.said)
        first.started.kill()
        first.started.wait()
        assert other.result()["cached"] is False
    assert (tmp_path / "engines" / ".tiny-seg.fp32.onnxruntime.onnx.lock").exists()
    assert second(tmp_path, *arguments).result()["cached"] is True


def test_of_two_downloads_one_fetches_and_the_other_takes_its_images(tmp_path: Path) -> None:
    go = threading.Event()

    def wait(path: str, _nth: int) -> None:
        if path.startswith("/val2017"):
            go.wait(PATIENCE_S)

    with serving(make_world(20), fault=wait) as server:
        arguments = ("download", "--images", 5, "--out", "coco", "--base-url", server.url, "--json", "-")
        first = second(tmp_path, *arguments)
        until(lambda: server.asked("/val2017") or first.started.poll() is not None, first.said)
        other = second(tmp_path, *arguments)
        until(lambda: other.hears("Another process is producing manifest.json"), other.said)
        go.set()
        assert (first.result()["fetched"], other.result()["fetched"]) == (5, 0)
        assert server.asked("/val2017") == 5


MEASURING = ("yolotrt.bench.run", "measure")
HALVING = ("yolotrt.workflow.tune.search", "successive_halving")


def bench(tiny_onnx: Path, source: Path, *options: str) -> tuple[object, ...]:
    measured = ("--source", source, "--groups", 1, "--mode", "global", "-n", 3, "--warmup", 0, "--trust")
    return ("bench", tiny_onnx, *measured, "-o", "r.json", "--json", "-", *options)


def test_of_two_benches_of_one_result_the_second_is_refused_and_no_result_is_lost(
    tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    with holding(tmp_path, MEASURING, *bench(tiny_onnx, pictures / "0.png")) as (first, go):
        other = second(tmp_path, *bench(tiny_onnx, pictures / "1.png"))
        assert other.started.wait(PATIENCE_S) == 1
        go.touch()
        first.result()
    until(lambda: other.hears("hint:"), other.said)
    assert other.hears("Another process is writing r.json")
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["settings"]["source"].endswith("0.png")


def test_who_resumes_a_result_that_is_being_measured_waits_and_takes_it(
    tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    arguments = bench(tiny_onnx, pictures / "0.png", "--resume")
    with holding(tmp_path, MEASURING, *arguments) as (first, go):
        other = second(tmp_path, *arguments)
        until(lambda: other.hears("Another process is producing r.json"), other.said)
        go.touch()
        assert first.result()["cases"] == other.result()["cases"]
    assert other.hears("r.json is complete")


def tuning(tiny_onnx: Path, source: Path) -> tuple[object, ...]:
    tried = ("--precisions", "fp32", "--groups", 1, "--backend", "onnxruntime", "--source", source)
    return ("tune", tiny_onnx, *tried, "--state", "t.json", "--json", "-")


def test_of_two_searches_the_second_waits_and_takes_what_the_first_found(
    tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    arguments = tuning(tiny_onnx, pictures / "0.png")
    with holding(tmp_path, HALVING, *arguments) as (first, go):
        other = second(tmp_path, *arguments)
        until(lambda: other.hears("Another process is producing t.json"), other.said)
        go.touch()
        assert first.result()["kept"] == other.result()["kept"]
    assert other.hears("tune: continuing t.json")


def test_a_search_for_something_else_does_not_replace_what_was_just_found(
    tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    larger = pictures / "larger.png"
    cv2.imwrite(str(larger), np.zeros((90, 120, 3), np.uint8))
    with holding(tmp_path, HALVING, *tuning(tiny_onnx, pictures / "0.png")) as (first, go):
        other = second(tmp_path, *tuning(tiny_onnx, larger))
        until(lambda: other.hears("Another process is producing t.json"), other.said)
        go.touch()
        first.result()
        assert other.started.wait(PATIENCE_S) == 1
    until(lambda: other.hears("--state FILE"), other.said)
    assert other.hears("Another process has just searched with t.json")


def test_of_two_builds_of_models_of_one_name_the_second_does_not_replace_what_was_just_built(
    tmp_path: Path, tiny_onnx: Path
) -> None:
    """Neither engine was there when they began, so both want the plain name."""
    for folder, seed in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        write_tiny_yolo(tmp_path / folder / "best.onnx", seed=seed)
    with holding(tmp_path, BUILD, "build", "a/best.onnx", "--fp32", "--json", "-") as (first, go):
        other = second(tmp_path, "build", "b/best.onnx", "--fp32", "--json", "-")
        until(lambda: other.hears("Another process is producing best.fp32"), other.said)
        go.touch()
        built = first.result()
        assert other.started.wait(PATIENCE_S) == 1
    until(lambda: other.hears("hint:"), other.said)
    assert other.hears("has just built")
    assert read_engine(tmp_path / str(built["path"])).sha256 == built["sha256"]
    assert second(tmp_path, "build", "b/best.onnx", "--fp32", "--json", "-").result()["cached"] is False


@pytest.mark.export
def test_of_two_exports_one_exports_and_the_other_takes_its_file(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs the export extra (torch, ultralytics)")
    from tests.faults.killed_verbs import TINY_SEG

    (tmp_path / "tiny-seg.yaml").write_text(TINY_SEG)
    arguments = ("export", "tiny-seg.yaml", "--imgsz", 64, "--json", "-")
    with holding(tmp_path, ("yolotrt.model.export", "load_weights"), *arguments) as (first, go):
        other = second(tmp_path, *arguments)
        until(lambda: other.hears("Another process is producing tiny-seg.onnx"), other.said)
        go.touch()
        assert (first.result()["cached"], other.result()["cached"]) == (False, True)


SAVES = """
import sys
from pathlib import Path
from tests.backends.trt_stubs import builder_double
from yolotrt.backends.tensorrt import timing_cache
from yolotrt.backends.tensorrt.library import TENSORRT, Library
library, (file, name) = Library(TENSORRT, builder_double.without()), sys.argv[1:]
for index in range(100):
    config = builder_double.IBuilderConfig()
    timing_cache.attach(library, config, Path(file))
    config.get_timing_cache()._entries.add(f"{name} {index}")
    timing_cache.save(library, config, Path(file))
"""


def test_builds_that_share_a_timing_cache_lose_none_of_its_timings(tmp_path: Path) -> None:
    """The TensorRT library cannot be had here; its double has what our code calls, the lock is real."""
    file = tmp_path / "timing.cache"
    commands = [[sys.executable, "-c", SAVES, str(file), name] for name in ("a", "b")]
    processes = [Process(command, tmp_path) for command in commands]
    for process in processes:
        assert process.started.wait(PATIENCE_S) == 0, process.said
    assert set(json.loads(file.read_bytes())) == {f"{name} {i}" for name in ("a", "b") for i in range(100)}
