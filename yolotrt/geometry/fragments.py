"""How well masks of possible fragments fit each other, and which of them make up one object."""

from __future__ import annotations

import numpy as np

from yolotrt.arrays import F64, I64, Bits
from yolotrt.geometry.detections import Masks
from yolotrt.geometry.packed import mask_areas, mask_sizes, shared_areas


def mask_covers(masks: Masks, part: I64, cover: I64, threshold: float) -> Bits:
    """Return whether more than ``threshold`` of each mask ``part`` is covered by the mask ``cover``."""
    shared = shared_areas(masks, part, cover)
    covers: Bits = (
        shared / mask_sizes(masks, part) > threshold
    )  # true of the mask if true of all its rectangle
    unsure = (~covers & (shared > 0)).nonzero()[0]
    covers[unsure] = shared[unsure] / np.maximum(mask_areas(masks, part[unsure]), 1) > threshold
    return covers


def mask_agreement(
    masks: Masks, first: I64, second: I64, strip: I64, threshold: float, tiles: list[int]
) -> F64:
    """Return the overlaps of masks inside their strips, or 1 for one above the threshold that has no rival.

    How well two fragments agree matters only where a third one of their tiles could take a place.
    """
    shared = shared_areas(masks, first, second, strip)
    agreement = np.ones(len(shared))
    sides = np.concatenate([first, second]), np.concatenate([strip, strip])
    sure = shared / mask_sizes(masks, *sides).reshape(2, -1).min(axis=0) > threshold
    meets = shared > 0
    contested = np.zeros(len(tiles), np.bool_)
    for group in groups_of(edges_of(first[meets], second[meets])):
        contested[group] = len({tiles[i] for i in group}) < len(group)
    k = (~sure | contested[first]).nonzero()[0]
    sides = np.concatenate([first[k], second[k]]), np.concatenate([strip[k], strip[k]])
    smaller = mask_areas(masks, *sides).reshape(2, -1).min(axis=0)
    agreement[k] = shared[k] / np.maximum(smaller, 1)
    return agreement


def edges_of(first: I64, second: I64) -> list[tuple[int, int]]:
    """Return pairs of indices as a list, which is faster to walk."""
    return list(zip(first.tolist(), second.tolist(), strict=True))


def groups_of(edges: list[tuple[int, int]], tiles: list[int] | None = None) -> list[list[int]]:
    """Join detections along the edges, in their order, into groups.

    Args:
        edges: Pairs of detections.
        tiles: The tile of each detection; an edge that would bring a tile twice into a group joins
            nothing. Without it every edge joins.
    """
    groups: dict[int, list[int]] = {i: [i] for edge in edges for i in edge}
    for one, other in edges:
        a, b = groups[one], groups[other]
        if a is b or (tiles and not {tiles[i] for i in a}.isdisjoint([tiles[i] for i in b])):
            continue
        a += b
        for i in b:
            groups[i] = a
    return list({id(group): group for group in groups.values()}.values())
