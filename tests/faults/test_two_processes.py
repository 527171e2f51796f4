"""Two real processes that want the same file: one works, the other waits, says so, and uses what came out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.forked import Commands, StartedCommand
from tests.data.coco.world import few_certificates, make_world, serving  # noqa: F401
from tests.faults.places import environment
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.backends.sidecar import read_engine

BUILD = ("yolotrt.workflow.build", "in_precision")
CALIBRATION = ("yolotrt.quantization.cache", "collect")
PATIENCE_S = 120.0


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(2):
        picture = cv2.resize(np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8), (80, 60))
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


class Process:
    """A command whose talk can be waited for."""

    def __init__(self, started: StartedCommand) -> None:
        self.started = started

    @property
    def said(self) -> str:
        return self.started.said

    def hears(self, words: str) -> bool:
        return words in self.said

    def result(self) -> dict[str, object]:
        done = self.started.done(PATIENCE_S)
        assert done.code == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found


def until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Starts:
    """Starts commands in a folder."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self._commands = commands
        self._folder = folder

    @contextmanager
    def holding(self, where: tuple[str, str], *arguments: object) -> Iterator[tuple[Process, Path]]:
        """Give a command that is stopped in the middle of its work, and the file that lets it go on."""
        begun, go = self._folder / "begun", self._folder / "go"
        within = ["tests.faults.within:hold", *where, begun, go]
        first = Process(self._commands.start(arguments, self._folder, within))
        until(lambda: begun.exists() or first.started.ended())
        assert not first.started.ended(), first.said
        try:
            yield first, go
        finally:
            first.started.send(signal.SIGKILL)
            first.started.ended(PATIENCE_S)

    def second(self, *arguments: object) -> Process:
        return Process(self._commands.start(arguments, self._folder))


@pytest.fixture
def starts(commands: Commands, tmp_path: Path) -> Starts:
    return Starts(commands, tmp_path)


def test_of_two_builds_one_builds_and_the_other_takes_its_engine(
    starts: Starts, tmp_path: Path, tiny_onnx: Path
) -> None:
    arguments = ("build", tiny_onnx, "--fp32", "--json", "-")
    with starts.holding(BUILD, *arguments) as (first, go):
        other = starts.second(*arguments)
        until(lambda: other.hears("Another process is producing tiny-seg.fp32"))
        assert not other.started.ended()
        go.touch()
        built, taken = first.result(), other.result()
    assert (built["cached"], taken["cached"]) == (False, True)
    assert built["sha256"] == taken["sha256"]
    assert read_engine(tmp_path / str(taken["path"])).sha256 == built["sha256"]
    assert not first.hears("Another process")


