"""Which tiles of a frame are looked at, from what the last frames showed and what this one looks like.

A tile is looked at, with the first of these reasons that holds:

* ``first``: it never was;
* ``camera``: the camera has moved, so all are;
* ``changed``: its pixels are no longer those that the network saw (:mod:`yolotrt.pipeline.motion`);
* ``blind``: the scene's own unrest would hide an object in it;
* ``unsettled``: its last two looks found different things, as where something moves;
* ``global``: the global pass sees something there that it did not see before, and is not sure of it;
* ``refresh``: it is the turn of the tiles that have waited longest. There are as many in each frame as make
  every tile's turn come within the bound;
* ``batch``: the engine's next larger batch has room for it;
* ``all``: so many are due that all of them are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from yolotrt.arrays import F32, I64, Bits
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.motion import MotionWatch
from yolotrt.pipeline.tile_choice import Adaptive

Reason = Literal["first", "camera", "changed", "blind", "unsettled", "global", "refresh", "batch", "all"]

SAME_PLACE = 0.7
"""Overlap (IoU) above which two looks at a tile found one thing at one place."""

TOLD = 0.4
"""Score from which a detection that comes or goes says that a tile is unsettled; fainter ones flicker."""

UNSURE = 0.5
"""Score below which the global pass is not sure of what it sees."""


@dataclass(frozen=True)
class Chosen:
    """What is looked at in a frame.

    Attributes:
        reasons: Why, by tile, in the order of the tiles.
        tiles: How many there are.
        waited: Frames since the last look at the tile that has waited longest, this frame's look counted.
    """

    reasons: dict[int, Reason]
    tiles: int
    waited: int = 0

    @property
    def all(self) -> bool:
        """Whether every tile is looked at."""
        return len(self.reasons) == self.tiles


@dataclass
class Chooser:
    """Chooses for the frames of one camera.

    Attributes:
        grid: The tiles.
        settings: How they are chosen.
        runnable: Returns the least number of tiles that can run together and is not less than the one given;
            more than there are tiles if only all of them can.
    """

    grid: TileGrid
    settings: Adaptive
    runnable: Callable[[int], int]
    _age: I64 = field(init=False)
    _unsettled: Bits = field(init=False)
    _found: list[Detections | None] = field(init=False)
    _global: Detections | None = None
    _small: F32 | None = None

    def __post_init__(self) -> None:
        count = len(self.grid.origins)
        self._motion = MotionWatch(self.grid)
        self._age = np.zeros(count, np.int64)
        self._unsettled = np.zeros(count, np.bool_)
        self._found = [None] * count

    def choose(self, small: F32, global_pass: Detections | None) -> Chosen:
        """Return which tiles are looked at in the next frame.

        Args:
            small: Its thumbnail; see :func:`yolotrt.geometry.thumbnail.brightness`.
            global_pass: What the global pass found in it, in px of the frame.
        """
        count, motion = len(self._age), self._motion.look(small)
        self._small = small
        self._age += 1
        reasons: dict[int, Reason] = {}
        news = self._news(global_pass)
        never = np.array([found is None for found in self._found])
        due: tuple[tuple[Reason, Bits], ...] = (
            ("first", never), ("changed", motion.changed), ("blind", motion.blind),
            ("unsettled", self._unsettled), ("global", news),
        )  # fmt: skip
        for reason, which in due:
            for tile in np.flatnonzero(which).tolist():
                reasons.setdefault(tile, reason)
        if motion.camera:
            self._fill(reasons, count, "camera")
        self._refresh(reasons)
        wanted = self.runnable(len(reasons))
        if wanted >= count or len(reasons) > self.settings.all_above * count:
            self._fill(reasons, count, "all")
        else:
            self._fill(reasons, wanted, "batch")
        waited = int(self._age.max()) if count else 0
        return Chosen(dict(sorted(reasons.items())), count, waited)

    def looked(self, tiles: Sequence[int], found: Sequence[Detections]) -> list[Detections]:
        """Take what was found in the chosen tiles, and return what is known of all tiles of the frame."""
        assert self._small is not None, "a frame is chosen for first"
        self._motion.looked_at(list(tiles), self._small)
        for tile, now in zip(tiles, found, strict=True):
            before = self._found[tile]
            self._unsettled[tile] = before is not None and bool(len(_fresh(now, before, TOLD)))
            self._unsettled[tile] |= before is not None and bool(len(_fresh(before, now, TOLD)))
            self._found[tile] = now
            self._age[tile] = 0
        return [Detections.empty() if known is None else known for known in self._found]

    def _refresh(self, reasons: dict[int, Reason]) -> None:
        """Add those that have waited longest: so many that each tile's turn comes in time.

        If ``n`` tiles are refreshed in each frame, in the order of their waiting, at most ``tiles - n`` are
        served before one that was just looked at, so that its turn comes within ``ceil(tiles / n)`` frames.
        """
        count = len(self._age)
        turns = -(-count // self.settings.refresh)
        waiting = np.argsort(-self._age, kind="stable").tolist()
        for tile in waiting[:turns]:
            reasons.setdefault(tile, "refresh")

    def _fill(self, reasons: dict[int, Reason], wanted: int, reason: Reason) -> None:
        """Add tiles up to a number, those first that have waited longest."""
        for tile in np.argsort(-self._age, kind="stable").tolist():
            if len(reasons) >= wanted:
                break
            reasons.setdefault(tile, reason)

    def _news(self, found: Detections | None) -> Bits:
        """Return the tiles in which the global pass sees something new that it is not sure of."""
        which = np.zeros(len(self._age), np.bool_)
        before, self._global = self._global, found
        if found is None or before is None:
            return which
        news = _fresh(found, before, 0.0)
        boxes = news.boxes[news.scores < UNSURE]
        low = np.array(self.grid.origins, np.float32).reshape(-1, 1, 2)
        high = low + np.array(self.grid.content_wh, np.float32)
        meets: Bits = (boxes[None, :, :2] < high) & (boxes[None, :, 2:] > low)
        # What is larger than a tile is for the global pass to see.
        fits: Bits = np.all(boxes[:, 2:] - boxes[:, :2] <= high[:1, 0] - low[:1, 0], axis=1)
        which |= (meets.all(axis=2) & fits).any(axis=1)
        return which


def _fresh(now: Detections, then: Detections, score: float) -> Detections:
    """Return the detections of at least this score that ``then`` does not have at the same place."""
    now = Detections(now.boxes, now.scores, now.classes).take(now.scores >= score)
    if not len(now) or not len(then):
        return now
    overlaps = box_overlap(now.boxes, then.boxes)
    overlaps = np.where(now.classes[:, None] == then.classes[None], overlaps, 0.0)
    return now.take(overlaps.max(axis=1) < SAME_PLACE)
