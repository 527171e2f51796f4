"""YOLO datasets as Ultralytics, Roboflow and others lay them out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.formats.test_pictures import write as write_jpeg
from tests.evaluation.worlds import IMAGE_WH, NAMES, detect, write_world
from yolotrt.data.formats.annotated import AnnotatedSet
from yolotrt.data.formats.reader import images_of
from yolotrt.data.formats.yolo import read_yolo
from yolotrt.errors import InputError, YoloTrtError
from yolotrt.evaluation.coco import evaluate
from yolotrt.evaluation.groundtruth import load_ground_truth

SQUARE = "0 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5"
BOX = "1 0.5 0.5 0.25 0.25"


def picture(path: Path, wh: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((wh[1], wh[0], 3), np.uint8))
    return path


def dataset(
    folder: Path, *labels: str, yaml: str = "path: .\ntrain: images/train\nval: images/val\n"
) -> Path:
    """A dataset whose validation images have these labels; one training image."""
    for k, text in enumerate(labels):
        picture(folder / f"images/val/{k}.png")
        label = folder / f"labels/val/{k}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(text)
    picture(folder / "images/train/t.png")
    path = folder / "data.yaml"
    path.write_text(yaml + "names: [cat, dog]\n")
    return path


def test_polygons_and_boxes(tmp_path: Path) -> None:
    found = read_yolo(dataset(tmp_path, f"{SQUARE}\n\n{BOX}\n", ""))
    assert found.categories == {0: "cat", 1: "dog"}
    assert [(i.name, i.size_wh) for i in found.images] == [(f"images/val/{k}.png", (64, 48)) for k in (0, 1)]
    square, box = found.objects[1]
    assert (square.category_id, square.box, square.crowd) == (0, (16, 12, 16, 12), False)
    assert square.area == pytest.approx(16 * 12, rel=0.15)
    assert (box.category_id, box.box, box.mask, box.area) == (1, (24, 18, 16, 12), None, 192)
    assert found.objects[2] == ()
    (note,) = found.notes
    assert note.startswith(
        "1 of 2 annotations have no segmentation: their masks are not measured (the first: "
    )


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ("7 0.5 0.5 0.2 0.2", "left out: of an unknown class"),
        ("cat 0.5 0.5 0.2 0.2", "left out: of an unknown class"),
        ("0 0.5 0.5 0.2", "left out: neither a box"),
        ("0 0.5 0.5 0.2 0.2 0.9", "left out: neither a box"),
        ("0 0.5 0.5 0.2 x", "left out: not numbers"),
        ("0 32 24 16 12", "left out: coordinates that are not parts of the image"),
        ("0 0.5 0.5 -0.2 0.2", "left out: coordinates that are not parts"),
        ("0 0.5 0.5 -0.005 0.2", "left out: a box of negative size"),
        ("0 0.5 0.5 0 0.2", "left out: a box without area"),
        ("0 nan 0.5 0.2 0.2", "left out: a box that is not four finite numbers"),
        ("0 nan 0.1 0.2 0.2 0.3 0.3", "left out: a polygon with NaN"),
        (f"{SQUARE} 0.9", "have a polygon with an odd number of coordinates"),
        (SQUARE, "left out: there twice in one label file"),
    ],
)
def test_rows_that_make_no_sense(tmp_path: Path, row: str, note: str) -> None:
    found = read_yolo(dataset(tmp_path, f"{SQUARE}\n{row}\n"))
    assert len(found.objects[1]) == (1 if "left out" in note else 2)
    assert found.notes[0].startswith(f"1 of 2 annotations {note}")
    assert "'0.txt, object 2'" in found.notes[0]


def only(found: AnnotatedSet) -> Path:
    assert [len(objects) for objects in found.objects.values()] == [1]
    assert found.images[0].path is not None
    return found.images[0].path


@pytest.mark.parametrize(
    ("yaml", "split"),
    [
        ("val: images/val\n", "val"),
        ("path: ''\nval: images/val/\n", "val"),
        ("path: ABSOLUTE\nval: images/val\n", "val"),
        ("path: elsewhere\nval: images/val\n", "val"),  # a path that is right on another machine
        ("val: ../images/val\n", "val"),  # Roboflow
        ("valid: images/val\n", "val"),
        ("val: images/nothing\ntest: [images/val]\n", "test"),
        ("val: list.txt\n", "val"),
        ("val: images/val/0.png\n", "val"),
        ("val: [images/val, list.txt]\n", "val"),
        ("\ufeffval: images/val\n", "val"),
    ],
)
def test_layouts(tmp_path: Path, yaml: str, split: str) -> None:
    path = dataset(tmp_path, SQUARE, yaml=yaml.replace("ABSOLUTE", str(tmp_path)))
    (tmp_path / "list.txt").write_text("./images/val/0.png\n\n")
    assert only(read_yolo(path, split=split)) == tmp_path / "images/val/0.png"


def test_a_folder_stands_for_its_description(tmp_path: Path) -> None:
    dataset(tmp_path, SQUARE)
    assert only(read_yolo(tmp_path)) == tmp_path / "images/val/0.png"


def test_several_folders_of_a_split_and_a_limit(tmp_path: Path) -> None:
    path = dataset(tmp_path, SQUARE, BOX, yaml="val: [images/val, images/more]\n")
    picture(tmp_path / "images/more/9.png")
    (tmp_path / "labels/more").mkdir()
    (tmp_path / "labels/more/9.txt").write_text(BOX)
    assert [len(objects) for objects in read_yolo(path).objects.values()] == [1, 1, 1]
    assert len(read_yolo(path, limit=2).images) == 2


def test_labels_beside_their_images(tmp_path: Path) -> None:
    picture(tmp_path / "val/a.png")
    (tmp_path / "val/a.txt").write_text(SQUARE)
    (tmp_path / "data.yaml").write_text("val: val\nnames: {0: cat}\n")
    assert only(read_yolo(tmp_path)) == tmp_path / "val/a.png"


def test_the_last_images_folder_becomes_labels(tmp_path: Path) -> None:
    path = dataset(tmp_path / "images" / "set", SQUARE)
    assert only(read_yolo(path)) == tmp_path / "images/set/images/val/0.png"


def test_names_as_mapping_count_or_none(tmp_path: Path) -> None:
    path = dataset(tmp_path, SQUARE)
    base = "val: images/val\n"
    path.write_text(f"{base}names:\n  0: no\n  1: 'dog'\n")
    assert read_yolo(path).categories == {0: "no", 1: "dog"}
    path.write_text(f"{base}nc: 2\n")
    assert read_yolo(path).categories == {0: "class_0", 1: "class_1"}
    for wrong in ("", "names: {a: b}\n", "names: [[a]]\n", "nc: many\n"):
        path.write_text(base + wrong)
        with pytest.raises(InputError):
            read_yolo(path)


def test_what_leaves_the_folder_is_said(tmp_path: Path) -> None:
    dataset(tmp_path / "data", SQUARE)
    path = tmp_path / "home" / "data.yaml"
    path.parent.mkdir()
    path.write_text(f"path: {tmp_path / 'data'}\nval: images/val\nnames: [cat, dog]\n")
    (note,) = read_yolo(path).notes
    assert "outside of its folder" in note
    assert str(tmp_path / "data") in note


def test_images_without_label_files_are_empty_and_said(tmp_path: Path) -> None:
    path = dataset(tmp_path, SQUARE, BOX)
    (tmp_path / "labels/val/1.txt").unlink()
    found = read_yolo(path)
    assert found.objects[2] == ()
    assert "1 of 2 images have no label file" in found.notes[0]
    (tmp_path / "labels/val/0.txt").unlink()
    with pytest.raises(
        InputError, match=r"None of 2 images has a label file \(looked for .*labels/val/0.txt"
    ):
        read_yolo(path)


@pytest.mark.parametrize(
    "yaml",
    [
        "val: nowhere\n",
        "path: /nowhere\nval: images/val\n",
        "path: ~nobody-of-that-name\nval: nothing\n",
        f"val: {'x' * 5000}\n",
        "train: images/train\n",
        "val: {a: b}\n",
        "val: [[a]]\n",
        "val: gone.txt\n",
        "val: bad.txt\n",
        "val: binary.txt\n",
        "val: &a [*a]\n",
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, yaml: str) -> None:
    path = dataset(tmp_path, SQUARE, yaml=yaml)
    (tmp_path / "bad.txt").write_text("a\0b\nimages/nowhere.png\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(YoloTrtError) as caught:
        read_yolo(path)
    assert str(tmp_path) in caught.value.message


def test_sizes_are_those_of_the_upright_pictures(tmp_path: Path) -> None:
    path = dataset(tmp_path, SQUARE)
    (tmp_path / "images/val/0.png").unlink()
    write_jpeg(tmp_path / "images/val/0.jpg", (64, 48), 6)
    assert read_yolo(path).images[0].size_wh == (48, 64)


def test_calibration_takes_the_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dataset(tmp_path, SQUARE)
    assert images_of(path) == [tmp_path / "images/train/t.png"]
    assert images_of(path, "val") == [tmp_path / "images/val/0.png"]
    assert len(images_of(tmp_path)) == 2  # a folder is a folder
    monkeypatch.chdir(tmp_path)
    assert images_of(Path("data.yaml")) == [tmp_path / "images/train/t.png"]


def test_the_same_dataset_in_both_formats_gives_the_same_figures(tmp_path: Path) -> None:
    coco = write_world(tmp_path / "instances.json", 6)
    document = json.loads(coco.read_text())
    document["annotations"] = [a for a in document["annotations"] if not a["iscrowd"]]
    for record in document["annotations"]:
        record.pop("area")  # YOLO has none: that of the mask
    coco.write_text(json.dumps(document))
    index = {c["id"]: k for k, c in enumerate(document["categories"])}
    for image in document["images"]:
        picture(tmp_path / "images" / image["file_name"], IMAGE_WH)
        own = [a for a in document["annotations"] if a["image_id"] == image["id"]]
        rows = []
        for a in own:
            parts = [v / IMAGE_WH[k % 2] for k, v in enumerate(a["segmentation"][0])]
            rows.append(" ".join(map(repr, (index[a["category_id"]], *parts))))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{image['id']}.txt").write_text("\n".join(rows))
    (tmp_path / "data.yaml").write_text(f"val: images\nnames: [{', '.join(NAMES)}]\n")
    one, other = load_ground_truth(coco, tmp_path / "images"), load_ground_truth(tmp_path)
    results = detect(one, 6)
    ids = {Path(i.name).name: i.id for i in one.images}
    again = {i.id: results[ids[os.path.basename(i.name)]] for i in other.images}
    expected = evaluate(one, NAMES, results.items()).accuracy
    found = evaluate(other, NAMES, again.items()).accuracy
    assert expected.box.ap is not None
    assert found == expected
