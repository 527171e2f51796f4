"""What pictures and classes are called in COCO records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yolotrt.data.coco.names import COCO_CATEGORIES, coco_category
from yolotrt.errors import ArtifactError
from yolotrt.workflow.identity import ids_of, own_ids


def test_the_classes_of_coco_have_their_ids() -> None:
    assert len(COCO_CATEGORIES) == 80
    assert (COCO_CATEGORIES[1], COCO_CATEGORIES[72], COCO_CATEGORIES[90]) == ("person", "tv", "toothbrush")
    assert [coco_category(n) for n in ("TV", "tvmonitor", "Traffic_Light", "pottedplant", "lamp")] == [
        72, 72, 10, 64, None,
    ]  # fmt: skip


def test_category_ids_are_coco_s_only_if_all_classes_are() -> None:
    assert own_ids(tuple(COCO_CATEGORIES.values()), None).classes == tuple(COCO_CATEGORIES)
    assert own_ids(("car", "person"), None).classes == (3, 1)
    ids = own_ids(("car", "helmet"), None)
    assert (ids.classes, ids.categories) == ((1, 2), {1: "car", 2: "helmet"})


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (("000000000017.jpg", "000000000042.png"), (17, 42)),
        (("val/COCO_val2014_000000000042.jpg", "val/COCO_val2014_000000000073.jpg"), (42, 73)),
        (("cam1/0001.jpg", "cam2/0001.jpg"), (1, 2)),
        (("7.jpg", "street.jpg"), (1, 2)),
    ],
)
def test_image_ids_are_the_numbers_in_the_names_or_count(
    pictures: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    ids = own_ids(("a",), pictures)
    assert tuple(ids.image_id(name, None) for name in pictures) == expected


def annotations(folder: Path, names: tuple[str, ...]) -> Path:
    path = folder / "gt.json"
    images = [{"id": 10 + i, "file_name": n, "width": 8, "height": 8} for i, n in enumerate(names)]
    path.write_text(
        json.dumps({"images": images, "annotations": [], "categories": [{"id": 5, "name": "Big Cat"}]})
    )
    return path


@pytest.mark.parametrize(
    ("annotated", "pictures", "expected"),
    [
        (("a/1.jpg", "b/1.jpg"), ("a/1.jpg", "b/1.jpg"), (10, 11)),
        (("images/1.jpg",), ("1.jpg", "2.jpg"), (10, None)),
        (("1.jpg",), ("val/1.jpg",), (10,)),
        (("images\\\\1.jpg", "images\\\\2.jpg"), ("2.jpg",), (11,)),
        (("1.jpg", "old/1.jpg"), ("1.jpg",), (10,)),
    ],
)
def test_pictures_are_found_by_as_much_of_the_path_as_both_have(
    tmp_path: Path, annotated: tuple[str, ...], pictures: tuple[str, ...], expected: tuple[int | None, ...]
) -> None:
    ids = ids_of(annotations(tmp_path, annotated), ("big_cat", "dog"), pictures)
    assert tuple(ids.image_id(name, None) for name in pictures) == expected
    assert ids.classes == (5, None)


@pytest.mark.parametrize(
    ("annotated", "pictures", "names", "words"),
    [
        (("1.jpg",), ("a/1.jpg", "b/1.jpg"), ("big cat",), "may both be image 10"),
        (("a/1.jpg", "b/1.jpg"), ("1.jpg",), ("big cat",), "2 pictures that 1.jpg may be"),
        (("1.jpg",), ("2.jpg",), ("big cat",), "none of the 1 pictures"),
        (("1.jpg",), ("1.jpg",), ("dog",), "none of the model's 1 classes"),
    ],
)
def test_what_cannot_be_told_apart_is_an_error(
    tmp_path: Path, annotated: tuple[str, ...], pictures: tuple[str, ...], names: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ArtifactError, match=words) as caught:
        ids_of(annotations(tmp_path, annotated), names, pictures)
    assert caught.value.hint


def test_ids_are_as_the_annotations_write_them(tmp_path: Path) -> None:
    """Whoever reads both files compares them as they stand there."""
    document = {
        "images": [{"id": "i7", "file_name": "1.jpg", "width": 8, "height": 8}],
        "annotations": [],
        "categories": [{"id": "12", "name": "cat"}, {"id": "c9", "name": "dog"}, {"id": 3, "name": "cow"}],
    }
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(document))
    ids = ids_of(path, ("cat", "cow", "dog"), ("1.jpg",))
    assert ids.image_id("1.jpg", None) == "i7"
    assert ids.classes == ("12", 3, "c9")
    assert ids.categories == {"12": "cat", 3: "cow", "c9": "dog"}


@pytest.mark.parametrize(
    ("categories", "names", "expected"),
    [
        (("cat", "cat"), ("cat",), (2,)),  # as some exporters write the name of the whole set, too
        (("Cat", "cat"), ("Cat",), (2,)),
        (("Cat", "cat"), ("Cat", "cat"), (1, 2)),
        (("dog", "big_cat"), ("big cat", "dog"), (2, 1)),
    ],
)
def test_of_categories_of_one_name_the_one_with_objects_counts(
    tmp_path: Path, categories: tuple[str, ...], names: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 8, "height": 8}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 4], "area": 16}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(categories, 1)],
    }
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(document))
    assert ids_of(path, names, ("1.jpg",)).classes == expected


@pytest.mark.parametrize("name", ["https://host/set/a%20b.jpg?v=2", "a%20b.jpg", "C:\\set\\a b.jpg"])
def test_addresses_are_understood_as_everywhere_else(tmp_path: Path, name: str) -> None:
    ids = ids_of(annotations(tmp_path, (name, "c.jpg")), ("big cat",), ("a b.jpg", "c.jpg"))
    assert ids.image_id("a b.jpg", None) == 10
