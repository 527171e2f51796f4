"""From a decoder's frame to upright BGR: colours as the stream's tags say, turned as its player would."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import Frame
from yolotrt.data.colours import BT601, BT709, FULL_RANGE, VIDEO_RANGE, Colours, matrix_of

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter


class Converter:
    """Converts the frames of one video; what the conversion needs is kept from frame to frame."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._scaler: VideoReformatter = VideoReformatter()
        self._turn: tuple[int, tuple[int, ...] | None] | None = None

    def __call__(self, frame: VideoFrame) -> Frame:
        """Return a decoded frame as (h, w, 3) uint8 BGR, upright."""
        matrix, full = matrix_of(int(frame.colorspace), frame.height), has_full_range(frame)
        picture = _bgr(self._scaler, frame, matrix, full=full)
        # Looking at the side data ties a frame into a cycle, which holds it until garbage is collected.
        if self._turn is None or self._turn[0] != frame.rotation:
            self._turn = frame.rotation, display_matrix(frame)
        return upright(picture, self._turn[1])


def converted(samples: npt.NDArray[Any], wh: tuple[int, int], colours: Colours) -> Frame:
    """Return a picture of samples as (h, w, 3) uint8 BGR.

    Args:
        samples: (3 h / 2, w): NV12 as uint8, or P010 as uint16.
        wh: Width and height, px.
        colours: What they mean.
    """
    import av
    from av.video.reformatter import VideoReformatter

    name = "yuv420p" if samples.dtype == np.uint8 else "yuv420p10le"
    frame = av.VideoFrame.from_ndarray(planes(samples, wh[1]), format=name)
    return _bgr(VideoReformatter(), frame, colours.matrix, full=colours.full)


def _bgr(scaler: VideoReformatter, frame: VideoFrame, matrix: int, *, full: bool) -> Frame:
    # PyAV before 17 leaves all of this unused where nothing differs between source and destination; that of
    # RGB has no meaning.
    picture = scaler.reformat(
        frame,
        format="bgr24",
        src_colorspace=matrix,
        dst_colorspace=BT709 if matrix == BT601 else BT601,
        src_color_range=FULL_RANGE if full else VIDEO_RANGE,
        dst_color_range=FULL_RANGE,
    ).to_ndarray()
    return np.asarray(picture, np.uint8)


def planes(samples: npt.NDArray[Any], height: int) -> npt.NDArray[Any]:
    """Return NV12 or P010 as the three planes of yuv420p, or of yuv420p10, one below the other.

    Args:
        samples: (3 h / 2, w) uint8 or uint16.
        height: Lines of the picture.
    """
    pairs = samples[height:].reshape(-1, 2)
    flat = np.concatenate([samples[:height].reshape(-1), pairs[:, 0], pairs[:, 1]])
    return (flat >> 6 if flat.dtype == np.uint16 else flat).reshape(samples.shape)


def has_full_range(frame: VideoFrame) -> bool:
    """Return whether a frame says that its samples have full range; FFmpeg has old formats of their own."""
    return int(frame.color_range) == FULL_RANGE or frame.format.name.startswith("yuvj")


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
    import cv2  # here: doctor tells of NVDEC where OpenCV lacks a library of the system

    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        left, up = a < 0, d < 0
    else:
        image, left, up = np.asarray(cv2.transpose(image), np.uint8), c < 0, b < 0
    if not (left or up):
        return image
    return np.asarray(cv2.flip(image, -1 if left and up else 1 if left else 0), np.uint8)
