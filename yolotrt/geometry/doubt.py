"""What tiles found and the global pass speaks against: a piece of something else, or nothing it can see.

A tile that shows a part of something large takes fur for a cat and a corner for a suitcase, and its
neighbours agree. The global pass shows the whole thing. So

- an object that tiles found is *doubted* when it ends at a border of its tile and lies inside what the
  global pass saw as another class, confidently and at least as surely. Its score is halved: it sinks behind
  what both passes agree on, and below the user's threshold if it was not far above. Whatever contradicts an
  object scores at least as much, so a threshold that lets the object pass lets that pass, too: this says the
  same at any threshold.
- an object that tiles found, large enough for the global pass to see it, is *unseen* if that has nothing of
  its class there. The larger it is, the more that says: the odds that the score stands for are divided by how
  many times longer its sides are than those of what can just be seen. What would fall below the threshold by
  that stays just above it, behind all others: with a higher threshold the global pass sees less, and what it
  does not see is reason to look twice, not to drop anything.

docs/tiling.md says on which frames this was chosen, and on which it was judged.
"""

from __future__ import annotations

import numpy as np

from yolotrt.arrays import F32, F64, Bits
from yolotrt.geometry.boxes import areas, box_overlap, intersection_areas
from yolotrt.geometry.detections import CONFIDENT, Detections
from yolotrt.geometry.tiles import TileGrid

HALVED = 0.5

INSIDE = 0.8
"""Part of a doubted object that lies inside the other one, exclusive."""

VISIBLE = 16.0
"""Side of a square, px of the network's input, from which on the global pass has to see it."""

SAME = 0.3
"""IoU, exclusive, from which on the global pass saw the same."""

LAST = 1 + 2.0**-12
"""Times the threshold: where an unseen object ends up at least."""

ORDER = 2.0**-10
"""Times the threshold: what keeps those that end up there in their order."""


def doubted(objects: Detections, global_: Bits, touches: Bits) -> Bits:
    """Return which objects (n,) are doubted.

    Args:
        objects: Joined detections of one frame.
        global_: (n,) which of them the global pass saw.
        touches: (n,) which of the others end at or near a border of their tile, also those that were joined.
    """
    result = np.zeros(len(objects), np.bool_)
    boxes, scores, classes = objects.boxes, objects.scores, objects.classes
    own = np.flatnonzero(~global_ & touches)
    seen = np.flatnonzero(global_ & (scores >= np.float32(CONFIDENT)))
    if len(own) and len(seen):
        shared = intersection_areas(boxes[own][:, None], boxes[seen][None])
        inside = shared > INSIDE * areas(boxes[own])[:, None]
        other = classes[own][:, None] != classes[seen][None]
        as_sure = scores[own][:, None] <= scores[seen][None]
        result[own] = (inside & other & as_sure).any(axis=1)
    return result


def halved(scores: F32, which: Bits) -> F32:
    """Return scores with some of them halved."""
    return np.where(which, scores * np.float32(HALVED), scores)


def visible_area(grid: TileGrid) -> float:
    """Return the square px of the frame from which on the global pass has to see an object.

    Its input is taken to be as large as a tile.
    """
    scale = min(tile / frame for tile, frame in zip(grid.content_wh, grid.frame_wh, strict=True))
    return (VISIBLE / scale) ** 2


def unseen(objects: Detections, global_: Bits, visible: float) -> Bits:
    """Return which objects (n,) of tiles the global pass had to see and did not.

    Args:
        objects: Joined detections of one frame.
        global_: (n,) which of them the global pass saw.
        visible: Square px from which on it sees; see :func:`visible_area`.
    """
    result: Bits = ~global_ & (areas(objects.boxes) >= visible)
    own, seen = np.flatnonzero(result), np.flatnonzero(global_)
    if len(own) and len(seen):
        same = box_overlap(objects.boxes[own], objects.boxes[seen]) > SAME
        same &= objects.classes[own][:, None] == objects.classes[seen][None]
        result[own] = ~same.any(axis=1)
    return result


def lowered(scores: F32, which: Bits, sizes: F64, visible: float, conf: float) -> F32:
    """Return scores with those of unseen objects lowered, but not to the threshold or below.

    Args:
        scores: (n,) in [0, 1].
        which: (n,) the unseen ones.
        sizes: (n,) areas, square px.
        visible: As above.
        conf: The threshold, exclusive.
    """
    result: F32 = scores.copy()
    s = scores[which].astype(np.float64)
    part = np.sqrt(visible / sizes[which])
    odds = s * part / (s * part + 1 - s)
    result[which] = np.maximum(odds, np.minimum(s, conf * (LAST + odds * ORDER)))
    return result
