"""Where the images of a pass lie in a frame, for engines that read frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F32, I32, I64
from yolotrt.backends.base import FrameOnDevice, FrameSource, LetterboxOf, TilesOf, YuvOnDevice
from yolotrt.cuda.device import Scope
from yolotrt.geometry.letterbox import Letterbox

_WEIGHT = 2048
"""What the weights of two neighbours add up to, as in OpenCV's bilinear resizing of 8-bit pictures."""

_ORIGIN_BYTES = 8


@dataclass(frozen=True)
class Tiles:
    """The tiles of a pass in one frame."""

    frame: FrameOnDevice | YuvOnDevice
    origins: int

    def images(self, first: int) -> FrameSource:
        """Return the images from ``first`` on."""
        return TilesOf(self.frame, self.origins + first * _ORIGIN_BYTES)


@dataclass(frozen=True)
class LetterboxedFrame:
    """The whole frame, letterboxed: all images of its pass are the same."""

    frame: FrameOnDevice | YuvOnDevice
    across: int
    down: int
    across_chroma: int = 0
    down_chroma: int = 0

    def images(self, first: int) -> FrameSource:
        """Return the images from ``first`` on."""
        return LetterboxOf(self.frame, self.across, self.down, self.across_chroma, self.down_chroma)


Source = Tiles | LetterboxedFrame


def upload_tables(scope: Scope, placement: Letterbox) -> tuple[int, int]:
    """Return the device addresses of a letterbox's tables: of its columns, and of its rows."""
    across, down = (scope.constant(table_of(placement, axis)).address for axis in (0, 1))
    return across, down


def upload_chroma_tables(scope: Scope, placement: Letterbox, site: tuple[int, int]) -> tuple[int, int]:
    """Return the device addresses of likewise tables of the colour samples of a frame.

    Args:
        scope: Owns them.
        placement: The letterbox of the frame.
        site: Where the samples lie; see :class:`yolotrt.data.colours.Colours`.
    """
    across, down = (scope.constant(chroma_table_of(placement, axis, site)).address for axis in (0, 1))
    return across, down


def table_of(placement: Letterbox, axis: int) -> I32:
    """Return the two neighbours of every column (or row) of a letterbox and their weights.

    As ``neighbours`` in prepare.cu, in its precision.

    Args:
        placement: The letterbox.
        axis: 0 for columns, 1 for rows.

    Returns:
        (input width or height, 4): first and second neighbour, their weights in 1/2048; the first is -1 where
        there is padding.
    """
    source, place = placement.image_wh[axis], _places(placement, axis)
    first = np.floor(place).astype(np.int64)
    share = place - first.astype(np.float32)
    if axis == 0:  # OpenCV does so for columns only
        share[(first < 0) | (first >= source - 1)] = 0
    return _table(placement, axis, source, first, share)


def chroma_table_of(placement: Letterbox, axis: int, site: tuple[int, int]) -> I32:
    """Return the same for the colour samples of a frame, of which 2 x 2 pixels have one."""
    place = (_places(placement, axis) - np.float32(0.5 * site[axis])) / 2
    first = np.floor(place).astype(np.int64)
    return _table(placement, axis, placement.image_wh[axis] // 2, first, place - first.astype(np.float32))


def _places(placement: Letterbox, axis: int) -> F32:
    """Return where the centres of a letterbox's columns or rows lie in the frame."""
    source, target = placement.image_wh[axis], placement.resized_wh[axis]
    return ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)


def _table(placement: Letterbox, axis: int, count: int, first: I64, share: F32) -> I32:
    table = np.zeros((placement.model_wh[axis], 4), np.int32)
    table[:, 0] = -1
    pad = placement.pad_xy[axis]
    inside = table[pad : pad + len(first)]
    inside[:, 0], inside[:, 1] = (np.clip(first + k, 0, count - 1) for k in (0, 1))
    inside[:, 2], inside[:, 3] = (
        np.rint(s * np.float32(_WEIGHT)).astype(np.int32) for s in (1 - share, share)
    )
    return table
