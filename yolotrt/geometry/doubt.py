"""What tiles found and the global pass speaks against: a piece of something else, or nothing it can see.

A tile that shows a part of something large takes fur for a cat and a corner for a suitcase, and its
neighbours agree. The global pass shows the whole thing. So

- an object that tiles found is *doubted* when it ends at a border of its tile and lies inside what the
  global pass saw as another class, confidently and at least as surely. Its score is halved: it sinks behind
  what both passes agree on, and below the user's threshold if it was not far above. Whatever contradicts an
  object scores at least as much, so a threshold that lets the object pass lets that pass, too: this says the
  same at any threshold.
- an object that tiles found, large enough for the global pass to see it, has to be *heard of* there, as
  something of its class at that place. A confident guess there confirms it, and none at all is the silence of
  a witness: the odds that the score stands for are divided by how much that says. It says the more the
  larger the object is, the fainter the guesses are that would have been told, and still more of what ends at
  its tile's border inside something larger. A faint guess breaks it for the part that it is confident. What
  would fall below the threshold stays just above it, behind all others: with a higher threshold the global
  pass sees less, and what it does not see is reason to look twice, not to drop anything.

docs/tiling.md says on which frames this was chosen, and on which it was judged.
"""

from __future__ import annotations

import numpy as np

from yolotrt.arrays import F32, F64, Bits
from yolotrt.geometry.boxes import areas, intersection_areas, overlap
from yolotrt.geometry.detections import CONFIDENT, Detections
from yolotrt.geometry.tiles import TileGrid

HALVED = 0.5

INSIDE = 0.8
"""Part of a doubted object that lies inside the other one, exclusive."""

VISIBLE = 16.0
"""Side of a square, px of the network's input, from which on the global pass has to see it."""

SAME = 0.3
"""IoU, exclusive, from which on the global pass saw the same."""

SAME_PIECE = 0.5
"""The same of what ends at a border: there is more of it than its tile shows."""

LARGER = 1.2
"""How many times the area of a piece the object has that it lies in, exclusive."""

FAINT = 0.1
"""Score that the global pass needs for an object in which there are pieces."""

LOUDER = 2.0
"""How much more silence says at a threshold of zero; see :func:`heard_of`."""

LAST = 1 + 2.0**-12
"""Times the threshold: where an object ends up at least that it has to see and says nothing about."""

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


def heard_of(
    objects: Detections,
    global_: Bits,
    touches: Bits,
    visible: float,
    conf: float,
    louder: float = LOUDER,
) -> tuple[F64, F64]:
    """Weigh what the global pass says about objects of tiles that it has to see by their size.

    With n for how many times the sides of an object exceed those of what can just be seen, silence divides
    the odds by n at the threshold ``CONFIDENT`` and above, and by n + louder (n² - n) where every guess is
    told; by the square of that if the object ends at a border of its tile and lies inside a larger one of any
    class.

    Args:
        objects: Joined detections of one frame.
        global_: (n,) which of them the global pass saw.
        touches: (n,) which of the others end at or near a border of their tile, also those that were joined.
        visible: Square px from which on it sees; see :func:`visible_area`.
        conf: Score, exclusive, that was asked for.
        louder: How much more silence says where every guess is told.

    Returns:
        (n,) what the odds of each are to be divided by, 1 where nothing speaks against it; and (n,) the best
        score in [0, 1] of the same in the global pass, 0 without one.
    """
    against, said = np.ones(len(objects)), np.zeros(len(objects))
    sizes = areas(objects.boxes)
    own, seen = np.flatnonzero(~global_ & (sizes >= visible)), np.flatnonzero(global_)
    if not len(own):
        return against, said
    times = np.sqrt(sizes[own] / visible)
    times += louder * max(0.0, 1 - conf / CONFIDENT) * (times * times - times)
    if len(seen):
        shared = intersection_areas(objects.boxes[own][:, None], objects.boxes[seen][None])
        mine, theirs, scores = sizes[own][:, None], sizes[seen][None], objects.scores[seen].astype(np.float64)
        same = overlap(shared, mine, theirs, "iou") > np.where(touches[own], SAME_PIECE, SAME)[:, None]
        same &= objects.classes[own][:, None] == objects.classes[seen][None]
        said[own] = np.where(same, scores[None], 0.0).max(axis=1)
        within = (shared > INSIDE * mine) & (theirs > LARGER * mine) & (scores >= FAINT)[None]
        times = np.where(touches[own] & within.any(axis=1), times * times, times)
    against[own] = 1 + (times - 1) * np.maximum(0.0, 1 - said[own] / CONFIDENT)
    return against, said


def lowered(scores: F32, against: F64, said: F64, conf: float) -> F32:
    """Return scores with their odds divided, to no less than the global pass said, and above the threshold.

    Args:
        scores: (n,) in [0, 1].
        against: (n,) what the odds are divided by, at least 1.
        said: (n,) as above.
        conf: The threshold, exclusive.
    """
    result: F32 = scores.copy()
    which = against > 1
    s = scores[which].astype(np.float64)
    odds = np.maximum(s / (s + against[which] * (1 - s)), np.minimum(s, said[which]))
    result[which] = np.maximum(odds, np.minimum(s, conf * (LAST + odds * ORDER)))
    return result
