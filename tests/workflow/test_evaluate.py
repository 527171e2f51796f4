"""An engine measured against its own detections is perfect; one of other weights is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from tests.tiny_yolo import write_tiny_yolo
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.data.images import list_images, read_image
from yolotrt.errors import ArtifactError, ExecutionError, InputError, UsageError
from yolotrt.evaluation.comparison import Difference
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.geometry.rle import coco_rle
from yolotrt.pipeline.tiled import PassMode, TiledPipeline
from yolotrt.workflow.accuracy_file import DOCUMENT, AccuracyFile
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.catalog import find_reference
from yolotrt.workflow.evaluate import COCO_DECODE, MaxDrop, evaluate_engines


def tiny_engine(folder: Path, seed: int = 0) -> EngineFile:
    onnx = write_tiny_yolo(folder / f"tiny{seed}.onnx", seed=seed)
    return build_engine(BuildRequest(onnx, engines=folder / "engines"), say=lambda _m: None).file


def annotate(engine: EngineFile, pictures: Path, target: Path, mode: PassMode = "global") -> Path:
    """Write an engine's own detections as the truth."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with TiledPipeline.open(engine.path, mode=mode, decode=COCO_DECODE) as pipeline:
        for number, path in enumerate(list_images(pictures), 1):
            image = read_image(path)
            height, width = image.shape[:2]
            images.append({"id": number, "file_name": path.name, "width": width, "height": height})
            found = pipeline(image).detections
            assert found.masks is not None
            for i in range(min(len(found), 100)):
                if not found.masks[i].area:
                    continue
                rle = coco_rle(found.masks[i], (width, height))
                left, top, right, bottom = (float(v) for v in found.boxes[i])
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": int(found.classes[i]) + 1,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": float(found.masks[i].area),
                        "iscrowd": 0,
                        "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    }
                )
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(engine.spec.names)]
    target.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return target


def test_an_engine_agrees_with_itself_and_not_with_another(tmp_path: Path, pictures: Path) -> None:
    files = [tiny_engine(tmp_path), tiny_engine(tmp_path, seed=1)]
    truth = load_ground_truth(annotate(files[0], pictures, tmp_path / "a.json"))
    own, other = evaluate_engines(files, truth, pictures)
    assert own.comparison is None
    assert own.evaluation.accuracy.box.ap is not None
    assert own.evaluation.accuracy.box.ap > 0.9
    assert other.comparison is not None
    assert other.comparison.box.absolute < -0.3
    assert MaxDrop.parse("1%").outcome(other.comparison.box) == "failed"
    written = DOCUMENT.write(tmp_path / "e.json", AccuracyFile("global", (own.figures(), other.figures())))
    assert DOCUMENT.read(written).engines[1].comparison == other.comparison


def test_an_image_of_another_size_is_refused(tmp_path: Path, pictures: Path) -> None:
    engine = tiny_engine(tmp_path)
    path = annotate(engine, pictures, tmp_path / "a.json")
    shutil.copy(pictures / "1.png", pictures / "0.png")
    with pytest.raises(ArtifactError, match="in the annotations"):
        evaluate_engines([engine], load_ground_truth(path), pictures)


def test_nan_outputs_are_named_and_never_scored_as_nothing(tmp_path: Path, pictures: Path) -> None:
    truth = load_ground_truth(annotate(tiny_engine(tmp_path), pictures, tmp_path / "a.json"))
    model = onnx.load(tmp_path / "tiny0.onnx")
    for weight in model.graph.initializer:
        if weight.name == "join.head.bias":
            weight.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(weight) * float("nan"), weight.name)
            )
    onnx.save(model, tmp_path / "broken.onnx")
    broken = admit(tmp_path / "broken.onnx", trust=True)  # building refuses it
    with pytest.raises(ExecutionError, match="NaN"):
        evaluate_engines([broken], truth, pictures)


@pytest.mark.parametrize(
    ("text", "loss", "exceeded"),
    [
        ("1%", 0.003, False),
        ("1%", 0.005, True),
        ("0.5pt", 0.004, False),
        ("0.5pt", 0.006, True),
        ("0%", 0.0001, True),
        ("1%", -0.1, False),
    ],
)
def test_bounds_are_relative_or_in_points(text: str, loss: float, exceeded: bool) -> None:
    difference = Difference(0.4, 0.4 - loss, -loss, -loss / 0.4, -loss - 1e-4, -loss + 1e-4, False)
    assert MaxDrop.parse(text).beyond(difference) is exceeded
    assert MaxDrop.parse(text).outcome(difference) == ("failed" if exceeded else "passed")
    assert str(MaxDrop.parse(text)) == text


@pytest.mark.parametrize("text", ["1%", "0.5pt"])
def test_a_loss_that_may_be_noise_does_not_fail_and_one_that_could_be_anything_is_undecided(
    text: str,
) -> None:
    """The same loss of one point of 40, known ever better: not at all, by three images, by hundreds."""

    def judged(low: float | None, high: float | None) -> str:
        noise = low is None or high is None or low <= 0 <= high
        return MaxDrop.parse(text).outcome(Difference(0.4, 0.39, -0.01, -0.025, low, high, noise))

    assert judged(None, None) == "undecided"
    assert judged(-0.08, 0.05) == "undecided"
    assert judged(-0.019, 0.001) == "passed"
    assert judged(-0.019, -0.001) == "failed"
    within = MaxDrop.parse("10%").outcome(Difference(0.4, 0.39, -0.01, -0.025, -0.08, 0.05, True))
    assert within == "undecided"
    assert MaxDrop.parse("50%").outcome(Difference(0.4, 0.39, -0.01, -0.025, -0.08, 0.05, True)) == "passed"


def test_the_same_detections_pass_on_any_number_of_images_unless_there_are_none() -> None:
    same = Difference(0.4, 0.4, 0.0, 0.0, None, None, True)
    assert MaxDrop.parse("0%").outcome(same) == "passed"
    nothing = Difference(0.0, 0.0, 0.0, None, 0.0, 0.0, True)
    for bound in ("1%", "1pt"):
        assert MaxDrop.parse(bound).outcome(nothing) == "undecided"


@pytest.mark.parametrize("text", ["1", "%", "-1%", "1 percent", ""])
def test_a_bound_without_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-drop"):
        MaxDrop.parse(text)


def test_the_fp32_reference_is_found_by_its_network(tmp_path: Path) -> None:
    first, _ = tiny_engine(tmp_path), tiny_engine(tmp_path, seed=1)
    assert find_reference("fp32", first, tmp_path / "engines") == first
    with pytest.raises(InputError, match="no fp32 engine") as caught:
        find_reference("fp32", first, tmp_path / "elsewhere")
    assert "yolotrt build" in (caught.value.hint or "")
