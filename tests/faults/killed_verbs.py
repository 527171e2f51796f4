"""The commands that ``python -m benchmarks.kills`` kills: inputs, what is valid, what counts as reused."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from benchmarks.forked import Done
from tests.data.coco.world import make_world, serving
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.artifacts.documents import read_json
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import read_engine
from yolotrt.bench.result import RunResult, read_result
from yolotrt.data.coco.manifest import Manifest, read_manifest
from yolotrt.data.coco.plan import problem_of
from yolotrt.errors import YoloTrtError
from yolotrt.model.onnxfile import load_onnx, metadata, onnx_key
from yolotrt.quantization.cache import read_ranges
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.workflow.build import BuildRequest, build_engine

NOTHING, EARLIER, SOME, EVERYTHING = "nothing", "the earlier output", "a part", "everything"


TINY_SEG = """
nc: 2
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3, 4], 1, Segment, [nc, 8, 16]]
"""
"""Ultralytics' description of a segmentation network that exports in about a second."""


class Verb(Protocol):
    """One command under test. Outputs go to the current folder, inputs lie elsewhere."""

    name: str

    @property
    def modules(self) -> tuple[str, ...]:
        """What is imported before it is killed."""
        ...

    def command(self) -> list[str]:
        """Return the command that is killed."""
        ...

    def earlier(self) -> list[str]:
        """Return a command whose output the killed one is to replace."""
        ...

    def interrupt(self, place: Path) -> None:
        """Let that output look as if its command had been interrupted, where that matters."""

    def broken(self, place: Path, over_earlier: bool) -> list[str]:
        """Return what is not complete and valid under its final name, or was lost."""
        ...

    def done(self, place: Path) -> str:
        """Say how much of the command's work is there."""
        ...

    def memory(self, place: Path) -> Any:
        """Return what a completing run must reuse; falsy if there is nothing."""
        ...

    def wasted(self, before: Any, completed: Done, place: Path) -> str | None:
        """Return what was not reused, or None."""
        ...


def texts(*arguments: object) -> list[str]:
    return [str(a) for a in arguments]


