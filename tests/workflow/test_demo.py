"""The carried model on scenes nobody trained on: a loss of accuracy anywhere in the chain fails here."""

from __future__ import annotations

from pathlib import Path

from yolotrt.artifacts.files import write_bytes
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.data.scenes.files import write_scenes
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import CALIBRATION_SEED, HELD_OUT_SEED, demo_model
from yolotrt.workflow.evaluate import evaluate_engines


def test_int8_keeps_the_accuracy_of_the_demo_model(tmp_path: Path) -> None:
    model = write_bytes(tmp_path / "demo.onnx", demo_model())
    write_scenes(tmp_path / "calibration", 1, CALIBRATION_SEED)

    def build(precision: Precision) -> EngineFile:
        request = BuildRequest(
            model,
            precision,
            backend="onnxruntime",
            images=tmp_path / "calibration" / "images",
            algorithm="minmax",
            tile_overlap=0.2,
            engines=tmp_path,
            calib_data=tmp_path,
        )
        return build_engine(request, say=lambda _m: None).file

    truth = load_ground_truth(write_scenes(tmp_path / "tiles", 2, HELD_OUT_SEED, tile=640))
    fp32, int8 = evaluate_engines(
        [build("fp32"), build("int8")], truth, tmp_path / "tiles" / "images", threads=2
    )
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
