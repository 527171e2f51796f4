"""Parts of a picture that somebody drew, and the tiles that touch them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from yolotrt.arrays import F64, Bits
from yolotrt.errors import UsageError
from yolotrt.geometry.tiles import TileGrid

_ASPECT = 0.01
"""How much a frame's aspect ratio may differ from the picture's that polygons were drawn in."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Polygons in a picture.

    Attributes:
        polygons: (n, 2) float64 each, corners x, y in px of the picture; the last one is joined to the first.
        picture_wh: Width and height of the picture, px; None takes every frame's own.
        label: Where they come from, for messages.
    """

    polygons: tuple[F64, ...]
    picture_wh: tuple[int, int] | None = None
    label: str = "the regions"

    def of(self, grid: TileGrid) -> TileGrid:
        """Return the grid with the tiles alone that touch a polygon.

        Args:
            grid: All tiles of a frame. A frame of another size than the picture, but of its form, is the
                same picture in another resolution.

        Raises:
            UsageError: The frame has another form than the picture, or no tile touches.
        """
        scale = self._scale(grid.frame_wh)
        touches = np.zeros(len(grid.origins), np.bool_)
        for polygon in self.polygons:
            touches |= touching(grid, polygon * scale)
        if not touches.any():
            width, height = grid.frame_wh
            raise UsageError(
                f"No tile of a frame of {width}x{height} px touches {self.label}.",
                hint="Polygons are in px of the picture: x from 0 to its width, y from 0 to its height.",
            )
        kept = tuple(origin for origin, good in zip(grid.origins, touches, strict=True) if good)
        return replace(grid, origins=kept)

    def _scale(self, frame_wh: tuple[int, int]) -> F64:
        if self.picture_wh is None:
            return np.ones(2)
        scale = np.array(frame_wh, np.float64) / self.picture_wh
        if abs(scale[0] / scale[1] - 1) > _ASPECT:
            raise UsageError(
                "{} was drawn in a picture of {}x{} px, and a frame has {}x{}.".format(
                    self.label, *self.picture_wh, *frame_wh
                ),
                hint="Draw it in a picture of this camera.",
            )
        return scale


def touching(grid: TileGrid, polygon: F64) -> Bits:
    """Return which tiles share an area, an edge or a point with a polygon.

    A tile and a polygon meet if an edge of the polygon runs through the tile (Liang and Barsky's clipping,
    1984), or if the tile lies inside: then so does its corner, by the even-odd rule.

    Args:
        grid: The tiles.
        polygon: (n, 2) corners x, y in px of the frame.
    """
    low = np.array(grid.origins, np.float64).reshape(-1, 1, 2)
    high = low + grid.content_wh
    begin, end = polygon[None], np.roll(polygon, -1, axis=0)[None]
    step = end - begin
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = (low - begin) / step, (high - begin) / step
    level = step == 0
    inside = (low <= begin) & (begin <= high)
    enters = np.where(level, np.where(inside, -np.inf, np.inf), np.minimum(first, last)).max(axis=2)
    leaves = np.where(level, np.where(inside, np.inf, -np.inf), np.maximum(first, last)).min(axis=2)
    crosses = (np.maximum(enters, 0) <= np.minimum(leaves, 1)).any(axis=1)
    result: Bits = crosses | _holds(polygon, low[:, 0])
    return result


def _holds(polygon: F64, points: F64) -> Bits:
    """Return which of (m, 2) points lie inside a polygon, by the even-odd rule."""
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    x, y = points[:, :1], points[:, 1:]
    spans = (y0 <= y) != (y1 <= y)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    result: Bits = (spans & right).sum(axis=1) % 2 == 1
    return result
