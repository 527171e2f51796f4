"""The carried model on scenes nobody trained on: a loss of accuracy anywhere in the chain fails here."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolotrt.artifacts.files import write_bytes
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.loading import load_engine
from yolotrt.data.scenes.files import write_scenes
from yolotrt.data.scenes.scene import make_scene
from yolotrt.evaluation.coco import evaluate
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import CALIBRATION_SEED, HELD_OUT_SEED, are_found, demo_model, small_objects
from yolotrt.workflow.evaluate import evaluate_engines
from yolotrt.workflow.look import by_pass


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineFile, EngineFile]:
    """The carried model as FP32 and INT8 engines, calibrated on one scene."""
    folder = tmp_path_factory.mktemp("engines")
    model = write_bytes(folder / "demo.onnx", demo_model())
    write_scenes(folder / "calibration", 1, CALIBRATION_SEED, (1152, 640))  # two tiles

    def build(precision: Precision) -> EngineFile:
        request = BuildRequest(
            model,
            precision,
            backend="onnxruntime",
            images=folder / "calibration" / "images",
            algorithm="minmax",
            tile_overlap=0.2,
            engines=folder,
            calib_data=folder,
        )
        return build_engine(request, say=lambda _m: None).file

    return build("fp32"), build("int8")


def test_int8_keeps_the_accuracy_of_the_demo_model(
    engines: tuple[EngineFile, EngineFile], tmp_path: Path
) -> None:
    truth = load_ground_truth(write_scenes(tmp_path / "tiles", 1, HELD_OUT_SEED, tile=640))
    fp32, int8 = evaluate_engines(engines, truth, tmp_path / "tiles" / "images", threads=2)
    found = fp32.evaluation.accuracy
    assert found.box.ap is not None
    assert found.mask is not None
    assert found.mask.ap is not None
    assert found.box.ap > 0.70
    assert found.mask.ap > 0.65
    assert int8.comparison is not None
    assert int8.comparison.mask is not None
    assert int8.comparison.box.relative is not None
    assert int8.comparison.box.relative > -0.03
    assert int8.comparison.mask.absolute > -0.03


def test_tiles_and_frame_merge_without_loss_and_show_what_the_frame_misses(
    engines: tuple[EngineFile, EngineFile], tmp_path: Path
) -> None:
    truth = load_ground_truth(write_scenes(tmp_path, 1, HELD_OUT_SEED + 2))
    settings = PipelineSettings("tiled+global", cpu_threads=2)
    scene = make_scene(HELD_OUT_SEED + 2)
    with TiledPipeline(load_engine(engines[0], "cpu"), settings) as pipeline:
        result = pipeline(scene.image)
    (image,) = truth.images
    accuracy = evaluate(truth, engines[0].spec.names, [(image.id, result.detections)]).accuracy
    assert accuracy.box.ap is not None
    assert accuracy.mask is not None
    assert accuracy.mask.ap is not None
    assert accuracy.box.ap > 0.70
    assert accuracy.mask.ap > 0.65

    passes = by_pass(result, image.size_wh, engines[0], settings)
    small = small_objects(scene)
    recall = {mode: are_found(small, passes[mode]).mean() for mode in ("global", "tiled+global")}
    assert recall["tiled+global"] > max(0.85, 3 * recall["global"])
