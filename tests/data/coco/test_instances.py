from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from tests.data.coco.world import instances_of, make_world
from yolotrt.data.coco.instances import parse_instances, prune, read_instances, size_of
from yolotrt.errors import ArtifactError, YoloTrtError

DOCUMENT = instances_of(make_world(12))


def changed(change) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


def set_in(*path_and_value: Any):
    *path, last, value = path_and_value

    def change(document: Any) -> None:
        for key in path:
            document = document[key]
        document[last] = value

    return change


def test_sizes_are_coco_s() -> None:
    areas = [0, 1023.9, 1024, 9215.9, 9216]
    assert [size_of(a) for a in areas] == ["small", "small", "medium", "medium", "large"]


def test_images_and_their_objects_are_read() -> None:
    instances = parse_instances(DOCUMENT)
    assert [i.id for i in instances.images] == sorted(i["id"] for i in DOCUMENT["images"])
    assert list(instances.categories.items())[:2] == [(1, "person"), (3, "car")]
    for image in instances.images:
        own = [a for a in DOCUMENT["annotations"] if a["image_id"] == image.id and not a["iscrowd"]]
        assert image.objects == tuple(sorted({(a["category_id"], size_of(a["area"])) for a in own}))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools with NumPy 2
def test_the_pruned_file_is_one_that_pycocotools_reads(tmp_path: Path) -> None:
    instances = parse_instances(DOCUMENT)
    chosen = instances.images[3:8]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(prune(instances, chosen)))
    coco = COCO(str(path))
    assert sorted(coco.getImgIds()) == [image.id for image in chosen]
    assert coco.getCatIds() == list(instances.categories)
    kept = [a["id"] for a in DOCUMENT["annotations"] if a["image_id"] in {i.id for i in chosen}]
    assert coco.getAnnIds() == kept
    assert all(coco.annToMask(a).any() for a in coco.loadAnns(coco.getAnnIds(iscrowd=False)))
    assert read_instances(path).images == chosen


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "not a JSON object"),
        ({}, "no list of images"),
        (changed(lambda d: d.pop("annotations")), "no list of annotations"),
        (changed(set_in("categories", [])), "categories is empty"),
        (changed(set_in("images", [])), "images is empty"),
        (changed(set_in("images", [1])), "none of its images can be used: 1 of 1 images left out: no id"),
        (changed(set_in("images", 1, "id", 100)), "image id 100 stands for"),
        (changed(set_in("images", 0, "file_name", "../../etc/passwd.jpg")), "not a plain JPEG file name"),
        (changed(set_in("images", 0, "file_name", "/tmp/a.jpg")), "not a plain"),
        (changed(set_in("images", 0, "file_name", "a\\b.jpg")), "not a plain"),
        (changed(set_in("images", 0, "file_name", ".hidden.jpg")), "not a plain"),
        (changed(set_in("images", 0, "file_name", "a.jpg\n")), "not a plain"),
        (changed(set_in("images", 0, "file_name", "manifest.json")), "not a plain"),
        (changed(set_in("images", 0, "file_name", "x" * 101 + ".jpg")), "not a plain"),
        (changed(set_in("images", 1, "file_name", "000000000100.JPG")), "same file name"),
    ],
)
def test_what_is_not_coco_instances_is_named(document: Any, problem: str) -> None:
    with pytest.raises(ArtifactError, match=problem):
        parse_instances(document)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (set_in("images", 0, "id", True), "images left out: no id"),
        (set_in("images", 0, "width", 0), "images left out: no width and height"),
        (set_in("images", 0, "file_name", None), "images left out: no file name"),
        (set_in("annotations", 0, "image_id", 1), "annotations left out: of an unknown image"),
        (set_in("annotations", 0, "category_id", 2), "annotations left out: of an unknown category"),
        (lambda d: d["annotations"][0].pop("category_id"), "captions"),
    ],
)
def test_single_records_that_make_no_sense_are_left_out_and_counted(change: Any, note: str) -> None:
    instances = parse_instances(changed(change))
    assert len(instances.images) + ("images" in note) >= len(DOCUMENT["images"])
    assert any(note in line for line in instances.notes)
    kept = prune(instances, instances.images)["annotations"]
    assert len(kept) < len(DOCUMENT["annotations"])


def test_the_file_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=r"captions.json is not a COCO instances file") as caught:
        read_instances(path)
    assert "instances_val2017.json" in (caught.value.hint or "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.data())
def test_any_value_anywhere_is_understood_or_refused(data: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(["images", "annotations", "categories"]))
        record = data.draw(st.sampled_from(document[where])) if document[where] else document
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    try:
        instances = parse_instances(document)
        prune(instances, instances.images[:3])
    except YoloTrtError:
        pass
