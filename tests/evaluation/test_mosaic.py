from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.worlds import IMAGE_WH, world
from yolotrt.data.images import read_image
from yolotrt.errors import ArtifactError, UsageError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.evaluation.mosaic import plan_mosaics, write_mosaics
from yolotrt.geometry.rle import decode_rle

FRAME_WH = (640, 360)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=30),
    st.integers(64, 900),
    st.integers(64, 900),
    st.integers(0, 99),
)
def test_each_image_lies_in_one_frame_and_none_overlap(sizes, width, height, seed) -> None:
    frames = plan_mosaics(list(enumerate(sizes)), (width, height), seed)
    places = [place for frame in frames for place in frame]
    assert sorted(p.image_id for p in places) == list(range(len(sizes)))
    assert all(frames)
    for frame in frames:
        covered = np.zeros((height, width), int)
        for p in frame:
            assert min(p.x, p.y) >= 0
            assert p.x + p.size_wh[0] <= width
            assert p.y + p.size_wh[1] <= height
            covered[p.y : p.y + p.size_wh[1], p.x : p.x + p.size_wh[0]] += 1
        assert covered.max() <= 1


@pytest.fixture
def annotated(tmp_path: Path):
    _, truth = world(tmp_path, 5, images=9)
    rng = np.random.default_rng(0)
    for image in truth.images:
        cv2.imwrite(str(tmp_path / image.name), rng.integers(0, 256, (IMAGE_WH[1], IMAGE_WH[0], 3), np.uint8))
    return truth


def test_annotations_go_where_their_images_go(annotated, tmp_path: Path) -> None:
    composed = load_ground_truth(write_mosaics(annotated, tmp_path, tmp_path / "out", frame_wh=FRAME_WH))
    frames = plan_mosaics([(i.id, i.size_wh) for i in annotated.images], FRAME_WH)
    assert [image.size_wh for image in composed.images] == [FRAME_WH] * len(frames)
    for image, places in zip(composed.images, frames, strict=True):
        assert read_image(tmp_path / "out" / "images" / image.name).shape == (360, 640, 3)
        objects = composed.objects[image.id]
        k = 0
        for place in places:
            before = annotated.objects[place.image_id]
            for j in range(len(before.areas)):
                scale = place.size_wh[0] / IMAGE_WH[0]
                assert objects.categories[k] == before.categories[j]
                np.testing.assert_allclose(
                    objects.boxes[k], before.boxes[j] * scale + [place.x, place.y, 0, 0], atol=2
                )
                if not before.crowd[j]:
                    was, now = decode_rle(before.masks[j]), decode_rle(objects.masks[k])
                    # Edges move by up to half a pixel when the image is scaled.
                    edge = 2 * scale * sum(was.bits.shape) + 8
                    assert now.area == pytest.approx(was.area * scale**2, abs=edge)
                k += 1
        assert k == len(objects.areas)


def test_the_same_seed_gives_the_same_files(annotated, tmp_path: Path) -> None:
    paths = [write_mosaics(annotated, tmp_path, tmp_path / name, frame_wh=FRAME_WH) for name in "ab"]
    for one in sorted((tmp_path / "a").rglob("*.*")):
        assert one.read_bytes() == (tmp_path / "b" / one.relative_to(tmp_path / "a")).read_bytes()
    other = write_mosaics(annotated, tmp_path, tmp_path / "c", frame_wh=FRAME_WH, seed=1)
    assert json.loads(other.read_text()) != json.loads(paths[0].read_text())


def test_a_frame_too_small_for_a_mosaic() -> None:
    with pytest.raises(UsageError):
        plan_mosaics([(0, (10, 10))], (63, 400))


def test_pictures_of_another_size_than_annotated_are_refused(annotated, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "3.png"), np.zeros((IMAGE_WH[0], IMAGE_WH[1], 3), np.uint8))
    with pytest.raises(ArtifactError, match="160x200 px, but 200x160 px"):
        write_mosaics(annotated, tmp_path, tmp_path / "out", frame_wh=FRAME_WH)
