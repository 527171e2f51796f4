"""What comes back from the GPU: detections and their packed masks, in page-locked memory."""

from __future__ import annotations

import numpy as np

from yolotrt.cuda.device import PinnedBuffer, Scope
from yolotrt.errors import ExecutionError
from yolotrt.geometry.detections import I64, Detections, PerImage
from yolotrt.geometry.packed import BIT, HEIGHT, STEP, WIDTH, PackedMasks, X, Y

CANDIDATE = np.dtype(
    [
        ("box", "<f4", 4),
        ("score", "<f4"),
        ("label", "<i4"),
        ("source", "<i4"),
        ("image", "<i4"),
    ]
)
"""``Candidate`` of the kernels."""

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
"""``Record`` of masks.cu."""

HEADER = np.dtype(
    [("records", "<i4"), ("units", "<i4"), ("broken", "<i4"), ("unused", "<i4"), ("words", "<i8")]
)
"""``Header`` of masks.cu."""

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
        self.bits: PinnedBuffer = scope.pinned(words * 4)
        self.words = words

    @property
    def missing_words(self) -> int:
        """Words that the masks needed beyond the room they had; until it is 0 masks are incomplete."""
        return max(0, int(self.header.array.view(HEADER)[0]["words"]) - self.words)

    def read(self, origins: list[tuple[int, int]], *, masks: bool) -> PerImage:
        """Return the detections of each image, best first.

        Args:
            origins: Upper left corner (x, y) of each image in the frame, px; one per image.
            masks: Whether masks were drawn.

        Returns:
            Detections in px of the frame, independent of this memory.

        Raises:
            ExecutionError: An output that matters here holds NaN or infinity.
        """
        header = self.header.array.view(HEADER)[0]
        if header["broken"]:
            raise ExecutionError(
                "An output of the engine holds NaN or infinity: the engine is broken.",
                hint="Build it again; if it was built in lower precision, compare with --fp32. "
                "With --device cpu an ONNX engine names the layer.",
            )
        count = int(header["records"])
        if not count:
            return PerImage(Detections.empty(masks=masks), np.zeros(len(origins), np.int64))
        records = self.records.array[: count * RECORD.itemsize].view(RECORD)
        image = records["image"]
        places = np.asarray(origins, np.int64).reshape(-1, 2)[image]
        boxes = records["box"] + np.tile(places.astype(np.float32), 2)
        scores = records["score"].copy()
        classes = records["label"].astype(np.int64)
        drawn = self._masks(records, places, int(header["words"])) if masks else None
        ends = np.searchsorted(image, np.arange(len(origins)), side="right")
        return PerImage(Detections(boxes, scores, classes, drawn), ends)

    def _masks(
        self, records: np.ndarray[tuple[int], np.dtype[np.void]], places: I64, words: int
    ) -> PackedMasks:
        """Copy the bits of all masks, as they are."""
        left, top, right, bottom = (records[c].astype(np.int64) for c in ("left", "top", "right", "bottom"))
        begin = left & -BYTE  # rows begin at whole bytes
        empty = (right <= left) | (bottom <= top)
        pieces = np.empty((len(records), 6), np.int64)
        pieces[:, X], pieces[:, Y] = left + places[:, 0], top + places[:, 1]
        pieces[:, WIDTH], pieces[:, HEIGHT] = right - left, bottom - top
        pieces[empty, WIDTH : HEIGHT + 1] = 0
        pieces[:, BIT] = records["word"] * WORD + left - begin
        pieces[:, STEP] = -(-(right - begin) // WORD) * WORD
        return PackedMasks.whole(self.bits.array[: words * WORD // 8].copy(), pieces)
