"""Which tiles of a frame are looked at, from what the last frames showed and what this one looks like.

A tile is looked at, with the first of these reasons that holds:

* ``first``: it never was;
* ``changed``: its pixels are no longer those that the network saw (:mod:`yolotrt.pipeline.motion`);
* ``blind``: the scene's own unrest would hide an object in it;
* ``unsettled``: its last two looks found different things, as where something moves;
* ``global``: the global pass sees something there that it did not see before, and is not sure of it;
* ``camera``: the camera has moved, so all are due;
* ``refresh``: it is the turn of the tiles that have waited longest. There are as many in each frame as make
  every tile's turn come within the bound;
* ``all``: so many are due that all of them are;
* ``batch``: the engine's next larger batch has room for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from yolotrt.arrays import F32, I64, Bits
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.motion import Motion
from yolotrt.pipeline.tile_choice import Adaptive

Reason = Literal["first", "changed", "blind", "unsettled", "global", "camera", "refresh", "all", "batch"]

SAME_PLACE = 0.5
"""Overlap (IoU) above which two looks at a tile found one thing at one place."""

TOLD = 0.6
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


@dataclass(frozen=True)
class Finds:
    """What looks at some tiles found.

    Attributes:
        tile: (n,) which tile found it.
        boxes: (n, 4) float32, xyxy px of the frame, or of the tile.
        scores: (n,) float32.
        classes: (n,).
    """

    tile: I64
    boxes: F32
    scores: F32
    classes: I64

    @classmethod
    def of(cls, tiles: Sequence[int], found: Sequence[Detections]) -> Finds:
        """Return what was found in these tiles."""
        tile = np.repeat(np.array(tiles, np.int64), [len(one) for one in found])
        if not len(tile):
            return NOTHING
        boxes = np.concatenate([one.boxes for one in found])
        scores = np.concatenate([one.scores for one in found])
        return cls(tile, boxes, scores, np.concatenate([one.classes for one in found]))

    def take(self, which: Bits) -> Finds:
        """Return those of a mask (n,)."""
        return Finds(self.tile[which], self.boxes[which], self.scores[which], self.classes[which])

    def beside(self, other: Finds) -> Finds:
        """Return both together."""
        return Finds(
            np.concatenate((self.tile, other.tile)),
            np.concatenate((self.boxes, other.boxes)),
            np.concatenate((self.scores, other.scores)),
            np.concatenate((self.classes, other.classes)),
        )


NOTHING = Finds(
    np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
)


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
    _age: list[int] = field(init=False)
    _never: set[int] = field(init=False)
    _unsettled: set[int] = field(default_factory=set)
    _news: set[int] = field(default_factory=set)
    _known: Finds = NOTHING
    _global: Finds | None = None

    def __post_init__(self) -> None:
        count = len(self.grid.origins)
        self._age, self._never = [0] * count, set(range(count))

    def choose(self, motion: Motion) -> Chosen:
        """Return which tiles are looked at in the next frame.

        A frame waits for this: for some dozens of tiles lists are faster than arrays.

        Args:
            motion: What its pixels say.
        """
        age, count = self._age, len(self._age)
        for tile in range(count):
            age[tile] += 1
        waiting = sorted(range(count), key=lambda tile: -age[tile])
        reasons: dict[int, Reason] = {}
        due: tuple[tuple[Reason, Iterable[int]], ...] = (
            ("first", self._never),
            ("changed", motion.changed.nonzero()[0].tolist()),
            ("blind", motion.blind.nonzero()[0].tolist()),
            ("unsettled", self._unsettled), ("global", self._news),
        )  # fmt: skip
        for reason, which in due:
            for tile in which:
                reasons.setdefault(tile, reason)
        if motion.camera:
            _fill(reasons, waiting, count, "camera")
        turns, needed = self._turns(waiting)
        for tile in waiting[:needed]:
            reasons.setdefault(tile, "refresh")
        most = reasons | {tile: "refresh" for tile in waiting[:turns] if tile not in reasons}
        wanted = self.runnable(len(reasons))
        if self.runnable(len(most)) <= wanted:  # they cost nothing more than the next larger batch
            reasons = most
        if wanted >= count or len(reasons) > self.settings.all_above * count:
            _fill(reasons, waiting, count, "all")
        else:
            _fill(reasons, waiting, wanted, "batch")
        return Chosen(dict(sorted(reasons.items())), count, age[waiting[0]] if count else 0)

    def looked(self, tiles: Sequence[int], found: Finds) -> None:
        """Take what was found in the chosen tiles."""
        mine = np.zeros(len(self._age), np.bool_)
        mine[list(tiles)] = True
        before = self._known.take(mine[self._known.tile])
        fresh = [
            now.tile[is_fresh(now, then) & (now.scores >= TOLD)]
            for now, then in ((found, before), (before, found))
        ]
        self._known = self._known.take(~mine[self._known.tile]).beside(found)
        self.told(tiles, np.concatenate(fresh).tolist())

    def told(self, tiles: Sequence[int], unsettled: Iterable[int], news: Iterable[int] | None = None) -> None:
        """Take which of the tiles that were looked at are unsettled, and which have news of the global pass.

        Args:
            tiles: They were looked at.
            unsettled: Where something came, went or moved between the last two looks.
            news: Where the global pass sees something new; None leaves what :meth:`global_found` found.
        """
        self._unsettled = (self._unsettled - set(tiles)) | (set(unsettled) - self._never)
        self._never -= set(tiles)
        for tile in tiles:
            self._age[tile] = 0
        if news is not None:
            self._news = set(news)

    def global_found(self, look: Finds) -> None:
        """Take what the global pass found, in px of the frame: what is new and unsure makes tiles due."""
        before, self._global = self._global, look
        self._news = set()
        if before is None or not len(look.tile):
            return
        boxes = look.boxes[is_fresh(look, before) & (look.scores < UNSURE)]
        low = np.array(self.grid.origins, np.float32).reshape(-1, 1, 2)
        size = np.array(self.grid.content_wh, np.float32)
        meets: Bits = (boxes[None, :, :2] < low + size) & (boxes[None, :, 2:] > low)
        # What is larger than a tile is for the global pass to see.
        fits: Bits = np.all(boxes[:, 2:] - boxes[:, :2] <= size, axis=1)
        self._news = set(np.flatnonzero((meets.all(axis=2) & fits).any(axis=1)).tolist())

    def _turns(self, waiting: Sequence[int]) -> tuple[int, int]:
        """Return how many tiles are refreshed in a frame by right, and how many have to be in this one.

        With ``n`` by right in every frame, in the order of their waiting, each tile's turn comes within
        ``ceil(tiles / n)`` frames. A frame may do with fewer while those after it can still make up for that:
        the ``k`` longest waiting must not need more than ``n`` in each frame that the last of them can wait.
        One tile is looked at in any case.
        """
        refresh = self.settings.refresh
        turns, needed = -(-len(waiting) // refresh), 1
        for k, tile in enumerate(waiting):
            needed = max(needed, k + 1 - turns * (refresh - self._age[tile]))
        return turns, needed


def _fill(reasons: dict[int, Reason], waiting: Sequence[int], wanted: int, reason: Reason) -> None:
    """Add tiles up to a number, those first that have waited longest."""
    for tile in waiting:
        if len(reasons) >= wanted:
            break
        reasons.setdefault(tile, reason)


def is_fresh(now: Finds, then: Finds) -> Bits:
    """Return which detections (n,) ``then`` does not have at the same place of the same tile."""
    if not len(now.tile) or not len(then.tile):
        return np.ones(len(now.tile), np.bool_)
    alike = (now.classes[:, None] == then.classes[None]) & (now.tile[:, None] == then.tile[None])
    fresh: Bits = np.where(alike, box_overlap(now.boxes, then.boxes), 0.0).max(axis=1) < SAME_PLACE
    return fresh
