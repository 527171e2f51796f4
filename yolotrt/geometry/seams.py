"""What overlapping tiles, and a look at the whole frame, saw of the same objects.

A tile sees some objects whole and others only up to its border: those are cut there. A cut detection is

* *covered* when a whole detection, of another tile or of the whole frame, goes on beyond that border and
  contains it: it is a fragment of something seen better elsewhere;
* *continued* when another tile, which looks beyond the border, has a cut detection that agrees with it
  where both tiles show the same pixels: the two are parts of one object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolotrt.geometry.boxes import F64, intersection_areas, overlap, overlapping_pairs
from yolotrt.geometry.detections import I64, Bits, Detections, Mask
from yolotrt.geometry.masks import clip_mask, shared_pixels
from yolotrt.geometry.merge import best_first, join
from yolotrt.geometry.tiles import TileGrid

WHOLE_FRAME = -1
"""Stands for the look at the whole frame where a tile's index is expected."""

_OUTWARDS = np.array([-1, -1, 1, 1])
"""Direction of the left, top, right and bottom border."""


@dataclass(frozen=True)
class Views:
    """Detections together with what their tile could see.

    Attributes:
        found: Detections in px of the frame.
        tile: (n,) index of each one's tile, or WHOLE_FRAME.
        seen: (n, 4) int64 xyxy, the part of the frame that the tile shows, px.
        cut: (n, 4) whether the object may go on beyond the left, top, right and bottom border.
    """

    found: Detections
    tile: I64
    seen: I64
    cut: Bits

    @classmethod
    def of(cls, found: Detections, tile: I64, grid: TileGrid, border: float) -> Views:
        """Tell which detections are cut: those that end within ``border`` px of an inner border."""
        frame = np.array([0, 0, *grid.frame_wh])
        origins = np.array([*grid.origins, (0, 0)])  # the last one serves WHOLE_FRAME
        sizes = np.array([grid.content_wh] * len(grid.origins) + [grid.frame_wh])
        seen = np.concatenate([origins, origins + sizes], axis=1)[tile]
        return cls(found, tile, seen, (np.abs(found.boxes - seen) <= border) & (seen != frame))

    def take(self, index: npt.NDArray[np.intp] | I64) -> Views:
        """Return the chosen views, in the order of ``index``."""
        return Views(self.found.take(index), self.tile[index], self.seen[index], self.cut[index])

    def joined(self, owner: I64) -> Views:
        """Return the views with each detection joined to its owner, seen as from the owner's tile."""
        kept = np.flatnonzero(owner == np.arange(len(owner)))
        return Views(join(self.found, owner), self.tile[kept], self.seen[kept], self.cut[kept])

    def pairs(self) -> tuple[I64, I64]:
        """Return all pairs of one class from different tiles whose boxes share an area."""
        first, second, _ = overlapping_pairs(self.found.boxes, self.found.classes, 0)
        different = self.tile[first] != self.tile[second]
        return first[different], second[different]


def covered(views: Views, threshold: float) -> I64:
    """Find the whole detection that each cut one is a fragment of.

    Args:
        views: Detections of one frame.
        threshold: Part of the fragment's box, and of its mask if there are masks, to be covered, exclusive.

    Returns:
        (n,) index of the covering detection, which is itself not covered; or the detection's own index.
    """
    found = views.found
    one, other = views.pairs()
    cut: Bits = np.asarray(views.cut.any(axis=1))
    part = np.where(cut[one], one, other)
    cover = np.where(cut[one], other, one)
    mixed = cut[one] != cut[other]
    part, cover = part[mixed], cover[mixed]
    beyond = (found.boxes[cover] - views.seen[part]) * _OUTWARDS > 0
    crosses = (beyond & views.cut[part]).any(axis=1)
    part, cover = part[crosses], cover[crosses]
    share = intersection_areas(found.boxes[part], found.boxes[cover]) / np.maximum(
        intersection_areas(found.boxes[part], found.boxes[part]), 1e-9
    )
    good = share > threshold
    part, cover, share = part[good], cover[good], share[good]
    if found.masks is not None:
        share = _mask_shares(found.masks, part, cover)
        good = share > threshold
        part, cover, share = part[good], cover[good], share[good]
    owner = np.arange(len(found))
    # The last assignment stays, so the best cover comes last; the better score breaks a tie.
    order = np.lexsort((-_ranks(found)[cover], share))
    owner[part[order]] = cover[order]
    return owner


