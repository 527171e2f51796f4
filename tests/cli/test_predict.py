"""``yolotrt predict``: pictures, folders and videos in; drawn pictures and COCO records out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.workflow.test_evaluate import tiny_engine
from yolotrt.geometry.rle import decode_rle


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return tiny_engine(tmp_path).path


def test_a_folder(cli: Cli, engine: Path, pictures: Path) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    done = cli("predict", engine, pictures, "--save", "found", "--json", "r.json", "--merge", "nmm",
               "--conf", 0.4)  # fmt: skip
    assert done.code == 0, done.err
    assert "skipped" in done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [f"{i}.png" for i in range(4)]
    records = json.loads(Path("r.json").read_text())
    assert {r["image"] for r in records} <= {f"{i}.png" for i in range(4)}
    for record in records[:20]:
        x, y, w, h = record["bbox"]
        rle = {**record["segmentation"], "counts": record["segmentation"]["counts"].encode()}
        found = decode_rle(rle)
        if found.area:
            height, width = found.bits.shape
            assert x - 1 <= found.x <= found.x + width <= x + w + 1
            assert y - 1 <= found.y <= found.y + height <= y + h + 1
    for i in range(4):
        before, after = (cv2.imread(str(folder / f"{i}.png")) for folder in (pictures, Path("found")))
        assert before.shape == after.shape
        assert (before != after).any() == any(r["image"] == f"{i}.png" for r in records)


def test_one_picture_to_stdout(cli: Cli, engine: Path, pictures: Path) -> None:
    done = cli("predict", engine, pictures / "0.png", "--mode", "global", "--json", "-", "--conf", 0.4)
    assert done.code == 0, done.err
    assert {"image", "category_id", "category", "bbox", "score", "segmentation"} == set(
        json.loads(done.out)[0]
    )


def test_a_video(cli: Cli, engine: Path, tmp_path: Path) -> None:
    sink = cv2.VideoWriter(str(tmp_path / "in.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (128, 96))
    for k in range(3):
        sink.write(np.full((96, 128, 3), 60 * k, np.uint8))
    sink.release()
    done = cli("predict", engine, tmp_path / "in.mp4", "--save", "found")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 3
    film = cv2.VideoCapture("found/in.mp4")
    assert sum(1 for _ in iter(lambda: film.read()[0], False)) == 3


@pytest.mark.parametrize("source", ["nowhere.jpg", "nowhere.mp4", "."])
def test_a_source_without_pictures(cli: Cli, engine: Path, source: str) -> None:
    done = cli("predict", engine, source)
    assert (done.code, "Traceback" in done.err) == (1, False), done.err
