"""COCO files as tools and people leave them: read as pycocotools reads them, or left out with a word."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask
from pycocotools.coco import COCO

from yolotrt.data.formats.annotated import AnnotatedSet
from yolotrt.data.formats.coco import read_coco
from yolotrt.errors import ArtifactError, YoloTrtError
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.rle import coco_rle

WH = (64, 48)
SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]
NAN = float("nan")


def document() -> dict[str, Any]:
    """Two images of two objects each."""
    objects = [
        {"id": k + 1, "image_id": 1 + k // 2, "category_id": 1 + k % 2, "bbox": [10, 10, 10, 10],
         "area": 100, "iscrowd": 0, "segmentation": [list(SQUARE)]}
        for k in range(4)
    ]  # fmt: skip
    return {
        "images": [{"id": k, "file_name": f"{k}.png", "width": WH[0], "height": WH[1]} for k in (1, 2)],
        "annotations": objects,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def read(tmp_path: Path, content: Any, *, limit: int | None = None) -> AnnotatedSet:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return read_coco(path, limit=limit)


def first(**changes: Any) -> dict[str, Any]:
    """The document with its first annotation changed; None removes a key."""
    content = document()
    record = content["annotations"][0] | changes
    content["annotations"][0] = {k: v for k, v in record.items() if v is not None}
    return content


def masks_of_pycocotools(path: Path) -> list[np.ndarray]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    return [coco.annToMask(a) for key in sorted(coco.imgs) for a in coco.loadAnns(coco.getAnnIds(key))]


RLE = coco_rle(Mask(10, 10, np.ones((10, 10), bool)), WH)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools with NumPy 2
@pytest.mark.parametrize(
    "shape",
    [
        [SQUARE],
        [SQUARE, [30, 30, 40, 30, 40, 40]],
        [SQUARE, [1, 1, 2, 2]],
        [SQUARE, [1, 1]],
        [[*SQUARE, 10]],
        [[10.5, 10, 20, 10, 20.25, 20]],
        [[-5, -5, 20, 10, 20, 20]],
        {"size": [48, 64], "counts": RLE["counts"].decode()},
        {"size": [48, 64], "counts": [490, *[10, 38] * 9, 10, 2140]},
    ],
)
def test_masks_are_those_of_pycocotools(tmp_path: Path, shape: Any) -> None:
    found = read(tmp_path, first(segmentation=shape))
    ours = [mask.decode(one.mask) for key in (1, 2) for one in found.objects[key]]
    for own, expected in zip(ours, masks_of_pycocotools(tmp_path / "instances.json"), strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize(
    ("shape", "note"),
    [
        ([[10, 10, 20, 10]], "a polygon of fewer than three points"),
        ([[NAN, *SQUARE[1:]]], "NaN"),
        ([[1e9, *SQUARE[1:]]], "far outside"),
        (["polygon"], "neither polygons nor run lengths"),
        ("polygon", "neither polygons nor run lengths"),
        ({"size": [64, 48], "counts": [3072]}, "another size"),
        ({"size": [48, 64], "counts": [3071]}, "do not fill"),
        ({"size": [48, 64], "counts": [-1, 3073]}, "do not fill"),
        ({"size": [48, 64], "counts": "garbage"}, "do not fill"),
        ({"size": [48, 64], "counts": "ö"}, "do not fill"),
        ({"size": [48, 64]}, "do not fill"),
        ({"counts": [3072]}, "another size"),
    ],
)
def test_a_mask_that_cannot_be_measured_is_said_and_its_box_counts(
    tmp_path: Path, shape: Any, note: str
) -> None:
    found = read(tmp_path, first(segmentation=shape))
    assert [one.mask is None for one in found.objects[1]] == [True, False]
    assert found.objects[1][0].box == (10, 10, 10, 10)
    (line,) = found.notes
    assert line.startswith("1 of 4 annotations have ")
    assert note in line
    assert "masks are not measured (the first: 1)" in line


PAIRS = [[10, 10], [20, 10], [20, 20], [10, 20]]


@pytest.mark.parametrize("shape", [SQUARE, PAIRS, [PAIRS]])
def test_points_in_pairs_and_polygons_without_their_list(tmp_path: Path, shape: Any) -> None:
    found = read(tmp_path, first(segmentation=shape))
    assert found.objects[1][0].mask == found.objects[1][1].mask
    assert found.notes == ()


@pytest.mark.parametrize(
    "box", [[20, 20, -10, -10], [10, 10, 0, 10], [NAN, 10, 10, 10], ["10", 10, 10, 10], [1, 2, 3], None, []]
)
def test_a_box_that_cannot_be_found_is_that_of_its_segmentation(tmp_path: Path, box: Any) -> None:
    found = read(tmp_path, first(bbox=box))
    assert found.objects[1][0].box == (10, 10, 10, 10)
    assert "get their box from their segmentation: " in found.notes[0]
    rle = {"size": [48, 64], "counts": RLE["counts"].decode()}
    assert read(tmp_path, first(bbox=box, segmentation=rle)).objects[1][0].box == (10, 10, 10, 10)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"bbox": [20, 20, -10, -10], "segmentation": []}, "a box of negative size"),
        ({"bbox": [10, 10, 10, 0], "segmentation": None}, "a box without area"),
        ({"bbox": [10, 10, NAN, 10], "segmentation": None}, "not four finite numbers"),
        ({"bbox": None, "segmentation": None}, "no box"),
        ({"bbox": [100, 10, 10, 10], "segmentation": None}, "outside of their image"),
        ({"bbox": [-50, 10, 10, 10], "segmentation": None}, "outside of their image"),
        ({"image_id": 7}, "an unknown image"),
        ({"category_id": 7}, "an unknown category"),
        ({"category_id": None}, "no category_id"),
        ({"iscrowd": "maybe"}, "iscrowd"),
    ],
)
def test_what_nobody_can_find_is_left_out_and_counted(tmp_path: Path, changes: Any, note: str) -> None:
    found = read(tmp_path, first(**changes))
    assert (len(found.objects[1]), len(found.objects[2])) == (1, 2)
    (line,) = found.notes
    assert line.startswith("1 of 4 annotations left out: ")
    assert note in line


def test_reasons_are_grouped(tmp_path: Path) -> None:
    content = document()
    for record in content["annotations"][:3]:
        record |= {"bbox": [20, 20, -10, -10], "segmentation": []}
    content["annotations"][3]["image_id"] = "nowhere"
    content["annotations"].append({**document()["annotations"][0], "id": 5})
    assert read(tmp_path, content).notes == (
        "1 of 5 annotations left out: of an unknown image (the first: 4)",
        "3 of 5 annotations left out: a box of negative size (the first: 1)",
    )


@pytest.mark.parametrize(
    ("box", "note"),
    [
        ([10, 10, 70, 10], "reach out of their image"),
        ([40, 30, 10, 10], "far from their segmentation"),  # and not 10,10,10,10
    ],
)
def test_boxes_that_look_wrong_count_and_are_said(tmp_path: Path, box: list[int], note: str) -> None:
    found = read(tmp_path, first(bbox=box))
    assert found.objects[1][0].box == tuple(box)
    assert note in found.notes[0]


def test_a_missing_area_is_that_of_the_mask_or_of_the_box(tmp_path: Path) -> None:
    triangle = [[10, 10, 20, 10, 20, 20]]
    found = read(tmp_path, first(area=None, iscrowd=None, segmentation=triangle))
    one = found.objects[1][0]
    assert one.area == float(mask.area(one.mask))
    assert not one.crowd
    assert read(tmp_path, first(area=NAN, segmentation=None)).objects[1][0].area == 100
    assert read(tmp_path, first(area=0)).objects[1][0].area == 0  # as pycocotools has it


@pytest.mark.parametrize("kind", [float, str, lambda v: f"{v}.0", lambda v: f"{v:08d}", lambda v: f"id-{v}"])
def test_ids_of_any_kind_are_the_same_ids(tmp_path: Path, kind: Callable[[int], Any]) -> None:
    expected = read(tmp_path, document())
    content = document()
    for record in (*content["images"], *content["categories"], *content["annotations"]):
        record |= {key: kind(record[key]) for key in ("id", "image_id", "category_id") if key in record}
    for record in content["images"]:
        record |= {key: float(record[key]) for key in ("width", "height")}
    found = read(tmp_path, content)
    assert found.notes == ()
    assert [i.name for i in found.images] == ["1.png", "2.png"]
    assert [i.size_wh for i in found.images] == [WH, WH]
    assert [i.given_id for i in found.images] == [kind(1), kind(2)]
    names = [[found.categories[o.category_id] for o in found.objects[i.id]] for i in found.images]
    assert names == [[expected.categories[o.category_id] for o in expected.objects[k]] for k in (1, 2)]


def test_mixed_kinds_of_ids(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0] |= {"image_id": "1", "category_id": 1.0}
    assert read(tmp_path, content) == read(tmp_path, document())


def test_annotations_that_are_there_twice_count_once(tmp_path: Path) -> None:
    content = document()
    content["annotations"] += copy.deepcopy(content["annotations"])
    found = read(tmp_path, content)
    assert found.objects == read(tmp_path, document()).objects
    assert found.notes == ("4 of 8 annotations left out: there twice, with the same id (the first: 1)",)


def test_different_objects_with_one_id_all_count(tmp_path: Path) -> None:
    """Files that were joined; pycocotools would take the last one for all of them."""
    content = document()
    for record in content["annotations"]:
        record["id"] = 1
    found = read(tmp_path, content)
    assert found.objects == read(tmp_path, document()).objects
    assert "3 of 4 annotations share their id" in found.notes[0]


def test_copies_with_other_ids_count_as_in_pycocotools_and_are_said(tmp_path: Path) -> None:
    content = document()
    content["annotations"].append({**content["annotations"][0], "id": 99})
    found = read(tmp_path, content)
    assert len(found.objects[1]) == 3
    assert "equal another but for their id" in found.notes[0]


def test_an_image_that_is_there_twice_is_looked_at_once(tmp_path: Path) -> None:
    expected = read(tmp_path, document())
    same = document()
    same["images"].append(dict(same["images"][0]))
    assert read(tmp_path, same).images == expected.images
    joined = document()  # two data sets with ids of their own
    joined["images"].append({**joined["images"][0], "id": 7})
    joined["annotations"] += [{**a, "id": 90 + a["id"], "image_id": 7} for a in joined["annotations"][:2]]
    joined["annotations"].append({**joined["annotations"][0], "id": 99, "image_id": 7, "bbox": [1, 1, 9, 9]})
    found = read(tmp_path, joined)
    assert found.images == expected.images
    assert [len(found.objects[k]) for k in (1, 2)] == [3, 2]
    assert "1 of 3 images are there twice and count once" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["images"][1].update(id=1), "image id 1 stands for '1.png' and '2.png'"),
        (lambda d: d["images"][1].update(file_name="1.png", width=9), "'1.png' is there twice, in two sizes"),
        (lambda d: d["categories"][1].update(id=1), "category 1 is both 'cat' and 'dog'"),
        (lambda d: d.pop("annotations"), "no list of annotations"),
        (lambda d: d.update(images=3), "no list of images"),
        (lambda d: d.update(categories=[]), "categories is empty"),
        (lambda d: [i.pop("width") for i in d["images"]], "2 of 2 images left out: no width and height"),
        (lambda d: [a.pop("category_id") for a in d["annotations"]], "captions"),
    ],
)
def test_what_has_two_meanings_or_none_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    content = document()
    change(content)
    with pytest.raises(ArtifactError, match="not a COCO instances file") as caught:
        read(tmp_path, content)
    assert message in caught.value.message


def test_results_are_no_annotations(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="results of a detector"):
        read(tmp_path, [{"image_id": 1, "category_id": 1, "score": 1}])


def test_names_that_several_categories_have_are_said(tmp_path: Path) -> None:
    content = document()
    content["categories"] += [{"id": 9, "name": "Cat"}, {"id": 11, "name": 5}, {"id": 12}]
    found = read(tmp_path, content)
    assert (found.categories[11], found.categories[12]) == ("5", "12")
    assert any("1 ('cat') and 9 ('Cat') share a name" in note for note in found.notes)
    assert any("have no name" in note for note in found.notes)


def test_many_crowds_are_said(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0]["iscrowd"] = True
    (note,) = read(tmp_path, content).notes
    assert "1 of 4 objects are crowds" in note


def test_a_limit_takes_the_first_images_and_speaks_of_them(tmp_path: Path) -> None:
    content = document()
    content["annotations"][3] |= {"bbox": None, "segmentation": None}
    found = read(tmp_path, content, limit=1)
    assert [image.id for image in found.images] == [1]
    assert found.notes == ()


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_text_encodings(tmp_path: Path, mark: str) -> None:
    content = document()
    content["categories"][0]["name"] = "Kätzchen"
    path = tmp_path / "instances.json"
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(mark))
    if mark == "utf-8-sig":
        assert read_coco(path).categories[1] == "Kätzchen"
        return
    with pytest.raises(ArtifactError, match=mark.upper() if "utf" in mark else "not UTF-8") as caught:
        read_coco(path)
    assert "truncated" not in f"{caught.value.message} {caught.value.hint}"


def test_large_files_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document()) + " " * 5000)
    monkeypatch.setattr("yolotrt.artifacts.documents.MAX_BYTES", 1000)  # that of documents of ours
    assert read_coco(path).images
    monkeypatch.setattr("yolotrt.data.formats.coco.MAX_BYTES", 4096)
    with pytest.raises(ArtifactError, match="larger than") as caught:
        read_coco(path)
    assert caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.data())
def test_any_value_anywhere_is_understood_or_left_out_or_refused(tmp_path_factory: Any, data: Any) -> None:
    content = document()
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(["images", "annotations", "categories"]))
        record = data.draw(st.sampled_from(content[where]))
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    with contextlib.suppress(YoloTrtError):
        read(tmp_path_factory.getbasetemp(), content)
