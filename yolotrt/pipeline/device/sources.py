"""Where the images of a pass lie in a frame, for engines that read frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F32, I32
from yolotrt.backends.base import FrameOnDevice, FrameSource, LetterboxOf, TilesOf
from yolotrt.cuda.device import Scope
from yolotrt.geometry.letterbox import Letterbox

_WEIGHT = 2048
"""What the weights of two neighbours add up to, as in OpenCV's bilinear resizing of 8-bit pictures."""

_ORIGIN_BYTES = 8


@dataclass(frozen=True)
class Tiles:
    """The tiles of a pass in one frame."""

    frame: FrameOnDevice
    origins: int

    def images(self, first: int) -> FrameSource:
        """Return the images from ``first`` on."""
        return TilesOf(self.frame, self.origins + first * _ORIGIN_BYTES)


@dataclass(frozen=True)
class LetterboxedFrame:
    """The whole frame, letterboxed: all images of its pass are the same."""

    frame: FrameOnDevice
    across: int
    down: int

    def images(self, first: int) -> FrameSource:
        """Return the images from ``first`` on."""
        return LetterboxOf(self.frame, self.across, self.down)


Source = Tiles | LetterboxedFrame


def upload_tables(scope: Scope, placement: Letterbox) -> tuple[int, int]:
    """Return the device addresses of a letterbox's tables: of its columns, and of its rows."""
    across, down = (scope.constant(table_of(placement, axis)).address for axis in (0, 1))
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
    source, target, pad = placement.image_wh[axis], placement.resized_wh[axis], placement.pad_xy[axis]
    at: F32 = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    share = at - first.astype(np.float32)
    if axis == 0:  # OpenCV does so for columns only
        share[(first < 0) | (first >= source - 1)] = 0
    table = np.zeros((placement.model_wh[axis], 4), np.int32)
    table[:, 0] = -1
    inside = table[pad : pad + target]
    inside[:, 0], inside[:, 1] = (np.clip(first + k, 0, source - 1) for k in (0, 1))
    inside[:, 2], inside[:, 3] = (
        np.rint(s * np.float32(_WEIGHT)).astype(np.int32) for s in (1 - share, share)
    )
    return table
