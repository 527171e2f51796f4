"""Which small objects count, and what finds them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.evaluation.recall import SMALL_PX, SmallRecall, are_small
from yolotrt.geometry.detections import CONFIDENT, Detections

NAMES = ("dog", "ghost", "cat")
"""The annotations know no ghosts, and the model knows no cows."""

OBJECTS = [  # category, x, y, width, height, crowd
    (3, 0, 0, 96, 10, 0),
    (7, 100, 0, 20, 20, 0),
    (7, 200, 0, 97, 10, 0),  # not small
    (9, 300, 0, 20, 20, 0),  # a cow
    (7, 0, 100, 20, 20, 1),
    (3, 100, 100, 20, 20, 0),
    (3, 200, 100, 20, 20, 0),
]


def recall(tmp_path: Path, found: Detections) -> float | None:
    path = tmp_path / "a.json"
    annotations = [
        {"id": i, "image_id": 5, "category_id": c, "bbox": box, "area": 9, "iscrowd": crowd,
         "segmentation": [[0, 0, 9, 0, 9, 9]] if not crowd else {"size": [300, 400], "counts": [120000]}}
        for i, (c, *box, crowd) in enumerate(OBJECTS)
    ]  # fmt: skip
    document = {
        "images": [{"id": 5, "file_name": "a.png", "width": 400, "height": 300}],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 9, "name": "cow"}],
    }
    path.write_text(json.dumps(document))
    measured = SmallRecall(load_ground_truth(path), NAMES)
    assert measured.result() is None
    measured.add(5, found)
    return measured.result()


def test_a_sure_detection_of_the_class_finds_a_small_object(tmp_path: Path) -> None:
    boxes = [[0, 0, 96, 10], [100, 0, 120, 20], [200, 0, 297, 10], [100, 100, 120, 120], [200, 110, 220, 130]]
    scores = [0.9, CONFIDENT, 0.9, 0.9, 0.9]
    classes = np.array([2, 0, 0, 1, 2])  # the fourth is a ghost, and the last lies too far away
    found = Detections(np.array(boxes, np.float32), np.array(scores, np.float32), classes)
    assert recall(tmp_path, found) == 2 / 4
    unsure = Detections(found.boxes, found.scores - np.float32(0.01), classes)
    assert recall(tmp_path, unsure) == 1 / 4
    assert recall(tmp_path, Detections.empty(masks=False)) == 0


def test_a_box_with_several_labels_finds_by_its_best(tmp_path: Path) -> None:
    boxes = np.array([[100, 0, 120, 20]] * 2, np.float32)
    for scores, expected in (((0.9, 0.8), 1 / 4), ((0.8, 0.9), 0)):
        found = Detections(boxes, np.array(scores, np.float32), np.array([0, 2]))
        assert recall(tmp_path, found) == expected


def test_small_is_meant_of_the_longer_side() -> None:
    boxes = np.array([[0, 0, SMALL_PX, 1], [0, 0, 1, SMALL_PX + 1], [5, 5, 6, 6]], np.float32)
    assert are_small(boxes).tolist() == [True, False, True]
    assert are_small(np.zeros((0, 4), np.float32)).tolist() == []
