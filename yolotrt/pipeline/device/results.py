"""What comes back from a pass on the GPU, in page-locked memory: detections and their packed masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from yolotrt.arrays import I64, U8
from yolotrt.cuda.device import Buffer, PinnedBuffer, Scope
from yolotrt.errors import ExecutionError
from yolotrt.geometry.detections import Detections, PerImage
from yolotrt.geometry.packed import BIT, HEIGHT, STEP, WIDTH, PackedMasks, X, Y

Records = np.ndarray[tuple[int], np.dtype[np.void]]

CANDIDATE = np.dtype(
    [
        ("box", "<f4", 4),
        ("score", "<f4"),
        ("label", "<i4"),
        ("source", "<i4"),
        ("image", "<i4"),
    ]
)
"""``Candidate`` of records.cuh."""

RECORD = np.dtype(
    [
        *CANDIDATE.descr,
        ("left", "<i4"),
        ("top", "<i4"),
        ("right", "<i4"),
        ("bottom", "<i4"),
        ("word", "<i8"),
        ("unit", "<i4"),
        ("unused", "<i4"),
    ]
)
"""``Record`` of records.cuh."""

HEADER = np.dtype(
    [("records", "<i4"), ("units", "<i4"), ("broken", "<i4"), ("unused", "<i4"), ("words", "<i8")]
)
"""``Header`` of records.cuh."""

WORD = 32
"""Pixels per word of a packed mask."""

BYTE = 8
"""The first word of a mask's rows begins at a column of the image that is a multiple of this."""


class Results:
    """The results of one pass, written by the GPU and read here.

    Args:
        scope: Owns the memory.
        images: Images of the pass.
        limit: Most detections of an image.
        words: Room for masks, in words of 32 pixels.
    """

    def __init__(self, scope: Scope, images: int, limit: int, words: int) -> None:
        self.header: PinnedBuffer = scope.pinned(HEADER.itemsize)
        self.records: PinnedBuffer = scope.pinned(images * limit * RECORD.itemsize)
        self.place: PinnedBuffer = scope.pinned(8)  # where the host's copy of the bits goes
        self.drawn: Buffer = scope.buffer(words * 4)  # the same bits, to be compared on the GPU
        self.words = words

    @property
    def missing_words(self) -> int:
        """Words that the masks needed beyond the room they had; until it is 0 masks are incomplete."""
        return max(0, int(self._header["words"]) - self.words)

    @property
    def mask_bytes(self) -> int:
        """Bytes that the masks took."""
        return int(self._header["words"]) * WORD // 8

    def draw_into(self, address: int) -> None:
        """Let the next masks go to page-locked memory of :attr:`words` words."""
        self.place.array.view(np.uint64)[0] = address

    def read(self, origins: list[tuple[int, int]], bits: U8 | None) -> PassFound:
        """Return what the pass found, independent of this memory.

        Args:
            origins: Upper left corner (x, y) of each image in the frame, px; one per image.
            bits: The first :attr:`mask_bytes` of what was drawn; None without masks.

        Raises:
            ExecutionError: An output that matters here holds NaN or infinity.
        """
        if self._header["broken"]:
            raise ExecutionError(
                "An output of the engine holds NaN or infinity: the engine is broken.",
                hint="Build it again; if it was built in lower precision, compare with --fp32. "
                "With --device cpu an ONNX engine names the layer.",
            )
        used = self.records.array[: int(self._header["records"]) * RECORD.itemsize]
        return PassFound(used.view(RECORD).copy(), bits, origins)

    @property
    def _header(self) -> np.void:
        header: np.void = self.header.array.view(HEADER)[0]
        return header


@dataclass(frozen=True)
class PassFound:
    """What a pass found; made into detections only when somebody asks, since most ask for merged ones.

    Attributes:
        records: (n,) of :data:`RECORD`, image after image, best first.
        bits: The bits of all masks, or None without masks.
        origins: Upper left corner (x, y) of each image in the frame, px.
    """

    records: Records
    bits: U8 | None
    origins: list[tuple[int, int]]

    @cached_property
    def detections(self) -> PerImage:
        """The detections of each image, best first, in px of the frame."""
        records, count = self.records, len(self.origins)
        if not len(records):
            return PerImage(Detections.empty(masks=self.bits is not None), np.zeros(count, np.int64))
        image = records["image"]
        places = np.asarray(self.origins, np.int64).reshape(-1, 2)[image]
        boxes = records["box"] + np.tile(places.astype(np.float32), 2)
        masks = None if self.bits is None else PackedMasks.whole(self.bits, _pieces(records, places))
        ends = np.searchsorted(image, np.arange(count), side="right")
        return PerImage(Detections(boxes, records["score"], records["label"].astype(np.int64), masks), ends)


def _pieces(records: Records, places: I64) -> I64:
    """Return where each record's mask lies in the frame and in the bits; see ``PackedMasks.pieces``."""
    left, top, right, bottom = (records[c].astype(np.int64) for c in ("left", "top", "right", "bottom"))
    begin = left & -BYTE  # rows begin at whole bytes
    empty = (right <= left) | (bottom <= top)
    pieces = np.empty((len(records), 6), np.int64)
    pieces[:, X], pieces[:, Y] = left + places[:, 0], top + places[:, 1]
    pieces[:, WIDTH], pieces[:, HEIGHT] = right - left, bottom - top
    pieces[empty, WIDTH : HEIGHT + 1] = 0
    pieces[:, BIT] = records["word"] * WORD + left - begin
    pieces[:, STEP] = -(-(right - begin) // WORD) * WORD
    return pieces
