"""A small picture of a frame's brightness, and what of it belongs to each tile."""

from __future__ import annotations

import cv2
import numpy as np

from yolotrt.arrays import F32, U8
from yolotrt.geometry.tiles import TileGrid

CELL = 8
"""Side of a cell, px of the frame: a small object of 16 px fills four of them."""


def brightness(frame: U8) -> F32:
    """Return the brightness of a frame's cells, averaged over every second row.

    Args:
        frame: (h, w, 3) uint8 BGR.

    Returns:
        (ceil(h / 8), ceil(w / 8)) float32, 0 to 255.
    """
    height, width = frame.shape[:2]
    small_wh = max(-(-width // CELL), 1), max(-(-height // CELL), 1)
    small = cv2.resize(frame[::2] if height > CELL else frame, small_wh, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)


CellSpan = tuple[slice, slice]
"""Rows and columns of a thumbnail."""


def cells_of(grid: TileGrid) -> list[CellSpan]:
    """Return the rows and columns of a thumbnail's cells that each tile shows."""
    width, height = grid.frame_wh
    columns, rows = -(-width // CELL), -(-height // CELL)

    def span(begin: int, length: int, side: int, count: int) -> slice:
        return slice(begin * count // side, max(-(-(begin + length) * count // side), 1))

    wide, high = grid.content_wh
    return [(span(y, high, height, rows), span(x, wide, width, columns)) for x, y in grid.origins]
