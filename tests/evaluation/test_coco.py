from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.worlds import NAMES, detect, pycocotools_says, world
from yolotrt.errors import ArtifactError
from yolotrt.evaluation.coco import Evaluator, evaluate
from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.mask import clip_mask
from yolotrt.geometry.rle import decode_rle


@pytest.mark.parametrize("seed", range(8))
def test_equals_pycocotools(tmp_path: Path, seed: int) -> None:
    path, truth = world(tmp_path, seed)
    results = detect(truth, seed + 100)
    accuracy = evaluate(truth, NAMES, results.items()).accuracy
    for kind, ours in (("bbox", accuracy.box), ("segm", accuracy.mask)):
        assert ours is not None
        figures, precision = pycocotools_says(path, results, kind)
        mine = [ours.ap, ours.ap50, ours.ap75, ours.small, ours.medium, ours.large]
        np.testing.assert_allclose([-1 if m is None else m for m in mine], figures, atol=1e-12)
        for k, name in enumerate(NAMES):
            expected = precision[:, :, k]
            if (expected < 0).all():
                assert ours.per_class[name] is None
            else:
                assert ours.per_class[name] == pytest.approx(expected.mean(), abs=1e-12)


def test_more_than_100_detections_of_a_class(tmp_path: Path) -> None:
    path, truth = world(tmp_path, 3, images=2)
    one = detect(truth, 5)
    rng = np.random.default_rng(0)
    results = {}
    for image_id, found in one.items():
        many = Detections.concatenate([found] * 40)
        results[image_id] = dataclasses.replace(many, scores=rng.random(len(many)).astype(np.float32))
    accuracy = evaluate(truth, NAMES, results.items()).accuracy
    figures, _ = pycocotools_says(path, results, "bbox")
    np.testing.assert_allclose([accuracy.box.ap, accuracy.box.ap50], figures[:2], atol=1e-12)
    assert accuracy.detections == sum(map(len, results.values()))


