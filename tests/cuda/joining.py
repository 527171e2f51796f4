"""Objects that lie across many tiles, each of which sees a fragment."""

from __future__ import annotations

import numpy as np

from tests.pipeline.crowds import filled, seen_by_tiles
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import tile_grid

MOST_JOINTS = 1024
"""As in joins.cuh: with up to so many pairs of fragments, a frame is joined in shared memory."""

LONG_GRID = tile_grid((1000, 700), (160, 160), 0.25)
TALL_GRID = tile_grid((480, 20000), (320, 20000), 0.75)


def long_objects(seed: int, count: int) -> list[Detections]:
    """Bars along and across the frame, and squares around tiles' corners; some touch, many score the same.

    Every tile sees its part a little wrong, so that not all parts agree, and some agree with two.
    """
    rng = np.random.default_rng(seed)
    width, height = LONG_GRID.frame_wh
    size = rng.integers(24, 60, (count, 2))
    kind = rng.integers(0, 3, count)
    size[kind == 0, 0] = rng.integers(300, width, (kind == 0).sum())
    size[kind == 1, 1] = rng.integers(250, height, (kind == 1).sum())
    size[kind == 2] = rng.integers(150, 420, ((kind == 2).sum(), 2))
    corner = rng.integers(0, [width, height] - size + 1)
    objects = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    tiles = seen_by_tiles(objects, rng.integers(0, 2, count), LONG_GRID, masks=False, seed=seed)
    seen = []
    for found in tiles:
        moved = found.boxes + rng.integers(-3, 4, found.boxes.shape)
        boxes = np.where(rng.random((len(found), 1)) < 0.5, moved, found.boxes)
        scores = np.where(rng.random(len(found)) < 0.5, np.float32(0.5), found.scores)
        seen.append(filled(boxes, scores, found.classes, masks=False))
    return seen


def crossing(count: int, unseen: int) -> list[Detections]:
    """Objects one above the other, each seen by three tiles: three pairs of fragments.

    The third tile does not see some of them: they make one pair each.
    """
    objects = np.zeros((count, 4), np.float32)
    objects[:, 0], objects[:, 2] = 10, 470
    objects[:, 1] = 13 * np.arange(count) + 20
    objects[:, 3] = objects[:, 1] + 12
    one, other, third = seen_by_tiles(objects, np.zeros(count, np.int64), TALL_GRID, masks=False)
    return [one, other, third.take(np.arange(unseen, count))]
