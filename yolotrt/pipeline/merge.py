"""Join what overlapping tiles, and the global pass, saw of the same objects.

There are four ways in which two detections can be one object, and two to doubt them, tried in this order
(:mod:`yolotrt.geometry.seams` explains the first three, :mod:`yolotrt.geometry.doubt` the next two):

1. a fragment, which ends at or near a tile's border, of something seen whole elsewhere: the whole one
   wins;
2. two fragments of one object: they are joined, box and mask;
3. a fragment that was taken for another class than the whole object: the whole one wins;
4. a piece of what the global pass saw as another class: its score is halved;
5. what the global pass had to see by its size, and did not, or only faintly: it goes behind the others;
6. duplicates: of detections of different tiles that overlap as a whole the best one stays.

Plain suppression and plain greedy merging over all detections, as other tiling tools do it, are there
for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from math import inf
from typing import cast

import numpy as np

from yolotrt.arrays import I64, Bits
from yolotrt.errors import UsageError
from yolotrt.geometry.boxes import Metric
from yolotrt.geometry.detections import Detections, PerImage
from yolotrt.geometry.doubt import doubted, halved, heard_of, lowered, visible_area
from yolotrt.geometry.merge import Shape, join, merge, suppress
from yolotrt.geometry.seams import GLOBAL_PASS, Views, continued, covered, mistaken
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.merge_methods import MERGE_METHODS, METHODS, MergeMethod

METRICS: tuple[Metric, ...] = ("iou", "ios")
SHAPES: tuple[Shape, ...] = ("boxes", "masks")


@dataclass(frozen=True)
class MergeSettings:
    """How detections of overlapping tiles become one set.

    Attributes:
        method: ``seams`` knows the tile borders (see the module); ``nmm`` joins and ``nms`` drops whatever
            overlaps a better detection of its class, without knowing the tiles.
        threshold: Overlap, exclusive, in [0, 1): for ``seams`` the part of a fragment that must be covered
            or agreed on.
        metric: How ``nmm`` and ``nms`` measure overlap.
        shape: What ``nmm`` and ``nms`` compare; ``seams`` always looks at the masks where there are some.
        duplicate_iou: Overlap above which ``seams`` takes detections of two tiles for duplicates, in
            [0, 1].
        border: A box that ends within this many px of its tile's border counts as cut.

    Raises:
        UsageError: A value is out of range.
    """

    method: MergeMethod = "seams"
    threshold: float = 0.4
    metric: Metric = "ios"
    shape: Shape = "boxes"
    duplicate_iou: float = 0.5
    border: float = 4.0

    def __post_init__(self) -> None:
        known = self.method in MERGE_METHODS and self.metric in METRICS and self.shape in SHAPES
        if not known:
            raise UsageError(
                f"There is no merging by {self.method}, {self.metric} and {self.shape}.",
                hint=f"Choose one of {', '.join(MERGE_METHODS)}; of {', '.join(METRICS)}; "
                f"and of {', '.join(SHAPES)}.",
            )
        if not (0 <= self.threshold < 1 and 0 <= self.duplicate_iou <= 1 and self.border >= 0):
            raise UsageError(
                f"Merging above an overlap of {self.threshold} (duplicates {self.duplicate_iou}, border "
                f"{self.border} px) makes no sense.",
                hint="Overlaps lie between 0 and 1; 0.5 is a good start.",
            )

    @property
    def words(self) -> str:
        """The method and, if it goes by overlap, how it compares: as on the command line."""
        by_overlap = METHODS[self.method].by_overlap
        return f"{self.method} {self.metric}-{self.shape}:{self.threshold:g}" if by_overlap else self.method


@dataclass(frozen=True)
class Candidates:
    """What all passes over a frame found.

    Attributes:
        found: Detections in px of the frame.
        tile: (n,) index of the tile that each comes from, or ``WHOLE_FRAME``.
        grid: Where the tiles lie.
        visible: Square px of the frame from which on the global pass sees an object; infinite without one.
        conf: Score, exclusive, that was asked for.
    """

    found: Detections
    tile: I64
    grid: TileGrid
    visible: float = inf
    conf: float = 0.0


def merge_frame(
    tiles: Sequence[Detections],
    grid: TileGrid,
    global_: Detections | None = None,
    settings: MergeSettings | None = None,
    *,
    conf: float = 0.0,
) -> Detections:
    """Join the detections of all tiles, and of the global pass if there was one.

    Args:
        tiles: Detections of each tile of ``grid``, in its order and in px of the frame.
        grid: Where the tiles lie.
        global_: Detections of the global pass, in px of the frame.
        settings: How they are joined.
        conf: Score that all of them exceed, and that what is only put behind others still does.

    Returns:
        One detection per object, best first, in px of the frame.

    Raises:
        ValueError: There are not as many sets of detections as tiles.
    """
    settings = settings or MergeSettings()
    if len(tiles) != len(grid.origins):
        raise ValueError(f"{len(tiles)} sets of detections for {len(grid.origins)} tiles")
    seen = PerImage.of(tiles)
    found, tile, visible = seen.found, seen.image, inf
    if global_ is not None:
        found = Detections.concatenate([found, global_])
        tile = np.concatenate([tile, np.full(len(global_), GLOBAL_PASS)])
        visible = visible_area(grid)
    if not found:
        return found
    return _function(settings.method)(Candidates(found, tile, grid, visible, conf), settings)


def seams(seen: Candidates, settings: MergeSettings) -> Detections:
    """Join with what is known of the tiles' borders; see the module."""
    joined, tile, touches = joined_at_seams(seen, settings)
    global_ = tile == GLOBAL_PASS
    scores = halved(joined.scores, doubted(joined, global_, touches))
    scores = lowered(scores, *heard_of(joined, global_, touches, seen.visible, seen.conf), seen.conf)
    return best_of_views(replace(joined, scores=scores), tile, settings)