def test_perfect_detections_have_a_precision_of_one(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    accuracy = evaluate(truth, NAMES, _perfect(truth).items()).accuracy
    assert accuracy.box.ap == accuracy.box.small == accuracy.box.per_class["cat"] == pytest.approx(1)
    assert accuracy.mask is not None
    assert accuracy.mask.ap == pytest.approx(1)
    assert accuracy.box.per_class["bee"] is None
    assert json.loads(json.dumps(dataclasses.asdict(accuracy)))["box"]["ap"] == accuracy.box.ap


def test_no_detections_at_all(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    accuracy = evaluate(truth, NAMES, [(i.id, Detections.empty()) for i in truth.images]).accuracy
    assert accuracy.box.ap == 0
    assert accuracy.mask is not None
    assert accuracy.mask.ap == accuracy.detections == 0


def test_detections_without_masks_are_judged_by_boxes_alone(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    results = {key: dataclasses.replace(d, masks=None) for key, d in detect(truth, 1).items()}
    evaluation = evaluate(truth, NAMES, results.items())
    assert evaluation.accuracy.mask is None
    assert evaluation.masks is None


def test_classes_map_by_name(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    results = _perfect(truth)
    order = [2, 0, 1, 4]  # the model knows its own classes, in its own order
    names = [" Dog", "horse", "cat", "sofa", "cow"]
    back = {NAMES.index("cat"): 2, NAMES.index("dog"): 0, NAMES.index("cow"): 4}
    mapped = {
        key: dataclasses.replace(d, classes=np.array([back[int(c)] for c in d.classes], np.int64))
        for key, d in results.items()
    }
    accuracy = evaluate(truth, names, mapped.items()).accuracy
    assert accuracy.box.ap == pytest.approx(1)
    assert accuracy.unknown_classes == ("horse", "sofa")
    assert accuracy.unmeasured_classes == ()  # there is no bee
    assert set(order) <= set(range(5))


def test_objects_of_a_class_that_the_model_does_not_know_do_not_count(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    cats = {key: d.take(d.classes == 0) for key, d in _perfect(truth).items()}
    accuracy = evaluate(truth, ["cat"], cats.items()).accuracy
    assert accuracy.box.ap == pytest.approx(1)
    assert accuracy.unmeasured_classes == ("dog", "cow")
    assert accuracy.objects == sum(
        np.count_nonzero((o.categories == 3) & ~o.crowd) for o in truth.objects.values()
    )


def test_objects_that_do_not_count_are_nothing_to_measure(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    with pytest.raises(ArtifactError, match="None of the annotated objects counts"):
        Evaluator(truth, ["bee"])
    crowds = {k: dataclasses.replace(o, crowd=np.ones_like(o.crowd)) for k, o in truth.objects.items()}
    with pytest.raises(ArtifactError, match="crowds"):
        Evaluator(dataclasses.replace(truth, objects=crowds), NAMES)


def test_no_class_in_common(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    with pytest.raises(ArtifactError, match="None of the model's 2 classes"):
        Evaluator(truth, ["screw", "nut"])


def test_each_image_once(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    evaluator = Evaluator(truth, NAMES)
    evaluator.add(0, Detections.empty())
    with pytest.raises(ValueError, match="added before"):
        evaluator.add(0, Detections.empty())
    with pytest.raises(ValueError, match="not annotated"):
        evaluator.add(99, Detections.empty())
    with pytest.raises(ValueError, match="some have none"):
        evaluator.add(1, Detections.empty(masks=False))
    with pytest.raises(ValueError, match="not added"):
        evaluator.result()


@pytest.mark.real
def test_equals_pycocotools_on_real_annotations(test_data: Path) -> None:
    """Real crowds and polygons; the detections are the annotations of a network with a tremor."""
    path = test_data / "coco-mini" / "val" / "instances.json"
    truth = load_ground_truth(path)
    names = list(truth.categories.values())
    rng = np.random.default_rng(0)
    results = {}
    for image_id, found in _perfect(truth, names).items():
        dx, dy = rng.integers(-6, 7, 2)
        image = next(i for i in truth.images if i.id == image_id)
        kept = found.take(rng.random(len(found)) < 0.9).moved(int(dx), int(dy))
        results[image_id] = _inside(kept, image.size_wh, rng)
    accuracy = evaluate(truth, names, results.items()).accuracy
    for kind, ours in (("bbox", accuracy.box), ("segm", accuracy.mask)):
        assert ours is not None
        figures, _ = pycocotools_says(path, results, kind)
        mine = [ours.ap, ours.ap50, ours.ap75, ours.small, ours.medium, ours.large]
        np.testing.assert_allclose(mine, figures, atol=1e-12)


def _perfect(truth: GroundTruth, names: list[str] | tuple[str, ...] = NAMES) -> dict[int, Detections]:
    """What a perfect network would find: the annotated objects themselves, crowds left out."""
    results = {}
    for image_id, objects in truth.objects.items():
        boxes = objects.boxes.copy()
        boxes[:, 2:] += boxes[:, :2]
        classes = np.array([names.index(truth.categories[int(c)]) for c in objects.categories], np.int64)
        masks = tuple(decode_rle(m) for m in objects.masks)
        scores = np.linspace(0.9, 0.8, len(boxes)).astype(np.float32)
        every = Detections(boxes.astype(np.float32), scores, classes, masks)
        results[image_id] = every.take(~objects.crowd)
    return results


def _inside(found: Detections, image_wh: tuple[int, int], rng: np.random.Generator) -> Detections:
    """Clip moved masks to the image and give the detections scores as a network would."""
    masks = tuple(clip_mask(m, 0, 0, *image_wh) for m in found.masks or ())
    return dataclasses.replace(found, masks=masks, scores=rng.random(len(found)).astype(np.float32))
