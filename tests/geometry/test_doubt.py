"""Pieces of what the global pass saw as something else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pipeline.crowds import GRID, crowd
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.merge import merge_frame

DOG, CAT = 0, 1
FRAME = tile_grid((3840, 2160))
TILE = 9
"""Shows 640 px from (512, 512) on."""

FUR = (900, 900, 1152, 1152)
"""A box that ends at its right and lower border."""


def one(*box: float, label: int, score: float) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32), np.array([label]))


def merged(piece: Detections, whole: Detections | None) -> list[tuple[int, float]]:
    tiles = [piece if t == TILE else Detections.empty(masks=False) for t in range(32)]
    found = merge_frame(tiles, FRAME, whole)
    return [(int(c), round(float(s), 2)) for c, s in zip(found.classes, found.scores, strict=True)]


def dog(score: float) -> Detections:
    return one(100, 100, 1900, 1900, label=DOG, score=score)


@pytest.mark.parametrize("label", [CAT, DOG])
def test_a_piece_of_a_large_object_counts_half_if_it_is_taken_for_another(label: int) -> None:
    piece = one(*FUR, label=label, score=0.8)
    assert merged(piece, dog(0.9)) == ([(DOG, 0.9), (CAT, 0.4)] if label == CAT else [(DOG, 0.9)])


@pytest.mark.parametrize(("piece", "whole"), [(0.8, 0.7), (0.2, 0.24)], ids=["less sure", "not confident"])
def test_only_what_is_confident_and_as_sure_contradicts(piece: float, whole: float) -> None:
    assert (CAT, piece) in merged(one(*FUR, label=CAT, score=piece), dog(whole))


@pytest.mark.parametrize("box", [(700, 700, 760, 760), (600, 600, 1000, 1000)], ids=["small", "large"])
def test_what_a_tile_saw_whole_is_believed(box: tuple[int, ...]) -> None:
    assert merged(one(*box, label=CAT, score=0.7), dog(0.9)) == [(DOG, 0.9), (CAT, 0.7)]


@pytest.mark.parametrize(
    "whole", [None, Detections.empty(masks=False), one(2000, 0, 3000, 900, label=DOG, score=0.9)]
)
def test_what_the_global_pass_does_not_see_is_believed(whole: Detections | None) -> None:
    assert (CAT, 0.8) in merged(one(*FUR, label=CAT, score=0.8), whole)


@pytest.mark.parametrize("least", [0.0, 0.3, 0.5, 0.6])
def test_the_least_score_decides_nothing(least: float) -> None:
    """What passes it is doubted exactly if it is without one: evaluation and application agree."""
    scores = np.linspace(0.05, 0.95, 7).astype(np.float32)
    for of_piece in scores[scores > least]:
        for of_whole in scores:
            whole = dog(of_whole) if of_whole > least else Detections.empty(masks=False)
            piece = one(*FUR, label=CAT, score=of_piece)
            assert dict(merged(piece, whole))[CAT] == dict(merged(piece, dog(of_whole)))[CAT]


def test_crowds_have_some() -> None:
    """Else the tests that hold the GPU's merging against this one would not notice."""
    tiles, whole = crowd(2, 16, global_pass=True)
    scores = {float(s) for found in (*tiles, whole) if found for s in found.scores}
    after = merge_frame(tiles, GRID, whole).scores
    assert any(float(s) not in scores and 2 * float(s) in scores for s in after)
