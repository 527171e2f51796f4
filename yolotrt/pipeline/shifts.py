"""Whether the camera has moved, from how far the picture in each tile has shifted.

Each tile's shift comes from one step of Lucas and Kanade (1981): least squares between how its brightness
changed and how steep it is. One tile alone may hold a swaying tree or a bus; a camera moves most of them.
"""

from __future__ import annotations

import numpy as np

from yolotrt.arrays import F32, I64

MOVES = 0.12
"""Cells by which the median tile must have shifted for the camera to have moved: 1 px."""

ALIKE = 0.6
"""Part of the tiles that must have shifted as the median one has."""

_NEAR, _NEAR_PART = 0.1, 0.4
"""What counts as alike: cells, and part of the median's shift."""

_STEEP = 4.0
"""Mean square of the slope, grey levels a cell, below which a tile has no texture that could tell."""

_LEAST_TILES = 4


def slopes(now: F32, then: F32, gain: np.float32) -> F32:
    """Return the sums that a tile's shift is solved from.

    Args:
        now: (h, w) brightness of the tile's cells.
        then: The same when it was looked at.
        gain: How much brighter the light is now.

    Returns:
        (5,) sums over all but the outermost cells of ``gx * gx``, ``gx * gy``, ``gy * gy``, ``gx * off``,
        ``gy * off``, with ``gx`` and ``gy`` the slopes of what was seen, in today's light, and ``off`` what
        is brighter now.
    """
    if min(now.shape) < 3:
        return np.zeros(5, np.float32)
    half = np.float32(0.5) * gain
    across = ((then[1:-1, 2:] - then[1:-1, :-2]) * half).ravel()
    down = ((then[2:, 1:-1] - then[:-2, 1:-1]) * half).ravel()
    off = (now - then * gain)[1:-1, 1:-1].ravel()
    pairs = ((across, across), (across, down), (down, down), (across, off), (down, off))
    return np.array([np.dot(a, b) for a, b in pairs], np.float32)


def camera_moved(sums: F32, cells: I64) -> bool:
    """Return whether most tiles have shifted, and alike.

    Args:
        sums: (tiles, 5); see :func:`slopes`.
        cells: (tiles,) how many cells each tile has.
    """
    xx, xy, yy, xt, yt = sums.astype(np.float64).T
    area = xx * yy - xy * xy
    clear = (np.minimum(xx, yy) > _STEEP * cells) & (area > 0)
    if np.count_nonzero(clear) < _LEAST_TILES:
        return False
    xx, xy, yy, xt, yt, area = (values[clear] for values in (xx, xy, yy, xt, yt, area))
    found = np.stack([xy * yt - yy * xt, xy * xt - xx * yt], axis=1) / area[:, None]
    middle = np.median(found, axis=0)
    far = float(np.abs(middle).max())
    near = np.abs(found - middle).max(axis=1) < _NEAR + _NEAR_PART * far
    return far > MOVES and float(near.mean()) > ALIKE
