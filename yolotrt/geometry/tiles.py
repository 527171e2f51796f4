"""Cover a frame with overlapping tiles of one size, and deal the tiles out to groups."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from yolotrt.arrays import U8
from yolotrt.errors import UsageError
from yolotrt.geometry.letterbox import PADDING, Letterbox
from yolotrt.geometry.tile_overlap import require_overlap

MOST_TILES = 4096
"""Tiles that a frame may have: 256 megapixels in tiles of 320 px are 3969. An overlap just below 1 makes
hundreds of thousands, each of which would be a run of the network."""


@dataclass(frozen=True)
class TileGrid:
    """Where the tiles of a frame lie.

    Attributes:
        frame_wh: Width and height of the frame, px.
        tile_wh: Width and height of every tile, px.
        origins: Upper left corner (x, y) of each tile in the frame, row by row.
    """

    frame_wh: tuple[int, int]
    tile_wh: tuple[int, int]
    origins: tuple[tuple[int, int], ...]

    @property
    def content_wh(self) -> tuple[int, int]:
        """Width and height of the part of a tile that shows the frame; the rest is padding."""
        return min(self.frame_wh[0], self.tile_wh[0]), min(self.frame_wh[1], self.tile_wh[1])

    @property
    def placement(self) -> Letterbox:
        """How the frame's pixels lie in each tile; its image frame is the tile's content."""
        return Letterbox(self.content_wh, self.tile_wh, 1.0, self.content_wh, (0, 0))

    def cut(self, frame: U8) -> list[U8]:
        """Return the tiles of a frame, in the order of ``origins``.

        Args:
            frame: (h, w, 3) uint8 of ``frame_wh``.

        Returns:
            (tile_h, tile_w, 3) uint8 each: views into the frame, or copies padded at the right and
            bottom where the frame is smaller than a tile.

        Raises:
            ValueError: The frame is not of ``frame_wh``.
        """
        if frame.shape != (self.frame_wh[1], self.frame_wh[0], 3):
            raise ValueError(f"expected a frame of {self.frame_wh} px, got shape {frame.shape}")
        width, height = self.tile_wh
        tiles = [frame[y : y + height, x : x + width] for x, y in self.origins]
        if self.content_wh == self.tile_wh:
            return tiles
        return [_padded(tile, self.tile_wh) for tile in tiles]


def tile_grid(
    frame_wh: tuple[int, int], tile_wh: tuple[int, int] = (640, 640), overlap: float = 0.2
) -> TileGrid:
    """Cover a frame with tiles of full size.

    Neighbours overlap by at least ``overlap``: the last column and row are pulled back to the frame's
    edge instead of being cut short, because an engine takes only whole tiles.

    Args:
        frame_wh: Width and height of the frame, px.
        tile_wh: Width and height of a tile, px.
        overlap: Part of a tile's width and height shared with the next one, in [0, 1).

    Raises:
        UsageError: The tile has no size, the overlap is outside [0, 1), a side of the frame is 0, or there
            would be more than :data:`MOST_TILES`.
    """
    if min(*frame_wh, *tile_wh) < 1:
        raise UsageError(
            "Cannot cut a frame of {}x{} px into tiles of {}x{} px.".format(*frame_wh, *tile_wh),
            hint="Frame and tile need at least 1 px on each side, such as --tile 640.",
        )
    require_overlap(overlap)
    columns, rows = (_starts(frame, tile, overlap) for frame, tile in zip(frame_wh, tile_wh, strict=True))
    count = (len(columns) + 1) * (len(rows) + 1)
    if count > MOST_TILES:
        raise UsageError(
            "A frame of {}x{} px makes {:,} tiles of {}x{} px at an overlap of {:g}, ".format(
                *frame_wh, count, *tile_wh, overlap
            )
            + f"more than the {MOST_TILES:,} that one frame may have.",
            hint="Use a smaller --overlap (0.2 is usual), an engine of a larger input, or a smaller frame.",
        )
    lasts = (max(frame - tile, 0) for frame, tile in zip(frame_wh, tile_wh, strict=True))
    xs, ys = ([*starts, last] for starts, last in zip((columns, rows), lasts, strict=True))
    return TileGrid(frame_wh, tile_wh, tuple((x, y) for y in ys for x in xs))


def split_groups(n_tiles: int, groups: int) -> list[range]:
    """Deal ``n_tiles`` tiles out to ``groups`` contiguous groups whose sizes differ by at most one.

    Raises:
        UsageError: There are fewer than 1 group or more groups than tiles.
    """
    if not 1 <= groups <= n_tiles:
        raise UsageError(
            f"{n_tiles} tile{'s'[: n_tiles != 1]} cannot be dealt out to {groups} groups.",
            hint=f"Use --groups between 1 and {n_tiles}.",
        )
    bounds = [n_tiles * g // groups for g in range(groups + 1)]
    return [range(begin, end) for begin, end in pairwise(bounds)]


def _starts(frame: int, tile: int, overlap: float) -> range:
    """Return where tiles begin along one side, px; one more ends at the frame's edge."""
    return range(0, max(frame - tile, 0), max(tile - round(tile * overlap), 1))


def _padded(tile: U8, tile_wh: tuple[int, int]) -> U8:
    padded = np.full((tile_wh[1], tile_wh[0], 3), PADDING, np.uint8)
    padded[: tile.shape[0], : tile.shape[1]] = tile
    return padded