def continued(views: Views, threshold: float) -> I64:
    """Find the cut detections that are fragments of one object, chains of them too.

    A tile's own detections are different objects already, so an object takes at most one fragment from
    each tile: of the fragments that could belong together, those that agree best are joined first.

    Args:
        views: Detections of one frame.
        threshold: Overlap (intersection over smaller) inside the strip that both tiles show, exclusive.

    Returns:
        (n,) index of the object's best-scored fragment, or the detection's own index.
    """
    first, second = views.pairs()
    cut: Bits = np.asarray(views.cut.any(axis=1))
    both = cut[first] & cut[second]
    first, second = first[both], second[both]
    seen = _cut_inside(views, first, second) | _cut_inside(views, second, first)
    first, second, agreement = _agreeing(views, first[seen], second[seen], threshold)
    rank = _ranks(views.found)
    low, high = np.sort(np.stack([rank[first], rank[second]]), axis=0)
    order = np.lexsort((high, low, -agreement))
    by_rank = np.argsort(rank)
    return _grow(views.tile, by_rank, [(int(low[k]), int(high[k])) for k in order])


def _cut_inside(views: Views, part: I64, other: I64) -> Bits:
    """Return whether ``part`` is cut by a border beyond which the tile of ``other`` can look."""
    looks_beyond = (views.seen[other] - views.seen[part]) * _OUTWARDS > 0
    result: Bits = (views.cut[part] & looks_beyond).any(axis=1)
    return result


def _agreeing(views: Views, first: I64, second: I64, threshold: float) -> tuple[I64, I64, F64]:
    """Return the pairs that overlap by more than ``threshold`` inside the strip both tiles show."""
    found = views.found
    low = np.maximum(views.seen[first, :2], views.seen[second, :2])
    strip = np.concatenate([low, np.minimum(views.seen[first, 2:], views.seen[second, 2:])], axis=1)
    agreement = overlap(
        intersection_areas(found.boxes[first], found.boxes[second]),
        intersection_areas(found.boxes[first], strip),
        intersection_areas(found.boxes[second], strip),
        "ios",
    )
    good = agreement > threshold
    first, second, strip, agreement = first[good], second[good], strip[good], agreement[good]
    if found.masks is None:
        return first, second, agreement
    agreement = np.zeros(len(first))
    for k, (i, j, rectangle) in enumerate(zip(first, second, strip.tolist(), strict=True)):
        a, b = (clip_mask(found.masks[m], *rectangle) for m in (i, j))
        agreement[k] = shared_pixels(a, b) / max(min(a.area, b.area), 1)
    good = agreement > threshold
    return first[good], second[good], agreement[good]


def _grow(tile: I64, by_rank: I64, edges: list[tuple[int, int]]) -> I64:
    """Join ranks along the edges, in their order, as long as no tile comes twice; return owners."""
    group = {rank: {rank} for edge in edges for rank in edge}
    for low, high in edges:
        a, b = group[low], group[high]
        tiles = [int(tile[by_rank[r]]) for r in (*a, *b)]
        if a is not b and len(set(tiles)) == len(tiles):
            a |= b
            for rank in b:
                group[rank] = a
    owner = np.arange(len(tile))
    for rank, members in group.items():
        owner[by_rank[rank]] = by_rank[min(members)]
    return owner


def _mask_shares(masks: tuple[Mask, ...], part: I64, cover: I64) -> F64:
    """Return which part of each mask ``part`` the mask ``cover`` covers."""
    pairs = zip(part.tolist(), cover.tolist(), strict=True)
    return np.array([shared_pixels(masks[i], masks[j]) / max(masks[i].area, 1) for i, j in pairs], np.float64)


def _ranks(found: Detections) -> I64:
    """Return each detection's place from best to worst."""
    rank = np.empty(len(found), np.int64)
    rank[best_first(found.boxes, found.scores, found.classes)] = np.arange(len(found))
    return rank
