"""What overlapping tiles, and the global pass, saw of the same objects.

A tile sees some objects whole and others only up to its border: those are cut there. A cut detection is

* *covered* when a whole detection, of another tile or of the global pass, goes on beyond that border and
  contains it: it is a fragment of something seen better elsewhere. Networks place the edge of a fragment
  only roughly, so that it may end some way before the border: a detection that ends *near* it is covered,
  too, by a rival about as good that goes on well beyond;
* *continued* when another tile, which looks beyond the border, has a cut detection that agrees with it
  where both tiles show the same pixels: the two are parts of one object;
* *mistaken* when nothing continues it and another tile saw a whole object there, better and of another
  class, that goes on beyond the border and contains nearly all of it: what is cut off is easily misread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from yolotrt.arrays import F32, F64, I64, Bits
from yolotrt.geometry.boxes import areas, intersection_areas, meeting_pairs, overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.fragments import edges_of, groups_of, mask_agreement, mask_covers
from yolotrt.geometry.merge import best_first
from yolotrt.geometry.tiles import TileGrid

GLOBAL_PASS = -1
"""Stands for the global pass where a tile's index is expected."""

_INSIDE = 0.8
"""Part of a mistaken fragment that the other object contains. More than within a class, since objects of
different classes do lie in front of each other."""

_PAIRS_AT_ONCE = 1 << 20
"""Pairs of any class that are looked at together, so that memory stays flat however many there are."""

_OUTWARDS = np.array([-1, -1, 1, 1])
"""Direction of the left, top, right and bottom border."""

_NEAR = 0.1
"""A detection ends near a border when the gap is at most this part of its side across the border."""

_RIVAL = 0.8
"""Part of the score of a detection near a border that a rival needs to cover it. Ending there says less
than being cut, and a poor detection must not win over a good one by that."""


@dataclass(frozen=True)
class Views:
    """Detections together with what their tile could see.

    Attributes:
        found: Detections in px of the frame.
        tile: (n,) index of each one's tile, or GLOBAL_PASS.
        seen: (n, 4) int64 xyxy, the part of the frame that the tile shows, px.
        cut: (n, 4) whether the object may go on beyond the left, top, right and bottom border.
        near: (n, 4) where it ends near one; true wherever ``cut`` is.
    """

    found: Detections
    tile: I64
    seen: I64
    cut: Bits
    near: Bits

    @classmethod
    def of(cls, found: Detections, tile: I64, grid: TileGrid, border: float) -> Views:
        """Tell which detections are cut: those that end within ``border`` px of an inner border."""
        shown, borders = looks(grid)
        seen, inner = shown[tile], borders[tile]
        gap = np.abs(found.boxes - seen)
        cut = (gap <= border) & inner
        return cls(found, tile, seen, cut, cut | (gap <= _slack(found.boxes)) & inner)

    @cached_property
    def pairs(self) -> tuple[I64, I64]:
        """All pairs of one class from different tiles whose boxes share an area."""
        first, second = meeting_pairs(self.found.boxes, self.found.classes)
        different = self.tile[first] != self.tile[second]
        return first[different], second[different]

    @cached_property
    def rank(self) -> I64:
        """(n,) each detection's place from best to worst."""
        rank = np.empty(len(self.found), np.int64)
        rank[best_first(self.found.boxes, self.found.scores, self.found.classes)] = np.arange(len(rank))
        return rank

    @cached_property
    def is_cut(self) -> Bits:
        """(n,) whether the object may go on beyond any border."""
        return _any_border(self.cut)

    @property
    def ends_near_border(self) -> Bits:
        """(n,) whether it ends at or near any border: true wherever it is cut."""
        return _any_border(self.near)


def _slack(boxes: F32) -> F32:
    """Return how far (n, 4) from the left, top, right and bottom of a box a border is still near, px."""
    sides = (boxes[:, 2:] - boxes[:, :2]) * np.float32(_NEAR)
    return np.concatenate([sides, sides], axis=1)


@lru_cache(maxsize=8)
def looks(grid: TileGrid) -> tuple[I64, Bits]:
    """Return what each tile shows, xyxy px, and which of its borders lie inside the frame; last the frame."""
    origins = np.array([*grid.origins, (0, 0)])
    sizes = np.array([grid.content_wh] * len(grid.origins) + [grid.frame_wh])
    seen = np.concatenate([origins, origins + sizes], axis=1)
    return seen, seen != np.array([0, 0, *grid.frame_wh])


def covered(views: Views, threshold: float) -> I64:
    """Find a whole detection that each cut one, or one that ends near a border, is a fragment of.

    A cut one is covered by any that is not cut; one near a border only by one that is neither.

    Args:
        views: Detections of one frame.
        threshold: Part of the fragment's box, and of its mask if there are masks, to be covered, exclusive.

    Returns:
        (n,) index of a covering detection, which is itself not covered; or the detection's own index.
    """
    found = views.found
    doubt = views.is_cut.astype(np.int8) + _any_border(views.near)  # 0: whole, 1: near a border, 2: cut
    one, other = views.pairs
    mixed = doubt[one] != doubt[other]
    one, other = one[mixed], other[mixed]
    part = np.where(doubt[one] > doubt[other], one, other)
    cover = one + other - part
    crosses = _goes_beyond(views, part, cover, doubt[part] == 1)
    part, cover = part[crosses], cover[crosses]
    share = intersection_areas(found.boxes[part], found.boxes[cover]) / np.maximum(
        areas(found.boxes[part]), 1e-9
    )
    good = share > threshold
    part, cover, share = part[good], cover[good], share[good]
    order = np.lexsort((views.rank[cover], -share, part))
    part, cover = part[order], cover[order]
    owner = np.arange(len(found))
    # One cover is enough, and mostly the likeliest is one: the others are looked at only if it is not.
    likeliest = np.ones(len(part), np.bool_)
    likeliest[1:] = part[1:] != part[:-1]
    for look in (likeliest, ~likeliest):
        chosen = (look & (owner[part] == part)).nonzero()[0]
        if found.masks is not None and len(chosen):
            chosen = chosen[mask_covers(found.masks, part[chosen], cover[chosen], threshold)]
        owner[part[chosen[::-1]]] = cover[chosen[::-1]]  # the last assignment stays: the likeliest
    return owner[owner]  # what covers a cut one may end near a border, and be covered itself


