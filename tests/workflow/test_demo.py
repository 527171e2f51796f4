"""The carried model on scenes nobody trained on: a loss of accuracy anywhere in the chain fails here."""

from __future__ import annotations

from pathlib import Path

from yolotrt.artifacts.files import write_bytes
from yolotrt.backends.loading import load_engine
from yolotrt.data.scenes.files import write_scenes
from yolotrt.data.scenes.scene import make_scene
from yolotrt.evaluation.coco import evaluate
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import HELD_OUT_SEED, are_found, demo_model, small_objects
from yolotrt.workflow.look import by_pass


def test_tiles_and_frame_merge_without_loss_and_show_what_the_frame_misses(tmp_path: Path) -> None:
    model = write_bytes(tmp_path / "demo.onnx", demo_model())
    request = BuildRequest(model, "fp32", backend="onnxruntime", engines=tmp_path)
    engine = build_engine(request, say=lambda _m: None).file
    truth = load_ground_truth(write_scenes(tmp_path, 1, HELD_OUT_SEED + 2))
    settings = PipelineSettings("tiled+global", cpu_threads=2)
    scene = make_scene(HELD_OUT_SEED + 2)
    with TiledPipeline(load_engine(engine, "cpu"), settings) as pipeline:
        result = pipeline(scene.image)
    (image,) = truth.images
    accuracy = evaluate(truth, engine.spec.names, [(image.id, result.detections)]).accuracy
    assert accuracy.box.ap is not None
    assert accuracy.mask is not None
    assert accuracy.mask.ap is not None
    assert accuracy.box.ap > 0.70
    assert accuracy.mask.ap > 0.65

    passes = by_pass(result, image.size_wh, engine, settings)
    small = small_objects(scene)
    recall = {mode: are_found(small, passes[mode]).mean() for mode in ("global", "tiled+global")}
    assert recall["tiled+global"] > max(0.85, 3 * recall["global"])
