"""What detectors see of many objects: perfect ones, and ones that are wrong in the ways that networks are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.tiles import TileGrid, tile_grid

FRAME_WH = (1000, 700)
GRID = tile_grid(FRAME_WH, (320, 320), 0.25)


def filled(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, *, masks: bool = True) -> Detections:
    """Detections whose masks fill their boxes of global_pass pixels."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    drawn = tuple(
        Mask(int(x0), int(y0), np.ones((int(y1 - y0), int(x1 - x0)), bool)) for x0, y0, x1, y1 in boxes
    )
    return Detections(
        boxes,
        np.asarray(scores, np.float32).reshape(-1),
        np.asarray(classes, np.int64).reshape(-1),
        drawn if masks else None,
    )


def seen_by_tiles(
    objects: np.ndarray, classes: np.ndarray, grid: TileGrid = GRID, *, masks: bool = True, seed: int = 0
) -> list[Detections]:
    """What perfect detectors see of the objects: each tile the part inside it, if it is not a sliver."""
    rng = np.random.default_rng(seed)
    tiles = []
    for x, y in grid.origins:
        right, bottom = x + grid.content_wh[0], y + grid.content_wh[1]
        parts = np.clip(objects, [x, y, x, y], [right, bottom, right, bottom])
        visible = ((parts[:, 2:] - parts[:, :2]) >= 10).all(axis=1)
        scores = rng.uniform(0.3, 0.95, visible.sum())
        tiles.append(filled(parts[visible], scores, classes[visible], masks=masks))
    return tiles


def ending_short(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boxes of which half end up to 15 % early on some sides, as a network's may."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    short = rng.uniform(0, 0.15, boxes.shape) * (rng.random(boxes.shape) < 0.5)
    short[rng.random(len(boxes)) < 0.5] = 0
    return (boxes + sides * short * [1, 1, -1, -1]).astype(np.float32)


def crowd(seed: int, n: int, *, global_pass: bool) -> tuple[list[Detections], Detections | None]:
    """Overlapping objects with ragged masks, some of equal score, as tiles and perhaps the frame see them."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, [FRAME_WH[0] - 40, FRAME_WH[1] - 40], (n, 2))
    size = rng.integers(20, rng.choice([60, 300, 600], n)[:, None], (n, 2))
    objects = np.concatenate([corner, np.minimum(corner + size, FRAME_WH)], axis=1).astype(np.float32)
    classes = rng.integers(0, 2, n)

    def ragged(seen: Detections) -> Detections:
        noise = np.where(rng.random(len(seen)) < 0.5, 0, rng.uniform(-3, 3, (4, len(seen)))).T
        boxes = ending_short(seen.boxes + noise.astype(np.float32), rng)
        scores = np.where(rng.random(len(seen)) < 0.3, np.float32(0.5), seen.scores)
        full = rng.choice([0.3, 0.6, 0.95], len(seen))
        masks = [
            Mask(m.x, m.y, rng.random(m.bits.shape) < f) for m, f in zip(seen.masks or (), full, strict=True)
        ]
        return Detections(boxes, scores, seen.classes, tuple(masks))

    tiles = [ragged(t) for t in seen_by_tiles(objects, classes, seed=int(rng.integers(1000)))]
    if not global_pass:
        return tiles, None
    some = rng.random(n) < 0.7
    return tiles, ragged(filled(objects[some], rng.uniform(0.03, 0.95, some.sum()), classes[some]))


def without_masks(
    tiles: list[Detections], global_pass: Detections | None
) -> tuple[list[Detections], Detections | None]:
    """The same detections, of which only the boxes are known."""
    return [replace(t, masks=None) for t in tiles], global_pass if global_pass is None else replace(
        global_pass, masks=None
    )
