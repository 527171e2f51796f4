"""A piece of what the global pass saw as something else counts half.

A tile that shows a part of something large takes fur for a cat and a corner for a suitcase, and its
neighbours agree. The global pass shows the whole thing. So an object that tiles found is *doubted* when it
ends at a border of its tile and lies inside what the global pass saw as another class, confidently and at
least as surely. Its score is halved: it sinks behind what both passes agree on, and below the user's
threshold if it was not far above.

Whatever contradicts an object scores at least as much, so a threshold that lets the object pass lets that
pass, too: the rule says the same at any threshold. What the global pass did *not* see is held against
nothing, since with a higher threshold it sees less. docs/tiling.md says on which frames the rule was chosen
and on which it was judged.
"""

from __future__ import annotations

import numpy as np

from yolotrt.arrays import F32, Bits
from yolotrt.geometry.boxes import areas, intersection_areas
from yolotrt.geometry.detections import CONFIDENT, Detections

HALVED = 0.5

INSIDE = 0.8
"""Part of a doubted object that lies inside the other one, exclusive."""


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
