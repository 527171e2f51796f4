"""Inputs and engines of the benchmarks of ``yolotrt batch`` and ``serve``, made from numbers alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.tiny_yolo import write_tiny_yolo
from yolotrt.data.scenes.scene import make_scene
from yolotrt.workflow.build import BuildRequest, build_engine

NETWORK = Path(__file__).parents[1] / "yolotrt/data/assets/demo-yolo26-seg.onnx"
SCENES = 20
"""Different ones; drawing more takes longer than looking at them."""


@dataclass(frozen=True)
class World:
    """What is looked at.

    Attributes:
        engine: The engine.
        pictures: Folder of pictures.
        video: A video; none where there is no use for one.
    """

    engine: Path
    pictures: Path
    video: Path | None = None


def make_world(folder: Path, pictures: int, *, wh: tuple[int, int] = (200, 150), frames: int = 120) -> World:
    """Write small inputs and build the engine of a tiny network: nearly all time is spent beside it."""
    from tests.data.clips import clip  # PyAV, which reading results needs not

    engine = _engine(folder, write_tiny_yolo(folder / "tiny.onnx"))
    (folder / "pictures").mkdir()
    draw = np.random.default_rng(0)
    for index in range(pictures):
        picture = cv2.resize(draw.integers(0, 256, (6, 8, 3), np.uint8), wh)
        cv2.imwrite(str(folder / "pictures" / f"{index:05d}.jpg"), picture)
    video = clip(folder / "clip.mp4", frames, options={"g": "12"})
    return World(engine, folder / "pictures", video)


def demo_world(folder: Path, pictures: int, *, wh: tuple[int, int]) -> World:
    """Write scenes, each as often as is needed, and build the engine of the demo network (640 x 640)."""
    engine = _engine(folder, NETWORK)
    (folder / "pictures").mkdir()
    scenes = [
        cv2.imencode(".jpg", make_scene(seed, wh).image)[1].tobytes() for seed in range(min(SCENES, pictures))
    ]
    for index in range(pictures):
        (folder / "pictures" / f"{index:05d}.jpg").write_bytes(scenes[index % SCENES])
    return World(engine, folder / "pictures")


def _engine(folder: Path, model: Path) -> Path:
    request = BuildRequest(model, backend="onnxruntime", engines=folder)
    return build_engine(request, say=lambda _message: None).file.path


def results(out: Path) -> dict[str, bytes]:
    """Return the results of a batch, by name."""
    return {path.name: path.read_bytes() for path in sorted((out / "shards").glob("*.jsonl"))}


def states(out: Path) -> dict[str, tuple[int, int]]:
    """Return which file each result is, and when it was written: computed again, it would be another."""
    found = sorted((out / "shards").glob("*.jsonl"))
    return {path.name: (state.st_ino, state.st_mtime_ns) for path in found if (state := path.stat())}


def report(out: Path) -> dict[str, object]:
    """Return the report of the last run."""
    found: dict[str, object] = json.loads((out / "report.json").read_text())
    return found
