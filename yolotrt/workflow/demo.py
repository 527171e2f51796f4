"""The complete job on one machine: scenes, calibration, engines, sweep, accuracy, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import write_bytes
from yolotrt.artifacts.folders import named
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.loading import load_engine
from yolotrt.backends.names import EMBEDDED
from yolotrt.bench.budgets import NO_BUDGETS, Budgets
from yolotrt.bench.result import RunResult, write_result
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.data.images import EXTENSIONS
from yolotrt.data.scenes.files import write_scenes
from yolotrt.data.scenes.scene import Scene, SceneInstance, make_scene
from yolotrt.evaluation import recall
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.tiled import PASS_MODES, PassMode
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.quantization.witness import CALIBRATED_ON
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.evaluate import EngineAccuracy, evaluate_modes
from yolotrt.workflow.passes import BOTH_NOTE, measure_both

MODEL = "demo-yolo26-seg.onnx"

SCENE_SEED = 2026
CALIBRATION_SEED = 500_000
HELD_OUT_SEED = 600_000
"""Seeds of the three kinds of scenes; training used seeds from 1,000,000."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
NAMES = (
    *("scene.png", "demo.onnx", "result.json", "report.html", "global-and-tiled.jpg"),
    *(f"accuracy-{mode}.json" for mode in PASS_MODES),
    *(f"found-{mode.replace('+', '-')}.jpg" for mode in PASS_MODES),
)
FILES = named(*NAMES)
"""What the demo writes into its folder; scenes, engines and calibration have rules of their own."""


def watched(folder: Path) -> Iterator[Path]:
    """Watch what the demo writes, and pictures that its own would lie among."""
    beside = (path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    yield from dict.fromkeys([*FILES(folder), *beside])


@dataclass(frozen=True)
class DemoSettings:
    """How much the demo does.

    Attributes:
        out: Folder for everything that is made; what is up to date in it is used again.
        sweep: What is measured.
        calibration_scenes: 4K scenes to calibrate on.
        held_out_scenes: 4K scenes to measure the accuracy on.
        overwrite: Replace also files in the folder that no demo wrote.
        budgets: What the frame may take, for the record.
    """

    out: Path
    sweep: SweepSettings
    calibration_scenes: int = 8
    held_out_scenes: int = 4
    overwrite: bool = False
    budgets: Budgets = NO_BUDGETS


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo made.

    Attributes:
        result: The sweep, and both passes together in the way that was fastest for the tiles.
        result_file: Where its raw samples lie.
        accuracy: Accuracy of the engines by pass.
        scene: The frame that was measured.
        found: Detections of the INT8 engine in it, by pass.
        names: Class names by index.
    """

    result: RunResult
    result_file: Path
    accuracy: dict[PassMode, list[EngineAccuracy]]
    scene: Scene
    found: dict[PassMode, Detections]
    names: tuple[str, ...]


def run_demo(settings: DemoSettings, *, progress: Progress = no_progress, say: Say = print) -> DemoOutcome:
    """Calibrate and build the carried model, measure it on a 4K scene, and find what is in it.

    Args:
        settings: How much to do.
        progress: Told about long steps.
        say: Told one line about each step.

    Raises:
        YoloTrtError: A step failed.
    """
    out = settings.out
    scene = make_scene(SCENE_SEED)
    write_picture(out / "scene.png", scene.image)
    write_scenes(
        out / "calibration",
        settings.calibration_scenes,
        CALIBRATION_SEED,
        overwrite=settings.overwrite,
        progress=progress,
    )
    built = _build(settings, progress, say)
    loaded = {precision: load_engine(file) for precision, file in built.items()}
    request = RunRequest(
        settings.sweep,
        f"scene {SCENE_SEED}",
        settings.budgets,
        output=out / "result.json",
        overwrite=settings.overwrite,
    )
    try:
        pairs = [EnginePair(engine) for engine in loaded.values()]
        result = run_bench(pairs, [scene.image], request, progress=progress, say=say)
        both = {p: measure_both(e, scene.image, result, settings.sweep) for p, e in loaded.items()}
        result = replace(result, cases=(*result.cases, *(b.case for b in both.values())))
        result = replace(result, notes=(*result.notes, BOTH_NOTE))
        write_result(out / "result.json", result)
    finally:
        for engine in loaded.values():
            engine.close()
    accuracy = _evaluate(settings, list(built.values()), progress)
    names = built["int8"].spec.names
    return DemoOutcome(result, out / "result.json", accuracy, scene, both["int8"].found, names)


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


def small_objects(scene: Scene) -> list[SceneInstance]:
    """Return the scene's objects that are small; see :mod:`yolotrt.evaluation.recall`."""
    return [i for i in scene.instances if recall.are_small(i.box[None])[0]]


def are_found(objects: Sequence[SceneInstance], found: Detections) -> npt.NDArray[np.bool_]:
    """Return for each object of a scene whether it is found, (n,)."""
    boxes = np.array([item.box for item in objects], np.float32).reshape(-1, 4)
    return recall.are_found(boxes, np.array([item.class_id for item in objects], np.int64), found)


def _build(settings: DemoSettings, progress: Progress, say: Say) -> dict[Precision, EngineFile]:
    out = settings.out
    model = write_bytes(out / "demo.onnx", demo_model())
    built = {}
    for precision in PRECISIONS:
        request = BuildRequest(
            model,
            precision,
            backend=EMBEDDED,
            images=out / "calibration" / "images",
            # Calibration scenes are drawn like the measured ones, so there are no outliers to cut off.
            algorithm="minmax",
            tile_overlap=settings.sweep.overlap,
            engines=out,
            calib_data=out,
            overwrite=settings.overwrite,
        )
        built[precision] = build_engine(request, progress=progress, say=_on_purpose(say)).file
    return built


def _on_purpose(say: Say) -> Say:
    """Say as a note what would be a warning if the demo had not chosen it."""

    def told(message: str) -> None:
        if message.startswith(f"warning: {CALIBRATED_ON}"):
            message = (
                "note: the demo calibrates on few scenes, which are alike; give yours about 100 pictures"
            )
        say(message)

    return told


def _evaluate(
    settings: DemoSettings, engines: list[EngineFile], progress: Progress
) -> dict[PassMode, list[EngineAccuracy]]:
    folder = settings.out / "held-out"
    truth = load_ground_truth(
        write_scenes(
            folder,
            settings.held_out_scenes,
            HELD_OUT_SEED,
            overwrite=settings.overwrite,
            progress=progress,
        )
    )
    sweep = settings.sweep
    return evaluate_modes(
        engines,
        truth,
        folder / "images",
        modes=PASS_MODES,
        overlap=sweep.overlap,
        threads=sweep.threads,
        progress=progress,
    )
