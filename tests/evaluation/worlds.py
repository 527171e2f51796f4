"""Small annotated worlds, detections in them, and what pycocotools itself says about both."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.rle import coco_rle

IMAGE_WH = (200, 160)
CATEGORIES = {3: "cat", 7: "dog", 9: "cow", 20: "bee"}
NAMES = tuple(CATEGORIES.values())


def write_world(path: Path, seed: int, images: int = 8) -> Path:
    """Write random annotations: objects of all sizes, crowds, equal boxes and empty images."""
    rng = np.random.default_rng(seed)
    annotations = []
    for image in range(images):
        for _ in range(rng.integers(0, 9)):
            x, y, w, h = _box(rng)
            crowd = bool(rng.random() < 0.15)
            record = {"id": len(annotations) + 1, "image_id": image, "category_id": _category(rng)}
            record |= {"bbox": [x, y, w, h], "area": w * h * rng.uniform(0.5, 1), "iscrowd": int(crowd)}
            if crowd:
                rle = coco_rle(Mask(x, y, rng.random((h, w)) < 0.8), IMAGE_WH)
                record["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            else:
                record["segmentation"] = [[x, y, x + w, y, x + w, y + h, x + w // 2, y + h // 2, x, y + h]]
            annotations.append(record)
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 200, "height": 160} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": key, "name": name} for key, name in CATEGORIES.items()],
    }
    path.write_text(json.dumps(document))
    return path


def detect(truth: GroundTruth, seed: int, skill: float = 0.7) -> dict[int, Detections]:
    """Detections as of a mediocre network: most objects, roughly, and some that are not there."""
    rng = np.random.default_rng(seed)
    return {image.id: _detect(truth, image.id, rng, skill) for image in truth.images}


def _detect(truth: GroundTruth, image_id: int, rng: np.random.Generator, skill: float) -> Detections:
    boxes, classes = [], []
    objects = truth.objects[image_id]
    keys = list(CATEGORIES)
    for (x, y, w, h), category in zip(objects.boxes, objects.categories, strict=True):
        for _ in range(rng.integers(1, 3) if rng.random() < skill else 0):
            moved = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.12, 4) * [w, h, w, h]
            boxes.append(moved)
            classes.append(keys.index(category) if rng.random() < 0.9 else rng.integers(4))
    for _ in range(rng.integers(0, 6)):
        x, y, w, h = _box(rng)
        boxes.append([x, y, x + w, y + h])
        classes.append(rng.integers(4))
    drawn = np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0, [*IMAGE_WH, *IMAGE_WH])
    masks = []
    for x0, y0, x1, y1 in drawn.astype(int):
        bits = np.ones((max(y1 - y0, 0), max(x1 - x0, 0)), bool)
        bits[: len(bits) // 4] = rng.random() < 0.7
        masks.append(Mask(x0, y0, bits))
    scores = np.round(rng.random(len(drawn)), 1).astype(np.float32)  # many ties
    return Detections(drawn.astype(np.float32), scores, np.array(classes, np.int64), tuple(masks))


def pycocotools_says(path: Path, results: dict[int, Detections], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return COCOeval's summary figures and its precision array [T, R, K] for all areas together."""
    keys = sorted(c["id"] for c in json.loads(path.read_text())["categories"])
    found = []
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        for image_id, detections in results.items():
            image = coco.imgs[image_id]
            for k in range(len(detections)):
                x0, y0, x1, y1 = detections.boxes[k].astype(float)
                record = {"image_id": image_id, "category_id": keys[detections.classes[k]]}
                record["score"] = float(detections.scores[k])
                if kind == "bbox":
                    record["bbox"] = [x0, y0, x1 - x0, y1 - y0]
                else:
                    record["segmentation"] = coco_rle(detections.masks[k], (image["width"], image["height"]))
                found.append(record)
        judge = COCOeval(coco, coco.loadRes(found), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[:6], judge.eval["precision"][:, :, :, 0, -1]


def world(tmp_path: Path, seed: int, images: int = 8) -> tuple[Path, GroundTruth]:
    path = write_world(tmp_path / "instances.json", seed, images)
    return path, load_ground_truth(path)


def _box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    w, h = (int(v) for v in np.exp(rng.uniform(np.log(5), np.log(130), 2)))
    return int(rng.integers(0, IMAGE_WH[0] - w)), int(rng.integers(0, IMAGE_WH[1] - h)), w, h


def _category(rng: np.random.Generator) -> int:
    return int(rng.choice([3, 7, 9], p=[0.6, 0.3, 0.1]))  # never a bee
