"""The whole story on one machine: scenes, calibration, engines, sweep, pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import write_bytes
from yolotrt.backends.base import Engine, EngineFile, Precision
from yolotrt.backends.registry import load_engine
from yolotrt.bench.environment import environment
from yolotrt.bench.result import RunResult, write_result
from yolotrt.bench.sweep import SweepSettings, sweep
from yolotrt.data.scenes import Scene, make_scene
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.tiled import PASS_MODES, PassMode, PipelineSettings, TiledPipeline
from yolotrt.progress import Progress, no_progress
from yolotrt.workflow.build import BuildRequest, build_engine

MODEL = "demo-yolo26-seg.onnx"
SCENE_SEED = 2026
CALIBRATION_SEED = 500_000
"""Seeds of calibration scenes start here, away from those of training and evaluation."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo made.

    Attributes:
        result: The sweep.
        result_file: Where its raw samples lie.
        scene: The frame that was measured.
        found: Detections of the INT8 engine by pass.
        engines: The engines, by precision.
    """

    result: RunResult
    result_file: Path
    scene: Scene
    found: dict[PassMode, Detections]
    engines: dict[Precision, EngineFile]


def run_demo(
    out: Path,
    settings: SweepSettings,
    *,
    calibration_scenes: int,
    progress: Progress = no_progress,
    say: Say = print,
) -> DemoOutcome:
    """Calibrate and build the carried model, measure it on a 4K scene, and detect what is in it.

    Args:
        out: Folder for everything that is made; what is up to date in it is used again.
        settings: What to measure.
        calibration_scenes: Number of 4K scenes to calibrate on.
        progress: Told about long steps.
        say: Told one line about each step.

    Raises:
        YoloTrtError: A step failed.
    """
    model = write_bytes(out / MODEL, demo_model())
    scene = make_scene(SCENE_SEED)
    write_picture(out / "scene.png", scene.image)
    images = _calibration_images(out / "calibration", calibration_scenes, progress)
    built = {
        precision: build_engine(
            BuildRequest(
                model,
                precision,
                backend="onnxruntime",
                images=images,
                tile_overlap=settings.overlap,
                engines=out,
                calib_data=out,
            ),
            progress=progress,
            say=say,
        ).file
        for precision in PRECISIONS
    }
    loaded = {precision: load_engine(file) for precision, file in built.items()}
    try:
        cases = sweep(tuple(loaded.values()), [scene.image], settings, progress)
        found = _detect(loaded["int8"], scene, settings)
    finally:
        for engine in loaded.values():
            engine.close()
    result = RunResult(
        settings={**vars(settings), "source": f"scene {SCENE_SEED}"},
        environment={
            **environment(settings.threads),
            "engines": {f.path.name: {"sha256": f.sha256} for f in built.values()},
        },
        cases=cases,
    )
    return DemoOutcome(result, write_result(out / "result.json", result), scene, found, built)


def demo_model() -> bytes:
    """Return the ONNX file that is carried in the package."""
    return (files("yolotrt.data") / "assets" / MODEL).read_bytes()


def write_picture(target: Path, image: npt.NDArray[np.uint8]) -> Path:
    """Write a picture in the format of its file name, atomically.

    Raises:
        StorageError: It cannot be written.
    """
    done, data = cv2.imencode(target.suffix, image)
    if not done:
        raise ValueError(f"OpenCV cannot write {target.suffix} files")
    return write_bytes(target, data.tobytes())


def _calibration_images(folder: Path, count: int, progress: Progress) -> Path:
    for index in range(count):
        progress("draw calibration scenes", index, count)
        target = folder / f"{index:03}.png"
        if not target.exists():
            write_picture(target, make_scene(CALIBRATION_SEED + index).image)
    progress("draw calibration scenes", count, count)
    return folder


def _detect(engine: Engine, scene: Scene, settings: SweepSettings) -> dict[PassMode, Detections]:
    found: dict[PassMode, Detections] = {}
    for mode in PASS_MODES:
        pipeline = PipelineSettings(mode, overlap=settings.overlap, cpu_threads=settings.threads)
        with TiledPipeline(engine, pipeline) as run:
            found[mode] = run(scene.image).detections
    return found


def small_object_recall(scene: Scene, found: Detections, *, largest_px: int = 96) -> float | None:
    """Return the part of the scene's small objects that were found, or None if it has none.

    An object is small when its box's longer side is at most ``largest_px``; it counts as found when a
    detection of its class overlaps its box by an IoU of at least 0.5.
    """
    small = [i for i in scene.instances if max(i.box[2:] - i.box[:2]) <= largest_px]
    if not small:
        return None
    hits = 0
    for instance in small:
        same = found.boxes[found.classes == instance.class_id]
        hits += bool(len(same)) and bool((box_overlap(instance.box[None], same) >= 0.5).any())
    return hits / len(small)