def test_a_build_waits_for_the_calibration_that_another_process_makes(
    starts: Starts, tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    with starts.holding(CALIBRATION, "calibrate", tiny_onnx, "--images", pictures, "--json", "-") as (
        first,
        go,
    ):
        other = starts.second("build", tiny_onnx, "--int8", "--images", pictures, "--json", "-")
        until(lambda: other.hears("Another process is producing tiny-seg.calib.json"))
        go.touch()
        assert first.result()["cached"] is False
        assert other.result()["precision"] == "int8"
    assert other.hears("(cached, 2 images)")


def test_the_lock_of_a_killed_build_does_not_block_who_waits_for_it(
    starts: Starts, tmp_path: Path, tiny_onnx: Path
) -> None:
    arguments = ("build", tiny_onnx, "--fp32", "--json", "-")
    with starts.holding(BUILD, *arguments) as (first, _go):
        other = starts.second(*arguments)
        until(lambda: other.hears("Another process"))
        first.started.send(signal.SIGKILL)
        assert first.started.done().code == -signal.SIGKILL
        assert other.result()["cached"] is False
    assert not list((tmp_path / "engines").glob(".*.lock"))  # whoever ends last takes it away
    assert starts.second(*arguments).result()["cached"] is True


def test_of_two_downloads_one_fetches_and_the_other_takes_its_images(starts: Starts, tmp_path: Path) -> None:
    go = threading.Event()

    def wait(path: str, _nth: int) -> None:
        if path.startswith("/val2017"):
            go.wait(PATIENCE_S)

    with serving(make_world(20), fault=wait) as server:
        arguments = ("download", "--images", 5, "--out", "coco", "--base-url", server.url, "--json", "-")
        first = starts.second(*arguments)
        until(lambda: server.asked("/val2017") or first.started.ended())
        other = starts.second(*arguments)
        until(lambda: other.hears("Another process is producing manifest.json"))
        go.set()
        assert (first.result()["fetched"], other.result()["fetched"]) == (5, 0)
        assert server.asked("/val2017") == 5


MEASURING = ("yolotrt.bench.run", "measure")
HALVING = ("yolotrt.workflow.tune.search", "successive_halving")


def bench(tiny_onnx: Path, source: Path, *options: str) -> tuple[object, ...]:
    measured = ("--source", source, "--groups", 1, "--mode", "global", "-n", 3, "--warmup", 0, "--trust")
    return ("bench", tiny_onnx, *measured, "-o", "r.json", "--json", "-", *options)


def test_of_two_benches_of_one_result_the_second_is_refused_and_no_result_is_lost(
    starts: Starts, tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    with starts.holding(MEASURING, *bench(tiny_onnx, pictures / "0.png")) as (first, go):
        other = starts.second(*bench(tiny_onnx, pictures / "1.png"))
        assert other.started.done(PATIENCE_S).code == 1
        go.touch()
        first.result()
    until(lambda: other.hears("hint:"))
    assert other.hears("Another process is writing r.json")
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["settings"]["source"].endswith("0.png")


def test_who_resumes_a_result_that_is_being_measured_waits_and_takes_it(
    starts: Starts, tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    arguments = bench(tiny_onnx, pictures / "0.png", "--resume")
    with starts.holding(MEASURING, *arguments) as (first, go):
        other = starts.second(*arguments)
        until(lambda: other.hears("Another process is producing r.json"))
        go.touch()
        assert first.result()["cases"] == other.result()["cases"]
    assert other.hears("r.json is complete")


def tuning(tiny_onnx: Path, source: Path) -> tuple[object, ...]:
    tried = ("--precisions", "fp32", "--groups", 1, "--backend", "onnxruntime", "--source", source)
    return ("tune", tiny_onnx, *tried, "--state", "t.json", "--json", "-")


def test_of_two_searches_the_second_waits_and_takes_what_the_first_found(
    starts: Starts, tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    arguments = tuning(tiny_onnx, pictures / "0.png")
    with starts.holding(HALVING, *arguments) as (first, go):
        other = starts.second(*arguments)
        until(lambda: other.hears("Another process is producing t.json"))
        go.touch()
        assert first.result()["kept"] == other.result()["kept"]
    assert other.hears("tune: continuing t.json")


def test_a_search_for_something_else_does_not_replace_what_was_just_found(
    starts: Starts, tmp_path: Path, tiny_onnx: Path, pictures: Path
) -> None:
    larger = pictures / "larger.png"
    cv2.imwrite(str(larger), np.zeros((90, 120, 3), np.uint8))
    with starts.holding(HALVING, *tuning(tiny_onnx, pictures / "0.png")) as (first, go):
        other = starts.second(*tuning(tiny_onnx, larger))
        until(lambda: other.hears("Another process is producing t.json"))
        go.touch()
        first.result()
        assert other.started.done(PATIENCE_S).code == 1
    until(lambda: other.hears("--state FILE"))
    assert other.hears("Another process has just searched with t.json")


def test_of_two_builds_of_models_of_one_name_the_second_does_not_replace_what_was_just_built(
    starts: Starts, tmp_path: Path, tiny_onnx: Path
) -> None:
    """Neither engine was there when they began, so both want the plain name."""
    for folder, seed in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        write_tiny_yolo(tmp_path / folder / "best.onnx", seed=seed)
    with starts.holding(BUILD, "build", "a/best.onnx", "--fp32", "--json", "-") as (first, go):
        other = starts.second("build", "b/best.onnx", "--fp32", "--json", "-")
        until(lambda: other.hears("Another process is producing best.fp32"))
        go.touch()
        built = first.result()
        assert other.started.done(PATIENCE_S).code == 1
    until(lambda: other.hears("hint:"))
    assert other.hears("has just built")
    assert read_engine(tmp_path / str(built["path"])).sha256 == built["sha256"]
    assert starts.second("build", "b/best.onnx", "--fp32", "--json", "-").result()["cached"] is False


@pytest.mark.export
def test_of_two_exports_one_exports_and_the_other_takes_its_file(starts: Starts, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs the export extra (torch, ultralytics)")
    from tests.faults.killed_verbs import TINY_SEG

    (tmp_path / "tiny-seg.yaml").write_text(TINY_SEG)
    arguments = ("export", "tiny-seg.yaml", "--imgsz", 64, "--json", "-")
    with starts.holding(("yolotrt.model.export", "load_weights"), *arguments) as (first, go):
        other = starts.second(*arguments)
        until(lambda: other.hears("Another process is producing tiny-seg.onnx"))
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
    both = [[sys.executable, "-c", SAVES, str(file), name] for name in ("a", "b")]
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) for command in both
    ]
    for process in processes:
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    assert set(json.loads(file.read_bytes())) == {f"{name} {i}" for name in ("a", "b") for i in range(100)}
