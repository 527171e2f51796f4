"""The part of a frame that is shown twice."""

from __future__ import annotations

import numpy as np
import pytest

from yolotrt.report.beside import PART_WH, beside, fullest_part

WH = (3840, 2160)


def inside(points: np.ndarray, origin: tuple[int, int]) -> int:
    low = np.array(origin)
    return int(((points >= low) & (points < low + PART_WH)).all(axis=1).sum())


@pytest.mark.parametrize("seed", range(5))
def test_no_other_part_holds_more_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = (rng.random((40, 2)) * WH).astype(np.float32)
    origin = fullest_part(points, WH)
    room = np.subtract(WH, PART_WH)
    assert (np.array(origin) >= 0).all()
    assert (np.array(origin) <= room).all()
    tried = (rng.random((500, 2)) * (room + 1)).astype(int)
    assert inside(points, origin) >= max(inside(points, (int(x), int(y))) for x, y in tried)


def test_without_points_it_is_the_middle() -> None:
    assert fullest_part(np.zeros((0, 2), np.float32), WH) == (1248, 540)


def test_a_frame_smaller_than_the_part_is_shown_whole() -> None:
    picture = np.full((300, 400, 3), 7, np.uint8)
    assert fullest_part(np.array([[390, 290]], np.float32), (400, 300)) == (0, 0)
    joined = beside([("before", picture), ("after", picture)], (0, 0))
    assert joined.shape == (150 + 32, 200 + 8 + 200, 3)
    assert (joined[40:, :200] == 7).all()
    assert (joined[:, 200:208] == 255).all()
    assert (joined[:32, :200] > 200).any()
