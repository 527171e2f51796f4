"""From a decoder's frame to upright BGR: colours as the stream's tags say, turned as its player would.

A video stores brightness and colour differences. Which matrix turns them into red, green and blue, and which
range they have, are tags of the stream; without them the size decides, as players do (ITU-R BT.709 from 720
lines on, BT.601 below). Transfer curves stay: a video in HDR is not tone-mapped.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from yolotrt.arrays import Frame

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter


HD_LINES = 720
"""Frames of so many lines are BT.709 if nothing says otherwise."""

BT709, BT601, BT2020 = 1, 5, 9
"""Numbers of the matrices in FFmpeg's ``sws_getCoefficients``."""
VIDEO_RANGE, FULL_RANGE = 1, 2

_MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: BT2020, 10: BT2020}
"""The matrix by a stream's tag (ITU-T H.273, table 4)."""


class Converter:
    """Converts the frames of one video; what the conversion needs is kept from frame to frame."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._scaler: VideoReformatter = VideoReformatter()
        self._turn: tuple[int, tuple[int, ...] | None] | None = None

    def __call__(self, frame: VideoFrame) -> Frame:
        """Return a decoded frame as (h, w, 3) uint8 BGR, upright."""
        matrix = _MATRICES.get(int(frame.colorspace)) or (BT709 if frame.height >= HD_LINES else BT601)
        full = int(frame.color_range) == FULL_RANGE or frame.format.name.startswith("yuvj")
        # PyAV before 17 leaves all of this unused where nothing differs between source and destination; that
        # of RGB has no meaning.
        picture = self._scaler.reformat(
            frame,
            format="bgr24",
            src_colorspace=matrix,
            dst_colorspace=BT709 if matrix == BT601 else BT601,
            src_color_range=FULL_RANGE if full else VIDEO_RANGE,
            dst_color_range=FULL_RANGE,
        ).to_ndarray()
        # Looking at the side data ties a frame into a cycle, which holds it until garbage is collected.
        if self._turn is None or self._turn[0] != frame.rotation:
            self._turn = frame.rotation, display_matrix(frame)
        return upright(np.asarray(picture, np.uint8), self._turn[1])


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """Return (a, b, c, d) of a frame's display matrix in 16.16 fixed point, or None without one.

    A point (x, y) of the stored frame is shown at (ax + cy, bx + dy) (ISO/IEC 14496-12, 6.2.2).
    """
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(cast("SideData", found)))
    return a, b, c, d


def upright(image: Frame, matrix: tuple[int, ...] | None) -> Frame:
    """Turn and mirror a frame as its display matrix says, to the nearest quarter turn.

    Args:
        image: (h, w, 3) uint8.
        matrix: What :func:`display_matrix` gives.
    """
    if matrix is None:
        return image
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        left, up = a < 0, d < 0
    else:
        image, left, up = np.asarray(cv2.transpose(image), np.uint8), c < 0, b < 0
    if not (left or up):
        return image
    return np.asarray(cv2.flip(image, -1 if left and up else 1 if left else 0), np.uint8)