def joined_at_seams(seen: Candidates, settings: MergeSettings) -> tuple[Detections, I64, Bits]:
    """Return the objects that fragments make up: the first three steps of the module.

    Returns:
        The objects in px of the frame, (n,) the tile that saw each best or ``GLOBAL_PASS``, and (n,) which
        end at or near a border of that tile.
    """
    views = Views.of(seen.found, seen.tile, seen.grid, settings.border)
    alone = np.arange(len(seen.found))
    alive = covered(views, settings.threshold) == alone
    owner = continued(views, settings.threshold, alive)
    alive &= ~mistaken(views, owner, alive)
    left = (alive & (owner == alone))[owner == alone]
    tile, touches = (of_all[owner == alone][left] for of_all in (seen.tile, views.ends_near_border))
    return join(seen.found, owner).take(left), tile, touches


def best_of_views(objects: Detections, tile: I64, settings: MergeSettings) -> Detections:
    """Keep the best of what different tiles saw at one place, best first: the last step of the module."""
    return suppress(objects, settings.duplicate_iou, metric="iou", source=tile)


def nmm(seen: Candidates, settings: MergeSettings) -> Detections:
    """Join whatever overlaps a better detection of its class; see :func:`yolotrt.geometry.merge.merge`."""
    return merge(seen.found, settings.threshold, metric=settings.metric, shape=settings.shape)


def nms(seen: Candidates, settings: MergeSettings) -> Detections:
    """Drop whatever overlaps a better detection of its class; see :func:`yolotrt.geometry.merge.suppress`."""
    return suppress(seen.found, settings.threshold, metric=settings.metric, shape=settings.shape)


@cache
def _function(method: MergeMethod) -> Callable[[Candidates, MergeSettings], Detections]:
    module, _, function = METHODS[method].function.partition(":")
    return cast("Callable[[Candidates, MergeSettings], Detections]", getattr(import_module(module), function))
