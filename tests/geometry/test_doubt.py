"""What the global pass had to see, and did not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pipeline.crowds import GRID, crowd
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.doubt import doubted, seen_areas
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.merge import merge_frame

DOG, CAT = 0, 1
FRAME = tile_grid((3840, 2160))


def one(*box: float, label: int, score: float) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32), np.array([label]))


def merged(tiles: dict[int, Detections], whole: Detections) -> list[tuple[int, float]]:
    found = merge_frame([tiles.get(t, Detections.empty(masks=False)) for t in range(32)], FRAME, whole)
    return [(int(c), round(float(s), 2)) for c, s in zip(found.classes, found.scores, strict=True)]


@pytest.mark.parametrize("label", [CAT, DOG])
def test_a_piece_of_a_large_object_counts_half_if_it_is_taken_for_another(label: int) -> None:
    dog = one(100, 100, 1900, 1900, label=DOG, score=0.9)
    tile = 9  # of 640 px from (512, 512) on: fur up to its right and lower border
    piece = one(900, 900, 1152, 1152, label=label, score=0.8)
    assert merged({tile: piece}, dog) == ([(DOG, 0.9), (CAT, 0.4)] if label == CAT else [(DOG, 0.9)])


def test_what_the_global_pass_cannot_see_is_believed() -> None:
    dog = one(100, 100, 1900, 1900, label=DOG, score=0.9)
    bird = one(700, 700, 760, 760, label=CAT, score=0.7)  # in front of the dog: 10 px of the global pass
    assert merged({9: bird}, dog) == [(DOG, 0.9), (CAT, 0.7)]
    large = one(600, 600, 1000, 1000, label=CAT, score=0.7)
    assert merged({9: large}, dog) == [(DOG, 0.9), (CAT, 0.35)]
    seen = Detections.concatenate([dog, one(580, 620, 1010, 990, label=CAT, score=0.3)])
    assert merged({9: large}, seen) == [(DOG, 0.9), (CAT, 0.7)]


def test_the_sizes_are_those_of_the_global_passes_input() -> None:
    assert seen_areas(FRAME) == (96.0**2, 144.0**2)
    objects = one(0, 0, 144, 144, label=DOG, score=0.5)
    no, yes = np.array([False]), np.array([True])
    assert doubted(objects, no, no, FRAME).all()
    assert not doubted(objects, yes, no, FRAME).any(), "what the global pass saw is not held against it"


def test_without_a_global_pass_nothing_is_doubted() -> None:
    large = one(600, 600, 1000, 1000, label=CAT, score=0.7)
    tiles = [large if t == 9 else Detections.empty(masks=False) for t in range(32)]
    assert merge_frame(tiles, FRAME).scores.tolist() == pytest.approx([0.7])
    nothing = Detections.empty(masks=False)
    assert merge_frame(tiles, FRAME, nothing).scores.tolist() == pytest.approx([0.35])


def test_crowds_have_some() -> None:
    """Else the tests that hold the GPU's merging against this one would not notice."""
    tiles, whole = crowd(2, 16, global_pass=True)
    scores = {float(s) for found in (*tiles, whole) if found for s in found.scores}
    after = merge_frame(tiles, GRID, whole).scores
    assert any(float(s) not in scores and 2 * float(s) in scores for s in after)
