"""Results in the shapes of other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.workflow.test_evaluate import tiny_engine
from yolotrt import TiledPipeline
from yolotrt.data.images import read_image
from yolotrt.errors import MissingDependency, UsageError
from yolotrt.geometry.rle import decode_rle
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.frames import FrameResult


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[TiledPipeline]:
    with TiledPipeline.open(tiny_engine(tmp_path).path, decode=DecodeSettings(conf=0.5)) as opened:
        yield opened


@pytest.fixture
def result(pipeline: TiledPipeline, pictures: Path) -> FrameResult:
    return pipeline(read_image(pictures / "0.png"))


def test_masks_and_records_are_those_of_the_detections(result: FrameResult) -> None:
    found, masks = result.detections, result.masks_array()
    assert len(found) > 3
    assert masks.shape == (len(found), 150, 200)
    assert found.masks is not None
    records = result.to_coco(7)
    for k, record in enumerate(records):
        assert masks[k].sum() == found.masks[k].area
        rle = {**record["segmentation"], "counts": record["segmentation"]["counts"].encode()}
        assert decode_rle(rle).area == found.masks[k].area
        assert (record["image_id"], record["category"]) == (7, result.names[int(found.classes[k])])
    assert {record["category_id"] for record in records} <= {17, 18}, "COCO's cat and dog"


def test_what_is_not_installed_is_said(result: FrameResult, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in (("supervision", result.to_supervision), ("pandas", result.to_dataframe)):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(MissingDependency, match=f"{name} is not installed"):
            method()


def test_supervision(result: FrameResult) -> None:
    pytest.importorskip("supervision")
    found = result.to_supervision()
    np.testing.assert_array_equal(found.xyxy, result.detections.boxes)
    np.testing.assert_array_equal(found.mask, result.masks_array())
    assert set(found["class_name"]) <= {"cat", "dog"}


def test_dataframe(result: FrameResult) -> None:
    pytest.importorskip("pandas")
    table = result.to_dataframe()
    assert list(table.columns) == ["name", "class", "score", "x1", "y1", "x2", "y2", "area"]
    assert len(table) == len(result.detections)


def test_classes_that_are_not_there(pipeline: TiledPipeline, tmp_path: Path, pictures: Path) -> None:
    path = next((tmp_path / "engines").glob("*.onnx"))
    with TiledPipeline.open(path, classes=("Dog", 0), decode=DecodeSettings(conf=0.5)) as some:
        assert set(some(read_image(pictures / "0.png")).detections.classes) <= {0, 1}
    with TiledPipeline.open(path, classes=(np.int64(1),)) as some:  # type: ignore[arg-type]
        assert set(some(read_image(pictures / "0.png")).detections.classes) <= {1}
    with TiledPipeline.open(path, classes="dog") as some:  # type: ignore[arg-type]
        assert set(some(read_image(pictures / "0.png")).detections.classes) <= {1}
    with pytest.raises(UsageError, match="no class 'bird'"):
        TiledPipeline.open(path, classes=("bird",))
    with pytest.raises(UsageError, match="no class 9"):
        TiledPipeline.open(path, classes=(9,))
