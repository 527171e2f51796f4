"""Many masks in one array of bits, as a GPU writes them: chosen, joined and counted without unpacking.

The rows of a mask follow each other, each padded with zeros to whole bytes on both sides; the lowest bit of
a byte is the leftmost pixel. Where byte borders lie at columns of the frame that are multiples of 8, as
nearly always, the pixels that masks share are counted bytewise.

Choosing and joining masks only moves indices: pixels are unpacked when a mask is asked for, and drawn
together only then if it has several pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import I64, U8
from yolotrt.geometry.mask import Mask, clip_mask, join_masks, shared_pixels

X, Y, WIDTH, HEIGHT, BIT, STEP = range(6)
"""Columns of :attr:`PackedMasks.pieces`."""

_Number = TypeVar("_Number", np.int64, np.uint8)


@dataclass(frozen=True)
class PackedMasks(Sequence[Mask]):
    """A sequence of masks, of which each is unpacked anew whenever it is asked for.

    Attributes:
        bits: (bytes,) uint8, the bits of all pieces.
        pieces: (p, 6) x, y, width and height in px of the frame, the place of the first pixel in ``bits``,
            and the bits from one row to the next, a multiple of 8.
        spans: (n, 2) first and last (exclusive) piece of each mask; a mask is the union of its pieces.
    """

    bits: U8
    pieces: I64
    spans: I64

    @classmethod
    def of(cls, masks: Iterable[Mask]) -> PackedMasks:
        """Pack masks of one frame."""
        rows: list[U8] = []
        table, begin = [], 0
        for mask in masks:
            (height, width), phase = mask.bits.shape, mask.x & 7
            padded = np.zeros((height, phase + width), np.bool_)
            padded[:, phase:] = mask.bits
            packed = np.packbits(padded, axis=1, bitorder="little")
            rows.append(packed.reshape(-1))
            table.append((mask.x, mask.y, width, height, begin * 8 + phase, packed.shape[1] * 8))
            begin += packed.size
        bits = np.concatenate(rows) if rows else np.zeros(0, np.uint8)
        return cls.whole(bits, np.array(table, np.int64).reshape(-1, 6))

    @classmethod
    def whole(cls, bits: U8, pieces: I64) -> PackedMasks:
        """Return masks of one piece each."""
        first = np.arange(len(pieces))
        return cls(bits, pieces, np.stack([first, first + 1], axis=1))

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, index: int) -> Mask: ...

    @overload
    def __getitem__(self, index: slice) -> PackedMasks: ...

    def __getitem__(self, index: int | slice) -> Mask | PackedMasks:
        if isinstance(index, slice):
            return PackedMasks(self.bits, self.pieces, self.spans[index])
        begin, end = self.spans[index].tolist()
        pieces = [self._unpacked(*piece) for piece in self.pieces[begin:end].tolist()]
        return pieces[0] if len(pieces) == 1 else join_masks(pieces)

    def __iter__(self) -> Iterator[Mask]:
        return (self[i] for i in range(len(self)))

    def take(self, index: npt.NDArray[np.intp] | I64) -> PackedMasks:
        """Return the chosen masks, in the order of ``index``."""
        return PackedMasks(self.bits, self.pieces, self.spans[index])

    def moved(self, dx: int, dy: int) -> PackedMasks:
        """Return the masks shifted by whole pixels."""
        return PackedMasks(self.bits, self.pieces + np.array([dx, dy, 0, 0, 0, 0]), self.spans)

    def joined(self, groups: Mapping[int, Sequence[int]]) -> PackedMasks:
        """Return the masks, each that has a group replaced by the union of that group."""
        begins, ends = self.spans.T.tolist()
        spans, size = self.spans.copy(), len(self.pieces)
        added: list[int] = []
        for leader, group in groups.items():
            before = len(added)
            for i in group:
                added += range(begins[i], ends[i])
            spans[leader] = size + before, size + len(added)
        return PackedMasks(self.bits, np.concatenate([self.pieces, self.pieces[added]]), spans)

    @classmethod
    def concatenate(cls, parts: Sequence[PackedMasks]) -> PackedMasks:
        """Join masks of one frame, keeping their order; parts of one array stay parts of one array."""
        arrays: dict[int, tuple[int, U8]] = {}
        tables: dict[int, tuple[int, I64]] = {}
        spans, taken, pieces, begin = [], 0, 0, 0
        last: PackedMasks | None = None
        for part in parts:
            if last is None or part.pieces is not last.pieces:  # mostly many parts of one table follow
                if id(part.bits) not in arrays:
                    arrays[id(part.bits)] = taken, part.bits
                    taken += len(part.bits)
                if id(part.pieces) not in tables:
                    shift = arrays[id(part.bits)][0]
                    moved = part.pieces + np.array([0, 0, 0, 0, shift * 8, 0]) if shift else part.pieces
                    tables[id(part.pieces)] = pieces, moved
                    pieces += len(moved)
                begin, last = tables[id(part.pieces)][0], part
            spans.append(part.spans + begin if begin else part.spans)
        bits = _one([array for _, array in arrays.values()])
        return cls(bits, _one([table for _, table in tables.values()]), np.concatenate(spans))

    @cached_property
    def simple(self) -> PackedMasks:
        """The same masks, of one piece each."""
        if (self.spans[:, 1] - self.spans[:, 0] == 1).all():
            return self
        return PackedMasks.of(self)

    def _unpacked(self, x: int, y: int, width: int, height: int, bit: int, step: int) -> Mask:
        phase, size = bit & 7, step // 8
        rows = self.bits[bit // 8 : bit // 8 + height * size].reshape(height, size)
        pixels = np.unpackbits(rows, axis=1, count=phase + width, bitorder="little")[:, phase:]
        return Mask(x, y, pixels.view(np.bool_))


def mask_areas(masks: Sequence[Mask], which: I64, within: I64 | None = None) -> I64:
    """Return how many pixels the masks ``which`` have.

    Args:
        masks: Masks of one frame.
        which: (k,) their indices.
        within: (k, 4) xyxy rectangles in px of the frame; pixels outside are not counted.
    """
    return shared_areas(masks, which, which, within)


def mask_sizes(masks: Sequence[Mask], which: I64, within: I64 | None = None) -> I64:
    """Return the px, at least 1, of the rectangles around the masks ``which``.

    Args:
        masks: Masks of one frame.
        which: (k,) their indices.
        within: (k, 4) xyxy rectangles in px of the frame; only what lies inside is counted.
    """
    if isinstance(masks, PackedMasks):
        masks = masks.simple
        around = masks.pieces[masks.spans[which, 0], : HEIGHT + 1]
    else:
        chosen = [masks[i] for i in which.tolist()]
        around = np.array([(m.x, m.y, *m.bits.shape[::-1]) for m in chosen], np.int64).reshape(-1, 4)
    sides = around[:, WIDTH : HEIGHT + 1]
    if within is not None:
        low = np.maximum(around[:, :2], within[:, :2])
        sides = np.maximum(np.minimum(around[:, :2] + sides, within[:, 2:]) - low, 0)
    result: I64 = np.maximum(sides[:, 0] * sides[:, 1], 1)
    return result


def shared_areas(masks: Sequence[Mask], first: I64, second: I64, within: I64 | None = None) -> I64:
    """Return how many pixels of the frame belong to both masks of each pair.

    Args:
        masks: Masks of one frame.
        first: (k,) index of one of each pair.
        second: (k,) index of the other.
        within: (k, 4) xyxy rectangles in px of the frame; pixels outside are not counted.
    """
    if isinstance(masks, PackedMasks) and len(first):
        return _packed_areas(masks.simple, first, second, within)
    counts = np.zeros(len(first), np.int64)
    rectangles = [None] * len(first) if within is None else within.tolist()
    pairs = zip(first.tolist(), second.tolist(), rectangles, strict=True)
    for k, (i, j, rectangle) in enumerate(pairs):
        one = masks[i] if rectangle is None else clip_mask(masks[i], *rectangle)
        counts[k] = one.area if i == j else shared_pixels(one, masks[j])
    return counts


def _packed_areas(masks: PackedMasks, first: I64, second: I64, within: I64 | None) -> I64:
    """Do the work of :func:`shared_areas` for masks of one piece each."""
    one, other = masks.pieces[masks.spans[first, 0]], masks.pieces[masks.spans[second, 0]]
    low = np.maximum(one[:, :2], other[:, :2])
    high = np.minimum(one[:, :2] + one[:, WIDTH : HEIGHT + 1], other[:, :2] + other[:, WIDTH : HEIGHT + 1])
    left, right = low[:, 0], high[:, 0]
    if within is not None:
        low, high = np.maximum(low, within[:, :2]), np.minimum(high, within[:, 2:])
    sides = high - low
    start, stop = _place(one, low), _place(other, low)
    phase, end = start & 7, (start + sides[:, 0]) & 7
    # Pixels that share a byte with the rectangle but lie outside of it belong to at most one of the two,
    # unless the rectangle ends inside both.
    bytewise = phase == stop & 7
    bytewise &= (phase == 0) | (low[:, 0] == left)
    bytewise &= (end == 0) | (high[:, 0] == right)
    counts = np.zeros(len(first), np.int64)
    meets = (sides[:, 0] > 0) & (sides[:, 1] > 0)
    quick = (meets & bytewise).nonzero()[0]
    columns = start, one[:, STEP], stop, other[:, STEP], sides[:, 1] << 3, phase + sides[:, 0] + 7
    counts[quick] = _counted(masks.bits, *((column[quick] >> 3).tolist() for column in columns))
    for k in (meets & ~bytewise).nonzero()[0].tolist():
        a, b = masks[int(first[k])], masks[int(second[k])]
        counts[k] = shared_pixels(clip_mask(a, *low[k].tolist(), *high[k].tolist()), b)
    return counts


def _place(pieces: I64, corner: I64) -> I64:
    """Return the bits of the pieces at the px ``corner`` (k, 2) of the frame."""
    place: I64 = (
        pieces[:, BIT] + (corner[:, 1] - pieces[:, Y]) * pieces[:, STEP] + corner[:, 0] - pieces[:, X]
    )
    return place


def _counted(bits: U8, *columns: list[int]) -> list[float]:
    """Return how many bits are set in both of two rectangles of bytes, for each pair of them.

    Args:
        bits: Where the rectangles lie.
        columns: First byte of one, bytes from row to row, the same of the other; rows, bytes of a row.
    """
    import cv2  # a program that starts has better things to load first

    counts = []
    for begin, step, other, other_step, rows, size in zip(*columns, strict=True):
        one = np.ndarray((rows, size), np.uint8, bits, begin, (step, 1))
        two = one if other == begin else np.ndarray((rows, size), np.uint8, bits, other, (other_step, 1))
        counts.append(cv2.norm(cv2.bitwise_and(one, two), cv2.NORM_HAMMING))
    return counts


def _one(arrays: list[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    """Concatenate without copying what is alone."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
