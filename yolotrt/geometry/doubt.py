"""What tiles saw and the global pass, which had to see it, did not: it counts half.

A tile that shows a part of something large takes fur for a cat and a corner for a suitcase, and its
neighbours agree. The global pass shows the whole thing. So an object that tiles found is *doubted*

* when it ends at a tile's border and lies inside what the global pass saw, confidently, as another class; or
* when it is so large that the global pass had to see it, and that saw nothing of its class there.

Its score is halved: it sinks behind what both passes agree on, and below the user's threshold if it was not
far above. Small objects are out of the global pass's reach and stay as they are. The figures were chosen on
mosaics and on single enlarged photographs: see docs/tiling.md.
"""

from __future__ import annotations

import numpy as np

from yolotrt.arrays import F32, F64, I64, Bits
from yolotrt.geometry.boxes import areas, intersection_areas, overlap
from yolotrt.geometry.detections import CONFIDENT, Detections
from yolotrt.geometry.tiles import TileGrid

HALVED = 0.5

INSIDE = 0.8
"""Part of a doubted object that lies inside the other one."""

AGREES = 0.3
"""IoU from which the global pass saw the same."""

SEEN_PART, SEEN_WHOLE = 16.0, 24.0
"""Side of a square in the global pass's input, px, from which it had to see an object: one that ends at a
tile's border, and one that a tile saw whole."""


def seen_areas(grid: TileGrid) -> tuple[float, float]:
    """Return the areas in px of the frame from which the global pass had to see an object.

    Its input is taken to be as large as what a tile shows.

    Returns:
        For objects that end at a tile's border, and for whole ones.
    """
    scale = min(tile / frame for tile, frame in zip(grid.content_wh, grid.frame_wh, strict=True))
    return (SEEN_PART / scale) ** 2, (SEEN_WHOLE / scale) ** 2


def doubted(objects: Detections, global_: Bits, touches: Bits, grid: TileGrid) -> Bits:
    """Return which objects (n,) are doubted.

    Args:
        objects: Joined detections of one frame.
        global_: (n,) which of them the global pass saw.
        touches: (n,) which of the others end at or near a border of their tile, also those that were joined.
        grid: Where the tiles lie.
    """
    own, seen = np.flatnonzero(~global_), np.flatnonzero(global_)
    result = np.zeros(len(objects), np.bool_)
    part, whole = seen_areas(grid)
    size = areas(objects.boxes)
    contradicted, agreed = _held_against(objects, own, seen, size[own])
    had_to_be_seen = size[own] >= np.where(touches[own], part, whole)
    result[own] = (contradicted & touches[own]) | (had_to_be_seen & ~agreed)
    return result


def halved(scores: F32, which: Bits) -> F32:
    """Return scores with some of them halved."""
    return np.where(which, scores * np.float32(HALVED), scores)


def _held_against(objects: Detections, own: I64, seen: I64, size: F64) -> tuple[Bits, Bits]:
    """Return which of ``own`` lie inside another class, and which the global pass saw as their class."""
    if not len(own) or not len(seen):
        return np.zeros(len(own), np.bool_), np.zeros(len(own), np.bool_)
    boxes, classes = objects.boxes, objects.classes
    shared = intersection_areas(boxes[own][:, None], boxes[seen][None])
    same = classes[own][:, None] == classes[seen][None]
    confident = objects.scores[seen] >= np.float32(CONFIDENT)
    inside = (shared > INSIDE * size[:, None]) & ~same & confident[None]
    agrees = (overlap(shared, size[:, None], areas(boxes[seen])[None], "iou") > AGREES) & same
    return inside.any(axis=1), agrees.any(axis=1)
