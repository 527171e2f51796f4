from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from yolotrt.errors import UsageError
from yolotrt.geometry.letterbox import PADDING
from yolotrt.geometry.tiles import MOST_TILES, split_groups, tile_grid


def test_uhd_gives_32_tiles() -> None:
    grid = tile_grid((3840, 2160))
    xs = [*range(0, 3073, 512), 3200]
    assert grid.origins == tuple((x, y) for y in (0, 512, 1024, 1520) for x in xs)
    assert len(grid.origins) == 32


@settings(deadline=None, derandomize=True)
@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(0, 0.9),
)
def test_tiles_are_whole_cover_the_frame_and_overlap(w, h, tw, th, overlap) -> None:
    steps = [max(side - round(side * overlap), 1) for side in (tw, th)]
    counts = [
        -(-max(frame - tile, 0) // step) + 1
        for frame, tile, step in zip((w, h), (tw, th), steps, strict=True)
    ]
    assume(counts[0] * counts[1] <= MOST_TILES)
    grid = tile_grid((w, h), (tw, th), overlap)
    assert len(grid.origins) == counts[0] * counts[1]
    for axis, (frame, tile) in enumerate(((w, tw), (h, th))):
        starts = sorted({origin[axis] for origin in grid.origins})
        assert starts[0] == 0
        assert starts[-1] == max(frame - tile, 0)
        for left, right in pairwise(starts):
            assert left < right <= left + max(tile - round(tile * overlap), 1)
    assert len(set(grid.origins)) == len(grid.origins)
    assert list(grid.origins) == sorted(grid.origins, key=lambda o: (o[1], o[0]))


def test_cut_gives_views() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    grid = tile_grid((130, 90), (64, 48), 0.25)
    tiles = grid.cut(frame)
    for (x, y), tile in zip(grid.origins, tiles, strict=True):
        assert np.shares_memory(tile, frame)
        np.testing.assert_array_equal(tile, frame[y : y + 48, x : x + 64])


def test_a_small_frame_is_padded_right_and_below() -> None:
    frame = np.full((30, 100, 3), 7, np.uint8)
    grid = tile_grid((100, 30), (64, 64))
    tiles = grid.cut(frame)
    assert grid.origins == ((0, 0), (36, 0))
    assert grid.placement.image_wh == (64, 30)
    for tile in tiles:
        assert tile.shape == (64, 64, 3)
        assert (tile[:30] == 7).all()
        assert (tile[30:] == PADDING).all()


def test_cut_refuses_another_frame() -> None:
    with pytest.raises(ValueError, match="expected a frame"):
        tile_grid((100, 30), (64, 64)).cut(np.zeros((100, 30, 3), np.uint8))


@pytest.mark.parametrize(
    ("tile_wh", "overlap"),
    [((0, 64), 0.2), ((64, -1), 0.2), ((64, 64), 1.0), ((64, 64), -0.1), ((64, 64), float("nan"))],
)
def test_nonsense_is_refused(tile_wh, overlap) -> None:
    with pytest.raises(UsageError):
        tile_grid((640, 480), tile_wh, overlap)


@pytest.mark.parametrize(
    ("frame_wh", "tile_wh", "overlap", "tiles"),
    [
        ((640, 480), (128, 128), 0.99, "181,089"),
        ((10**9, 10**9), (640, 640), 0.2, "3,814,697,265,625"),
        ((1000, 1000), (1, 1), 0.0, "1,000,000"),
    ],
)
def test_too_many_tiles_are_counted_not_made(frame_wh, tile_wh, overlap, tiles) -> None:
    with pytest.raises(UsageError, match=f"makes {tiles} tiles .* more than the 4,096") as error:
        tile_grid(frame_wh, tile_wh, overlap)
    assert "--overlap" in (error.value.hint or "")


def test_the_largest_picture_that_is_read_can_be_tiled() -> None:
    assert len(tile_grid((16_000, 16_000), (320, 320)).origins) == 3969 <= MOST_TILES


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 200), st.data())
def test_groups_are_contiguous_and_even(n_tiles, data) -> None:
    groups = split_groups(n_tiles, data.draw(st.integers(1, n_tiles)))
    assert [i for group in groups for i in group] == list(range(n_tiles))
    sizes = [len(group) for group in groups]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("groups", [0, -1, 33])
def test_impossible_groups_are_refused(groups) -> None:
    with pytest.raises(UsageError, match="groups"):
        split_groups(32, groups)
