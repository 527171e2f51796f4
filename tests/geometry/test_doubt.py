"""What tiles found, and the global pass saw as something else or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pipeline.crowds import GRID, crowd
from yolotrt.geometry.boxes import areas
from yolotrt.geometry.detections import CONFIDENT, Detections, PerImage
from yolotrt.geometry.doubt import doubted, heard_of, visible_area
from yolotrt.geometry.seams import GLOBAL_PASS
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.merge import Candidates, MergeSettings, joined_at_seams, merge_frame

DOG, CAT = 0, 1
FRAME = tile_grid((3840, 2160))
TILE = 9
"""Shows 640 px from (512, 512) on."""

FUR = (1060, 1060, 1152, 1152)
"""A box that ends at its right and lower border, and is too small for the global pass: 15 px of its input."""

WALL = (512, 512, 1152, 1152)
"""All that the tile shows: 107 px, 7 times as long as what can just be seen."""


def one(*box: float, label: int, score: float) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32), np.array([label]))


def merged(piece: Detections, whole: Detections | None, conf: float = 0.0) -> list[tuple[int, float]]:
    tiles = [piece if t == TILE else Detections.empty(masks=False) for t in range(32)]
    found = merge_frame(tiles, FRAME, whole, conf=conf)
    return [(int(c), round(float(s), 4)) for c, s in zip(found.classes, found.scores, strict=True)]


def dog(score: float) -> Detections:
    return one(100, 100, 1900, 1900, label=DOG, score=score)


@pytest.mark.parametrize("label", [CAT, DOG])
def test_a_piece_of_a_large_object_counts_half_if_it_is_taken_for_another(label: int) -> None:
    piece = one(*FUR, label=label, score=0.8)
    assert merged(piece, dog(0.9)) == ([(DOG, 0.9), (CAT, 0.4)] if label == CAT else [(DOG, 0.9)])


@pytest.mark.parametrize(("piece", "whole"), [(0.8, 0.7), (0.2, 0.24)], ids=["less sure", "not confident"])
def test_only_what_is_confident_and_as_sure_contradicts(piece: float, whole: float) -> None:
    assert (CAT, piece) in merged(one(*FUR, label=CAT, score=piece), dog(whole))


def test_what_a_tile_saw_whole_is_believed_if_it_is_small() -> None:
    assert merged(one(700, 700, 760, 760, label=CAT, score=0.7), dog(0.9)) == [(DOG, 0.9), (CAT, 0.7)]


@pytest.mark.parametrize(
    "whole", [None, Detections.empty(masks=False), one(2000, 0, 3000, 900, label=DOG, score=0.9)]
)
def test_what_the_global_pass_cannot_see_is_believed(whole: Detections | None) -> None:
    assert (CAT, 0.8) in merged(one(*FUR, label=CAT, score=0.8), whole)


TIMES = 640 / 96
"""How many times the sides of ``WALL`` exceed those of what the global pass can just see."""

LOUD = TIMES + 2 * (TIMES**2 - TIMES)
"""What its silence about ``WALL`` divides the odds by where every guess is told."""


def divided(score: float, by: float) -> float:
    return 1 / (1 + by * (1 - score) / score)  # in other words than the rule has


@pytest.mark.parametrize("score", [0.5, 0.9, 1.0])
@pytest.mark.parametrize(
    ("conf", "times"), [(0.0, LOUD), (0.125, (TIMES + LOUD) / 2), (0.25, TIMES), (0.4, TIMES)]
)
def test_the_odds_of_what_it_had_to_see_fall_with_the_size(score: float, conf: float, times: float) -> None:
    ((label, found),) = merged(one(*WALL, label=CAT, score=score), Detections.empty(masks=False), conf)
    assert label == CAT
    assert found == pytest.approx(max(divided(score, times), conf), abs=2e-4)


def test_they_fall_by_the_square_inside_something_larger() -> None:
    cat = one(*WALL, label=CAT, score=0.999)
    assert dict(merged(cat, dog(0.2)))[CAT] == pytest.approx(divided(0.999, LOUD**2), abs=1e-4)
    for whole in (dog(0.09), one(500, 500, 1152, 1152, label=DOG, score=0.2)):  # too faint, not larger
        assert dict(merged(cat, whole))[CAT] == pytest.approx(divided(0.999, LOUD), abs=1e-4)
    away = one(600, 600, 1000, 1000, label=CAT, score=0.9)  # from the borders of its tile
    n = 400 / 96
    assert dict(merged(away, dog(0.2)))[CAT] == pytest.approx(divided(0.9, n + 2 * (n * n - n)), abs=1e-4)


def test_nothing_is_silence_where_nothing_looked() -> None:
    assert merged(one(*WALL, label=CAT, score=0.9), None) == [(CAT, 0.9)]


@pytest.mark.parametrize("said", [0.01, 0.05, 0.125, 0.25])
def test_a_faint_guess_of_the_same_counts_for_the_part_that_it_is_confident(said: float) -> None:
    cat = one(600, 600, 1000, 1000, label=CAT, score=0.9)
    n = 400 / 96
    times = 1 + (n + 2 * (n * n - n) - 1) * (1 - said / 0.25)
    guess = one(600, 600, 1000, 860, label=CAT, score=said)  # also a duplicate
    ((label, found),) = merged(cat, guess)
    assert label == CAT
    assert found == pytest.approx(max(divided(0.9, times), said), abs=1e-4)


@pytest.mark.parametrize("left", [600, 512], ids=["inside", "at a border"])
def test_of_what_ends_at_a_border_more_has_to_be_the_same(left: int) -> None:
    cat = one(left, 600, left + 400, 1000, label=CAT, score=0.9)
    part = one(left, 600, left + 160, 1000, label=CAT, score=0.3)  # at an IoU of 0.4
    assert ((CAT, 0.9) in merged(cat, part)) == (left == 600)


def test_what_goes_behind_stays_above_the_least_score_and_in_order() -> None:
    """All are seen whole, by different tiles; the odds are 4 times lower than their scores say."""
    tiles = [Detections.empty(masks=False)] * 32
    for tile, score in {0: 0.26, 9: 0.4, 20: 0.5}.items():
        x, y = FRAME.origins[tile]
        tiles[tile] = one(x + 120, y + 120, x + 520, y + 520, label=CAT, score=score)
    seen = one(3000, 1500, 3100, 1600, label=DOG, score=0.251)
    for conf in (0.25, 0.001):
        found = merge_frame(tiles, FRAME, seen, conf=conf)
        assert len(found) == 4
        assert (found.scores > np.float32(conf)).all()
        assert found.boxes[0].tolist() == seen.boxes[0].tolist()
        assert [b[0] - 120 for b in found.boxes[1:].tolist()] == [FRAME.origins[t][0] for t in (20, 9, 0)]


@pytest.mark.parametrize("least", [0.0, 0.3, 0.5, 0.6])
def test_the_least_score_does_not_decide_what_contradicts(least: float) -> None:
    """What passes it is doubted exactly if it is without one: evaluation and application agree."""
    scores = np.linspace(0.05, 0.95, 7).astype(np.float32)
    for of_piece in scores[scores > least]:
        for of_whole in scores:
            whole = dog(of_whole) if of_whole > least else Detections.empty(masks=False)
            piece = one(*FUR, label=CAT, score=of_piece)
            assert dict(merged(piece, whole))[CAT] == dict(merged(piece, dog(of_whole)))[CAT]


def test_crowds_have_all_of_them() -> None:
    """Else the tests that hold the GPU's merging against this one would not notice."""
    found: set[tuple[bool, str]] = set()
    for seed, n in ((2, 16), (5, 40)):
        tiles, whole = crowd(seed, n, global_pass=True)
        assert whole is not None
        seen = PerImage.of([*tiles, whole])
        tile = np.where(seen.image == len(tiles), GLOBAL_PASS, seen.image)
        objects, tile, touches = joined_at_seams(Candidates(seen.found, tile, GRID), MergeSettings())
        global_, visible = tile == GLOBAL_PASS, visible_area(GRID)
        against, said = heard_of(objects, global_, touches, visible, CONFIDENT)
        silent = np.sqrt(areas(objects.boxes) / visible)
        kinds = np.select(
            [against == 1, said > 0, against > 1.01 * silent], ["believed", "faint", "piece"], "silence"
        )
        found |= set(zip(doubted(objects, global_, touches).tolist(), kinds.tolist(), strict=True))
    assert found >= {*((False, k) for k in ("believed", "faint", "piece", "silence")), (True, "piece")}
