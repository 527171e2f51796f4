from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.errors import UsageError
from yolotrt.geometry.regions import Regions, touching
from yolotrt.geometry.tiles import tile_grid

GRID = tile_grid((640, 360), (100, 100), 0.0)
CORNERS = st.lists(st.tuples(st.integers(-80, 720), st.integers(-80, 440)), min_size=3, max_size=6)


@settings(max_examples=60, deadline=None)
@given(CORNERS)
def test_a_tile_touches_what_reaches_into_it(corners: list[tuple[int, int]]) -> None:
    """Against a plain look at a raster of points; touching by less than a step of it may be missed there."""
    polygon = np.array(corners, np.float64)
    touches = touching(GRID, polygon)
    xs, ys = np.meshgrid(np.arange(0.5, 100, 3), np.arange(0.5, 100, 3))
    for (x, y), touched in zip(GRID.origins, touches, strict=True):
        px, py = x + xs.ravel(), y + ys.ravel()
        inside = np.zeros(len(px), np.bool_)
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 != y1:
                inside ^= ((y0 <= py) != (y1 <= py)) & (px < x0 + (py - y0) * (x1 - x0) / (y1 - y0))
        assert touched or not inside.any()
        around = np.abs(polygon - np.clip(polygon, (x, y), (x + 100, y + 100))).sum(axis=1)
        assert touched or around.min() > 0, "a corner in the tile touches it"
    apart = (polygon.max(axis=0) < 0).any() or (polygon.min(axis=0) > (640, 360)).any()
    assert not (apart and touches.any())


def test_a_region_inside_a_tile_and_one_around_all_of_them() -> None:
    small = np.array([[150, 130], [160, 130], [155, 140]], np.float64)
    assert Regions((small,)).of(GRID).origins == ((100, 100),)
    around = np.array([[-10, -10], [700, -10], [700, 400], [-10, 400]], np.float64)
    assert Regions((around,)).of(GRID) == GRID


def test_regions_follow_the_camera_into_another_resolution_and_no_further() -> None:
    drawn = Regions((np.array([[300, 260], [320, 260], [310, 280]], np.float64),), (1280, 720), "lane.json")
    assert drawn.of(GRID).origins == ((100, 100),)
    with pytest.raises(UsageError, match=r"lane.json was drawn in a picture of 1280x720"):
        drawn.of(tile_grid((640, 480), (100, 100), 0.0))
    with pytest.raises(UsageError, match="No tile"):
        Regions((np.array([[900, 0], [990, 0], [950, 50]], np.float64),)).of(GRID)