def write_pictures(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    for index in range(count):
        picture = cv2.resize(draw.integers(0, 256, (6, 8, 3), np.uint8), (200, 150))
        cv2.imwrite(str(folder / f"{index}.jpg"), picture)
    return folder


class _Verb:
    def interrupt(self, place: Path) -> None:
        return


class Calibrate(_Verb):
    name = "calibrate"
    modules = ("yolotrt.quantization.cache", "onnxruntime", "cv2", "rich.progress")
    cache = Path("calib_data/tiny.calib.json")

    def __init__(self, inputs: Path, _stack: ExitStack) -> None:
        self.pictures = write_pictures(inputs / "pictures", 30, 0)
        self.few = write_pictures(inputs / "few", 3, 1)
        self.model = write_tiny_yolo(inputs / "tiny.onnx")

    def command(self) -> list[str]:
        # With -o, since under its own name the earlier calibration of other images would stay.
        return texts("calibrate", self.model, "--images", self.pictures, "-o", self.cache, "--json", "-")

    def earlier(self) -> list[str]:
        return texts("calibrate", self.model, "--images", self.few)

    def broken(self, place: Path, over_earlier: bool) -> list[str]:
        if not (place / self.cache).exists():
            return [f"{self.cache} is gone"] if over_earlier else []
        try:
            images = len(read_ranges(place / self.cache).key.images)
        except YoloTrtError as exc:
            return [exc.message]
        return [] if images == 30 or (over_earlier and images == 3) else [f"{images} images?"]

    def done(self, place: Path) -> str:
        return calibrated(place / self.cache, images=30)

    def memory(self, place: Path) -> bool:
        return self.done(place) == EVERYTHING

    def wasted(self, before: bool, completed: Done, place: Path) -> str | None:
        return None if json.loads(completed.stdout)["cached"] else "it calibrated again"


def calibrated(cache: Path, images: int) -> str:
    if not cache.exists():
        return NOTHING
    found: CalibrationRanges = read_ranges(cache)
    return EVERYTHING if len(found.key.images) == images else EARLIER


class Build(_Verb):
    name = "build"
    modules = ("yolotrt.workflow.build", "onnxruntime", "cv2", "rich.progress")
    engine = Path("engines/tiny.int8.onnxruntime.onnx")
    cache = Path("calib_data/tiny.calib.json")

    def __init__(self, inputs: Path, _stack: ExitStack) -> None:
        self.pictures = write_pictures(inputs / "pictures", 8, 0)
        (inputs / "old").mkdir()
        (inputs / "new").mkdir()
        self.old = write_tiny_yolo(inputs / "old" / "tiny.onnx", seed=1)
        self.new = write_tiny_yolo(inputs / "new" / "tiny.onnx", seed=0)
        self.keys = {onnx_key(load_onnx(path)): path for path in (self.old, self.new)}
        self.model = inputs / "tiny.onnx"

    def command(self) -> list[str]:
        return self._build(self.new)

    def earlier(self) -> list[str]:
        return self._build(self.old)

    def _build(self, network: Path) -> list[str]:
        """The model is the same file with another content, as after another training."""
        shutil.copyfile(network, self.model)
        return texts("build", self.model, "--int8", "--images", self.pictures, "--json", "-")

    def _engine(self, place: Path) -> EngineFile:
        return read_engine(place / self.engine)

    def broken(self, place: Path, over_earlier: bool) -> list[str]:
        problems = []
        if (place / self.cache).exists():
            try:
                read_ranges(place / self.cache)
            except YoloTrtError as exc:
                problems.append(exc.message)
        if (place / self.engine).exists() or over_earlier:
            try:
                if self._engine(place).sources["onnx"] not in self.keys:
                    problems.append("an engine of neither network")
            except YoloTrtError as exc:
                problems.append(exc.message)
        return problems

    def done(self, place: Path) -> str:
        built = (place / self.engine).exists() and self._made_from_new(self._engine(place).sources["onnx"])
        cache = place / self.cache
        known = cache.exists() and self._made_from_new(read_ranges(cache).key.onnx)
        if built and known:
            return EVERYTHING
        return SOME if known else EARLIER if (place / self.engine).exists() else NOTHING

    def _made_from_new(self, key: str) -> bool:
        return self.keys[key] == self.new

    def memory(self, place: Path) -> str:
        done = self.done(place)
        return done if done in (SOME, EVERYTHING) else ""

    def wasted(self, before: str, completed: Done, place: Path) -> str | None:
        if "(cached, " not in completed.stderr:
            return "it calibrated again"
        return (
            "it built again" if before == EVERYTHING and not json.loads(completed.stdout)["cached"] else None
        )


class Export(_Verb):
    name = "export"
    modules = (
        "ultralytics",
        "torch.onnx",
        "onnxslim",
        "onnxruntime",
        "yolotrt.model.export",
        "rich.progress",
    )
    onnx = Path("engines/tiny-seg.onnx")

    def __init__(self, inputs: Path, _stack: ExitStack) -> None:
        if importlib.util.find_spec("ultralytics") is None:
            raise SystemExit("export needs the export extra: pip install -e '.[export]'")
        inputs.mkdir(parents=True)
        self.weights = inputs / "tiny-seg.yaml"
        self.weights.write_text(TINY_SEG)

    def command(self) -> list[str]:
        return self._export(64)

    def earlier(self) -> list[str]:
        return self._export(32)

    def _export(self, imgsz: int) -> list[str]:
        return texts("export", self.weights, "-o", self.onnx, "--imgsz", imgsz, "--json", "-")

    def broken(self, place: Path, over_earlier: bool) -> list[str]:
        if not (place / self.onnx).exists():
            return [f"{self.onnx} is gone"] if over_earlier else []
        try:
            load_onnx(place / self.onnx)
        except YoloTrtError as exc:
            return [exc.message]
        return []

    def done(self, place: Path) -> str:
        if not (place / self.onnx).exists():
            return NOTHING
        return EVERYTHING if metadata(load_onnx(place / self.onnx))["imgsz_px"] == "64" else EARLIER

    def memory(self, place: Path) -> bool:
        return self.done(place) == EVERYTHING

    def wasted(self, before: bool, completed: Done, place: Path) -> str | None:
        return None if json.loads(completed.stdout)["cached"] else "it exported again"


class Download(_Verb):
    name = "download"
    modules = ("yolotrt.data.coco.subset", "cv2", "httpx", "rich.progress")
    folder = Path("coco")
    images, few = 40, 12

    def __init__(self, inputs: Path, stack: ExitStack) -> None:
        self.world = make_world(80)
        server = serving(self.world, latency_s=0.02, fault=self._slow, drip_s=0.02)
        self.url = stack.enter_context(server).url

    @staticmethod
    def _slow(path: str, _nth: int) -> str | None:
        return "slow" if path.startswith("/val2017") else None

    def command(self) -> list[str]:
        return self._download(self.images)

    def earlier(self) -> list[str]:
        return self._download(self.few)

    def _download(self, images: int) -> list[str]:
        options = ("--images", images, "--out", self.folder, "--base-url", self.url, "--json", "-")
        return texts("download", *options)

    def broken(self, place: Path, over_earlier: bool) -> list[str]:
        folder = place / self.folder
        problems = [
            f"{path.name} is not the server's"
            for path in folder.rglob("*.jpg")
            if path.read_bytes() != self.world[f"/val2017/{path.name}"]
        ]
        if over_earlier and len(list(folder.rglob("*.jpg"))) < self.few:
            problems.append("images of the earlier subset are gone")
        try:
            for path in folder.glob("*.json"):
                read_json(path)
            manifest = self._manifest(place)
        except YoloTrtError as exc:
            return [*problems, exc.message]
        for entry in manifest.files if manifest else ():
            if entry.sha256 is not None and (problem := problem_of(folder / entry.file, entry)):
                problems.append(f"{entry.file} is recorded, but {problem}")
        return problems

    def _manifest(self, place: Path) -> Manifest | None:
        folder = place / self.folder
        return read_manifest(folder) if (folder / "manifest.json").exists() else None

    def done(self, place: Path) -> str:
        manifest, arrived = self._manifest(place), self.memory(place)
        if manifest and manifest.complete and arrived >= self.images:
            return EVERYTHING
        if manifest and manifest.complete:
            return EARLIER
        return SOME if arrived else NOTHING

    def memory(self, place: Path) -> int:
        return len(list((place / self.folder).rglob("*.jpg")))

    def wasted(self, before: int, completed: Done, place: Path) -> str | None:
        report = json.loads(completed.stdout)
        again = report["fetched"] - (self.images - min(before, self.images))
        return f"{again} images were fetched again" if again > 0 else None


class Bench(_Verb):
    name = "bench"
    modules = ("yolotrt.bench.run", "yolotrt.workflow.catalog", "onnxruntime", "cv2", "rich.progress")
    result = Path("result.json")

    def __init__(self, inputs: Path, _stack: ExitStack) -> None:
        self.picture = write_pictures(inputs / "picture", 1, 0) / "0.jpg"
        model = write_tiny_yolo(inputs / "tiny.onnx")
        request = BuildRequest(model, backend="onnxruntime", engines=inputs)
        self.engine = build_engine(request, say=lambda _message: None).file.path

    def command(self) -> list[str]:
        options = ("--groups", "1,2", "--mode", "tiled", "--dispatch", "serial", "--threads", 1)
        limits = ("--warmup", 1, "--duration", 1, "--resume", "-o", self.result, "--csv", "result.csv")
        return texts("bench", self.engine, "--source", self.picture, *options, *limits)

    def earlier(self) -> list[str]:
        """Measure a fifth of it: the killed run then continues something."""
        command = self.command()
        command[command.index("--duration") + 1] = "0.2"
        return command

    def interrupt(self, place: Path) -> None:
        document = json.loads((place / self.result).read_text())
        (place / self.result).write_text(json.dumps({**document, "stopped": None}))
        (place / "result.csv").unlink()

    def broken(self, place: Path, over_earlier: bool) -> list[str]:
        if not (place / self.result).exists():
            return [f"{self.result} is gone"] if over_earlier else []
        try:
            result = read_result(place / self.result)
        except YoloTrtError as exc:
            return [exc.message]
        rounds = {len(values) for case in result.cases for values in case.samples.values()}
        # A result is saved after every case, so some may be a round ahead.
        problems = [] if max(rounds) - min(rounds) <= 1 else [f"cases of {rounds} rounds"]
        if (place / "result.csv").exists():
            widths = {len(row) for row in csv.reader(io.StringIO((place / "result.csv").read_text()))}
            problems += [] if len(widths) == 1 else ["result.csv is incomplete"]
        return problems

    def done(self, place: Path) -> str:
        if not (place / self.result).exists():
            return NOTHING
        complete = read_result(place / self.result).complete and (place / "result.csv").exists()
        return EVERYTHING if complete else SOME

    def memory(self, place: Path) -> RunResult | None:
        return read_result(place / self.result) if (place / self.result).exists() else None

    def wasted(self, before: RunResult, completed: Done, place: Path) -> str | None:
        after = read_result(place / self.result)
        for old, new in zip(before.cases, after.cases, strict=True):
            samples = (list(case.samples["end_to_end"])[: before.rounds] for case in (new, old))
            if next(samples) != next(samples):
                return f"{before.rounds} measured rounds were thrown away"
        return None


VERBS = {verb.name: verb for verb in (Calibrate, Build, Export, Download, Bench)}
