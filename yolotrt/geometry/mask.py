"""One mask, stored only where its object is: moved, clipped, compared, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import Bits


@dataclass(frozen=True)
class Mask:
    """A binary mask stored only where the object is.

    Attributes:
        x: Column of ``bits[:, 0]`` in the frame, px.
        y: Row of ``bits[0, :]`` in the frame, px.
        bits: (h, w) bool; may be empty (0 rows or columns) for an object without any mask pixel.
    """

    x: int
    y: int
    bits: Bits

    @property
    def area(self) -> int:
        """Number of set pixels."""
        return int(np.count_nonzero(self.bits))

    def moved(self, dx: int, dy: int) -> Mask:
        """Return the mask shifted by whole pixels; the bits are shared, not copied."""
        return Mask(self.x + dx, self.y + dy, self.bits)


def shared_pixels(a: Mask, b: Mask) -> int:
    """Return how many pixels of the frame belong to both masks."""
    left, top = max(a.x, b.x), max(a.y, b.y)
    right = min(a.x + a.bits.shape[1], b.x + b.bits.shape[1])
    bottom = min(a.y + a.bits.shape[0], b.y + b.bits.shape[0])
    if left >= right or top >= bottom:
        return 0
    rectangle = (left, top, right, bottom)
    return int(np.count_nonzero(clip_mask(a, *rectangle).bits & clip_mask(b, *rectangle).bits))


def clip_mask(mask: Mask, left: int, top: int, right: int, bottom: int) -> Mask:
    """Return the part of a mask inside a rectangle of its frame (right and bottom exclusive), as a view."""
    x, y = max(left, mask.x), max(top, mask.y)
    return Mask(x, y, mask.bits[y - mask.y : max(bottom - mask.y, 0), x - mask.x : max(right - mask.x, 0)])


def join_masks(masks: Sequence[Mask]) -> Mask:
    """Return the union of masks of one frame; its array covers just their common bounding box."""
    drawn = [m for m in masks if m.bits.size]
    if not drawn:
        return masks[0]
    left, top = min(m.x for m in drawn), min(m.y for m in drawn)
    right = max(m.x + m.bits.shape[1] for m in drawn)
    bottom = max(m.y + m.bits.shape[0] for m in drawn)
    bits = np.zeros((bottom - top, right - left), np.bool_)
    for m in drawn:
        height, width = m.bits.shape
        bits[m.y - top : m.y - top + height, m.x - left : m.x - left + width] |= m.bits
    return Mask(left, top, bits)
