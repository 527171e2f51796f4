from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.worlds import write_world
from yolotrt.errors import ArtifactError, InputError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.rle import coco_rle, decode_rle

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def write(path: Path, **changes: object) -> Path:
    """One 40x30 image with one square object, whose annotation is changed."""
    annotation = {
        "id": 1,
        "image_id": 5,
        "category_id": 1,
        "bbox": [10, 10, 10, 10],
        "area": 100,
        "iscrowd": 0,
    }
    annotation |= {"segmentation": [SQUARE], **changes}
    document = {
        "images": [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [{k: v for k, v in annotation.items() if v is not None}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "shape",
    [
        [SQUARE],
        [SQUARE[:], [0, 0, 1, 0, 0, 1]],
        {"size": [30, 40], "counts": [310, *[10, 20] * 9, 10, 610]},
        {
            "size": [30, 40],
            "counts": coco_rle(Mask(10, 10, np.ones((10, 10), bool)), (40, 30))["counts"].decode(),
        },
    ],
)
def test_every_kind_of_segmentation(tmp_path: Path, shape: object) -> None:
    truth = load_ground_truth(write(tmp_path / "a.json", segmentation=shape))
    mask = decode_rle(truth.objects[5].masks[0])
    assert mask.area in (100, 101)
    assert mask.bits.any(axis=1).all()  # nothing is stored around the object


def test_nothing_annotated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json")
    document = json.loads(path.read_text()) | {"annotations": []}
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="no annotated object"):
        load_ground_truth(path)


@pytest.mark.parametrize("text", ["[]", '{"images": 3}', "{", '{"format": "yolotrt"}'])
def test_not_coco_instances(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ArtifactError):
        load_ground_truth(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_ground_truth(tmp_path / "none.json")


def test_images_without_files_are_counted(tmp_path: Path) -> None:
    truth = load_ground_truth(write_world(tmp_path / "a.json", 0, images=4))
    (tmp_path / "0.png").touch()
    with pytest.raises(InputError, match=r"3 of 4 annotated images .* \(the first is 1.png; looked for /"):
        truth.files(tmp_path)


def test_limit_takes_the_first_images(tmp_path: Path) -> None:
    truth = load_ground_truth(write_world(tmp_path / "a.json", 0, images=8), limit=3)
    assert [image.id for image in truth.images] == [0, 1, 2]
    assert np.all(np.array(list(truth.objects)) < 3)


def test_images_that_are_not_there_are_left_out_and_told(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path / "a.json").read_text())
    document["images"].append({"id": 6, "file_name": "b.png", "width": 40, "height": 30})
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="2 of 2 annotated images are not in"):
        load_ground_truth(tmp_path / "a.json", tmp_path)
    (tmp_path / "a.png").touch()
    found = load_ground_truth(tmp_path / "a.json", tmp_path)
    assert [image.id for image in found.images] == [5]
    assert "1 of 2 annotated images are not in" in found.notes[0]
