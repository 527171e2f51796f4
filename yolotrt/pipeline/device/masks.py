"""Tables for the mask kernel: how the pixels of a frame are made of prototype pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import I64
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.masks import Interpolation, interpolations
from yolotrt.pipeline.device.results import WORD

TAPS = np.dtype([("first", "<i4"), ("weights", "<f4", 3)])
"""One pixel along one axis: its first prototype pixel and the weights of three neighbours from there."""

MOST_ROWS = 32
"""Rows of a mask that a block of threads draws at once, at most. More would share more prototype rows
between neighbouring bands, fewer keep more blocks busy."""

MOST_SHARED = 47 * 1024
"""Shared memory that every GPU gives a block without being asked specially, bytes: 48 KB, of which the mask
kernel uses less than one for a record and its coefficients."""


@dataclass(frozen=True)
class MaskTables:
    """Interpolation of one placement, and how its masks are cut into units of work.

    Attributes:
        columns: (image width,) of :data:`TAPS`.
        rows: (image height,) of :data:`TAPS`.
        unit_rows: Rows of a unit of work, a power of two up to :data:`MOST_ROWS`.
        shared: Bytes of shared memory that a unit needs at most, for its window and its words.
    """

    columns: npt.NDArray[np.void]
    rows: npt.NDArray[np.void]
    unit_rows: int
    shared: int

    @classmethod
    def of(cls, placement: Letterbox, proto_wh: tuple[int, int]) -> MaskTables:
        """Make the tables of one placement."""
        x, y = interpolations(placement, proto_wh)
        columns, rows = _taps(x), _taps(y)
        wide, words = _reach(columns, len(columns)), -(-len(columns) // WORD)
        unit_rows = MOST_ROWS

        def shared() -> int:
            return 4 * (wide * _reach(rows, unit_rows) + words * unit_rows)

        while unit_rows > 1 and shared() > MOST_SHARED:
            unit_rows //= 2
        return cls(columns, rows, unit_rows, shared())


def _taps(axis: Interpolation) -> npt.NDArray[np.void]:
    """Compress the banded matrix of an axis; both of its enlargements together reach three pixels."""
    if int((axis.last - axis.first).max()) > 2:
        raise ValueError("an interpolation reaches over more than three prototype pixels")
    padded = np.pad(axis.weights, ((0, 0), (0, 2)))
    taps = np.zeros(len(axis.first), TAPS)
    taps["first"] = axis.first
    taps["weights"] = np.take_along_axis(padded, axis.first[:, None] + np.arange(3), axis=1)
    return taps


def _reach(taps: npt.NDArray[np.void], pixels: int) -> int:
    """Return the most prototype pixels that ``pixels`` neighbouring pixels are made of."""
    first: I64 = taps["first"].astype(np.int64)
    ends = first[np.minimum(np.arange(len(first)) + pixels - 1, len(first) - 1)]
    return int((ends - first).max()) + 3
