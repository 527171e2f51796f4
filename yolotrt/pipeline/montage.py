"""Some tiles of a frame as a frame of their own: one column, which any pipeline can look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import TileGrid


class Montage:
    """Puts tiles one below the other, and finds what was seen there back in the frame.

    Args:
        grid: The tiles of the frame; none of them may be padded.
    """

    def __init__(self, grid: TileGrid) -> None:
        self._grid = grid
        self._rows = np.empty((0, grid.tile_wh[0], 3), np.uint8)

    def of(self, frame: Frame, tiles: Sequence[int]) -> Frame:
        """Return the tiles, valid until the next call: (tiles * tile_h, tile_w, 3) uint8."""
        width, height = self._grid.tile_wh
        if len(self._rows) < len(tiles) * height:
            self._rows = np.empty((len(tiles) * height, width, 3), np.uint8)
        for place, tile in enumerate(tiles):
            x, y = self._grid.origins[tile]
            self._rows[place * height : (place + 1) * height] = frame[y : y + height, x : x + width]
        return self._rows[: len(tiles) * height]

    def back(self, tiles: Sequence[int], found: Sequence[Detections]) -> list[Detections]:
        """Return what each tile of a montage showed, in px of the frame."""
        height = self._grid.tile_wh[1]
        origins = [self._grid.origins[tile] for tile in tiles]
        return [
            seen.moved(x, y - place * height)
            for place, ((x, y), seen) in enumerate(zip(origins, found, strict=True))
        ]
