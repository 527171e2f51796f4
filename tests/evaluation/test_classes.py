"""Classes and categories match by name, also where several categories share one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.worlds import NAMES, detect, pycocotools_says, write_world
from yolotrt.evaluation.classes import map_classes
from yolotrt.evaluation.coco import evaluate
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.evaluation.recall import SmallRecall


@pytest.mark.parametrize(
    ("categories", "names", "category", "same"),
    [
        ({1: "red", 90: "red"}, ["red"], [1], {90: 1}),
        ({1: "red", 90: "Red"}, ["red"], [1], {90: 1}),
        ({1: "Red", 90: "red"}, ["red"], [90], {1: 90}),
        ({1: "Red", 5: "RED", 90: "RED"}, ["red"], [1], {5: 1, 90: 1}),
        ({1: "red", 90: "Red"}, ["Red", "red"], [90, 1], {}),
        ({1: "red", 2: "Red", 3: "RED"}, ["Red", "red"], [2, 1], {}),
        ({1: "traffic_light"}, ["traffic light", "bus"], [1, -1], {}),
        ({1: "T-Shirt"}, ["t shirt"], [1], {}),
        ({1: "Cafe\u0301"}, ["caf\u00e9"], [1], {}),
    ],
)
def test_names(
    categories: dict[int, str], names: list[str], category: list[int], same: dict[int, int]
) -> None:
    found = map_classes(categories, names)
    assert found.category.tolist() == category
    assert found.same == same


@pytest.mark.parametrize("name", ["cat", " Cat"])
def test_objects_spread_over_two_categories_of_one_name_are_one_class(tmp_path: Path, name: str) -> None:
    path = write_world(tmp_path / "instances.json", 3)
    results = detect(load_ground_truth(path), 3)
    expected = {kind: pycocotools_says(path, results, kind)[0] for kind in ("bbox", "segm")}
    document = json.loads(path.read_text())
    document["categories"].append({"id": 90, "name": name})
    for record in [a for a in document["annotations"] if a["category_id"] == 3][::2]:
        record["category_id"] = 90
    path.write_text(json.dumps(document))
    truth = load_ground_truth(path)
    accuracy = evaluate(truth, NAMES, results.items()).accuracy
    assert accuracy.mask is not None
    for kind, ours in (("bbox", accuracy.box), ("segm", accuracy.mask)):
        assert ours.ap == pytest.approx(expected[kind][0], abs=1e-12)
    assert accuracy.unmeasured_classes == ()
    recall = [SmallRecall(t, NAMES) for t in (truth, load_ground_truth(write_world(path, 3)))]
    for key, found in results.items():
        for one in recall:
            one.add(key, found)
    assert recall[0].result() == recall[1].result()


def test_objects_without_masks_count_for_boxes_only(tmp_path: Path) -> None:
    path = write_world(tmp_path / "instances.json", 4)
    truth = load_ground_truth(path)
    results = detect(truth, 4)
    boxes = evaluate(truth, NAMES, results.items()).accuracy.box
    document = json.loads(path.read_text())
    maskless = [a for a in document["annotations"] if not a["iscrowd"]][::3]
    for record in maskless:
        del record["segmentation"]
    path.write_text(json.dumps(document))
    accuracy = evaluate(load_ground_truth(path), NAMES, results.items()).accuracy
    assert accuracy.box == boxes
    assert accuracy.mask is not None
    # To pycocotools, a crowd with the box for a mask is what neither is missed nor makes detections wrong.
    for record in maskless:
        x, y, w, h = record["bbox"]
        record |= {"iscrowd": 1, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
    path.write_text(json.dumps(document))
    expected, _ = pycocotools_says(path, results, "segm")
    assert accuracy.mask.ap == pytest.approx(expected[0], abs=1e-12)
    for record in maskless:
        record["iscrowd"] = 0
    for record in document["annotations"]:
        record.pop("segmentation", None)
    path.write_text(json.dumps(document))
    nothing = evaluate(load_ground_truth(path), NAMES, results.items()).accuracy
    assert nothing.mask is None
    assert nothing.box == boxes
