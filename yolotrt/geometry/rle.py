"""COCO's run-length encoding of masks, straight from their cropped arrays.

A mask is read column by column over the whole frame; ``counts`` are the lengths of alternating runs of
0 and 1. In the compressed form each count, from the fourth on less the count two before it, is written
in groups of 5 bits, lowest first, with bit 5 set while more follow, plus 48 to be printable.
Format: https://github.com/cocodataset/cocoapi (``common/maskApi.c``, described in its header).
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from yolotrt.arrays import I64, Bits
from yolotrt.geometry.detections import Mask


class CocoRle(TypedDict):
    """A mask as pycocotools and COCO's result files take it.

    Attributes:
        size: Height and width of the frame, px.
        counts: Compressed run lengths, ASCII.
    """

    size: list[int]
    counts: bytes


def coco_rle(mask: Mask, frame_wh: tuple[int, int]) -> CocoRle:
    """Encode a mask that lies inside a frame of ``frame_wh`` px."""
    width, height = frame_wh
    return {"size": [height, width], "counts": compress(run_lengths(mask, frame_wh))}


def run_lengths(mask: Mask, frame_wh: tuple[int, int]) -> I64:
    """Return the uncompressed counts of a mask that lies inside a frame of ``frame_wh`` px."""
    frame_width, frame_height = frame_wh
    height, width = mask.bits.shape
    # A column of zeros' worth of padding under each column ends every run within its own column.
    columns = np.zeros((width, height + 1), np.bool_)
    columns[:, :height] = mask.bits.T
    flat = columns.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        edges = np.concatenate([[0], edges])
    column, row = np.divmod(edges, height + 1)
    places = (mask.x + column) * frame_height + mask.y + row
    # A run that reaches the bottom of the frame goes on at the top of the next column.
    meets = np.flatnonzero(places[2::2] == places[1:-1:2])
    if meets.size:
        places = np.delete(places, np.concatenate([2 * meets + 1, 2 * meets + 2]))
    bounds = np.concatenate([[0], places, [frame_width * frame_height]])
    counts: I64 = np.diff(bounds)
    return counts[:-1] if len(counts) % 2 == 1 and counts[-1] == 0 else counts


def compress(counts: I64) -> bytes:
    """Return at least one run length in COCO's compressed form."""
    rest = counts.astype(np.int64)
    rest[3:] -= counts[1:-2]
    characters: list[I64] = []
    used: list[Bits] = []
    more = np.ones(len(rest), np.bool_)
    while more.any():
        used.append(more)
        low = rest & 0x1F
        rest = rest >> 5
        more = more & (rest != np.where(low & 0x10, -1, 0))
        characters.append(low + 48 + (more << 5))
    text = np.stack(characters, axis=1).astype(np.uint8)
    return bytes(text[np.stack(used, axis=1)])


def decode_rle(encoded: CocoRle) -> Mask:
    """Return a mask that COCO's tools wrote, cropped to its pixels; an empty one has an empty array.

    Raises:
        ValueError: The runs do not fill the frame exactly.
    """
    height, width = encoded["size"]
    counts = decompress(encoded["counts"])
    pixels = height * width
    if ((counts < 0) | (counts > pixels)).any() or counts.sum() != pixels:
        raise ValueError(f"run lengths do not fill a mask of {width}x{height} px")
    bounds = np.cumsum(counts)
    begins, ends = bounds[:-1:2], bounds[1::2]
    filled = ends > begins
    begins, ends = begins[filled], ends[filled]
    if not len(begins):
        return Mask(0, 0, np.zeros((0, 0), np.bool_))
    # Only the columns from the first to the last pixel are drawn: frames are large, and objects small.
    x, last = int(begins[0]) // height, int(ends[-1] - 1) // height
    edges = np.stack([begins, ends], axis=1).ravel() - x * height
    runs = np.diff(edges, prepend=0)
    drawn = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    columns = np.zeros((last - x + 1, height), np.bool_)
    columns.ravel()[: len(drawn)] = drawn
    rows = np.flatnonzero(columns.any(axis=0))
    y = int(rows[0])
    return Mask(x, y, np.ascontiguousarray(columns[:, y : rows[-1] + 1].T))


def decompress(text: bytes) -> I64:
    """Return the run lengths of COCO's compressed form.

    Raises:
        ValueError: The last number is cut off, or a character does not belong there.
    """
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(groups & 0x20 == 0)
    if not len(last) or last[-1] != len(groups) - 1 or ((groups < 0) | (groups > 63)).any():
        raise ValueError("not COCO's compressed run lengths")
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(first, last - first + 1)
    if place.max() > 10:
        raise ValueError("a run length of more than 50 bits")
    values = np.add.reduceat((groups & 0x1F) << (5 * place), first)
    values -= np.where(groups[last] & 0x10, np.int64(1) << (5 * (last - first + 1)), 0)
    counts: I64 = values
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
