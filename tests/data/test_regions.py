from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yolotrt.data.regions import read_regions
from yolotrt.errors import ArtifactError

TRIANGLE = [[10, 20], [90, 20], [50, 70.5]]
FLAT = [10, 20, 90, 20, 50, 70.5]
FORMS: list[tuple[Any, tuple[int, int] | None]] = [
    ([TRIANGLE], None),
    ({"polygons": [TRIANGLE]}, None),
    ({"size": [100, 80], "polygons": [FLAT]}, (100, 80)),
    (
        {
            "version": "5.4.1",
            "imageWidth": 100,
            "imageHeight": 80,
            "shapes": [{"label": "lane", "shape_type": "polygon", "points": TRIANGLE}],
        },
        (100, 80),
    ),
    (
        {
            "images": [{"id": 1, "width": 100, "height": 80}],
            "annotations": [{"image_id": 1, "segmentation": [FLAT]}],
        },
        (100, 80),
    ),
]


@pytest.mark.parametrize(("document", "size"), FORMS)
def test_every_form_says_the_same(tmp_path: Path, document: Any, size: tuple[int, int] | None) -> None:
    path = tmp_path / "lane.json"
    path.write_text(json.dumps(document))
    found = read_regions(path)
    assert [p.tolist() for p in found.polygons] == [TRIANGLE]
    assert (found.picture_wh, found.label) == (size, "lane.json")


def test_rectangles_of_labelme_have_four_corners(tmp_path: Path) -> None:
    path = tmp_path / "yard.json"
    path.write_text(json.dumps({"shapes": [{"shape_type": "rectangle", "points": [[1, 2], [5, 9]]}]}))
    assert read_regions(path).polygons[0].tolist() == [[1, 2], [5, 2], [5, 9], [1, 9]]


@pytest.mark.parametrize(
    "document",
    [[], {}, 3, [[[0, 0], [1, 1]]], [[[0, 0], [1, 1], [None, 2]]], {"shapes": [{}]}, {"polygons": "abc"},
     {"images": [], "annotations": []}, {"size": [0, 4], "polygons": [TRIANGLE]}, [[1, 2, 3, 4, 5, 6, 7]]],
)  # fmt: skip
def test_what_holds_no_polygons_is_refused_in_a_line(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "lane.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"lane.json holds") as caught:
        read_regions(path)
    assert caught.value.hint is not None