def _goes_beyond(views: Views, part: I64, cover: I64, near: Bits) -> Bits:
    """Return whether each ``cover`` goes on beyond a border where its ``part`` ends.

    Args:
        views: Detections of one frame.
        part: Those that may be fragments.
        cover: What they may be fragments of.
        near: Which of the fragments only end near a border. Their covers must go on further than that,
            and be about as good.
    """
    beyond = (views.found.boxes[cover] - views.seen[part]) * _OUTWARDS
    crosses = _any_border((beyond > 0) & views.cut[part])
    k = near.nonzero()[0]
    p, c = part[k], cover[k]
    scores = views.found.scores
    crosses[k] = _any_border((beyond[k] > _slack(views.found.boxes[p])) & views.near[p])
    crosses[k] &= scores[c] >= scores[p] * np.float32(_RIVAL)
    return crosses


def continued(views: Views, threshold: float, among: Bits | None = None) -> I64:
    """Find the cut detections that are fragments of one object, chains of them too.

    A tile's own detections are different objects already, so an object takes at most one fragment from
    each tile: of the fragments that could belong together, those that agree best are joined first.

    Args:
        views: Detections of one frame.
        threshold: Overlap (intersection over smaller) inside the strip that both tiles show, exclusive.
        among: (n,) which of the detections are still there; the others join nothing.

    Returns:
        (n,) index of the object's best-scored fragment, or the detection's own index.
    """
    first, second = views.pairs
    there = views.is_cut if among is None else views.is_cut & among
    both = there[first] & there[second]
    first, second = first[both], second[both]
    seen = _cut_inside(views, first, second) | _cut_inside(views, second, first)
    first, second, agreement = _agreeing(views, first[seen], second[seen], threshold)
    owner = np.arange(len(views.found))
    one, other = views.rank[first], views.rank[second]
    order = np.lexsort((np.maximum(one, other), np.minimum(one, other), -agreement))
    rank = views.rank.tolist()
    for members in groups_of(edges_of(first[order], second[order]), views.tile.tolist()):
        owner[members] = min(members, key=rank.__getitem__)
    return owner


def mistaken(views: Views, owner: I64, among: Bits) -> Bits:
    """Find the fragments that are part of an object of another class.

    The global pass is too coarse to tell: small objects often lie in front of what it finds.

    Args:
        views: Detections of one frame.
        owner: (n,) which fragment each one continues, as :func:`continued` found it.
        among: (n,) which of the detections are still there.

    Returns:
        (n,) whether it is one.
    """
    found, boxes = views.found, views.found.boxes
    alone = among & (np.bincount(owner, minlength=len(owner)) == 1)
    parts = (alone & views.is_cut).nonzero()[0]
    covers = (among & ~views.is_cut & (views.tile != GLOBAL_PASS)).nonzero()[0]
    i, j = _around(boxes[parts], boxes[covers])  # what contains nearly all of a box contains its middle
    part, cover = parts[i], covers[j]
    better = (found.classes[part] != found.classes[cover]) & (views.rank[cover] < views.rank[part])
    better &= views.tile[part] != views.tile[cover]
    part, cover = part[better], cover[better]
    inside = _goes_beyond(views, part, cover, np.zeros(len(part), np.bool_))
    inside &= intersection_areas(boxes[part], boxes[cover]) > _INSIDE * areas(boxes[part])
    part, cover = part[inside], cover[inside]
    if found.masks is not None:
        part = part[mask_covers(found.masks, part, cover, _INSIDE)]
    result = np.zeros(len(found), np.bool_)
    result[part] = True
    return result


def _around(inner: F32, outer: F32) -> tuple[I64, I64]:
    """Return which of (n, 4) boxes have their middle in which of (m, 4), as pairs of indices."""
    middles = (inner[:, :2] + inner[:, 2:]) / 2
    left, top, right, bottom = outer.T
    step = max(1, _PAIRS_AT_ONCE // max(1, len(outer)))
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for begin in range(0, len(middles), step):
        x, y = np.hsplit(middles[begin : begin + step], 2)
        i, j = ((left < x) & (x < right) & (top < y) & (y < bottom)).nonzero()
        first.append(i + begin)
        second.append(j)
    return np.concatenate(first), np.concatenate(second)


def _cut_inside(views: Views, part: I64, other: I64) -> Bits:
    """Return whether ``part`` is cut by a border beyond which the tile of ``other`` can look."""
    looks_beyond = (views.seen[other] - views.seen[part]) * _OUTWARDS > 0
    return _any_border(views.cut[part] & looks_beyond)


def _any_border(borders: Bits) -> Bits:
    """Return for each of (n, 4) whether any is set; a reduction over rows this short would take longer."""
    result: Bits = np.ascontiguousarray(borders).view(np.uint32)[:, 0] != 0
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
    agreement = mask_agreement(found.masks, first, second, strip, threshold, views.tile.tolist())
    good = agreement > threshold
    return first[good], second[good], agreement[good]
