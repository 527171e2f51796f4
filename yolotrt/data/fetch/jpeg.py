"""Is this the complete JPEG image that was asked for?

OpenCV decodes damaged JPEG data without an error (the decoder only prints a warning), so the structure
is walked first, marker by marker (ITU-T T.81, annex B). A changed byte inside the entropy-coded data can
still look like an image: only a checksum finds that, which is why the caller compares one where the
source has it.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
import numpy.typing as npt

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, _SOI})


def jpeg_problem(data: bytes, size_wh: tuple[int, int], *, decode: bool = True) -> str | None:
    """Say what is wrong with a JPEG file, or return None when it is whole.

    Checked are the structure from SOI to EOI with nothing after it, the width and height in the frame
    header against ``size_wh`` (before decoding, so a huge image is never allocated), and that OpenCV
    decodes the picture.

    Args:
        data: The file's bytes.
        size_wh: Expected width and height, px.
        decode: Whether to decode it; without, only the structure is checked, in a tenth of the time.
    """
    if data[:3] != b"\xff\xd8\xff":
        return "it is not a JPEG image"
    problem = _structure_problem(data, size_wh)
    if problem is None and decode and not _decodes(data):
        problem = "it cannot be decoded"
    return problem


def _structure_problem(data: bytes, size_wh: tuple[int, int]) -> str | None:
    markers = _markers(data)
    framed, in_scan, at = False, False, 2
    while True:
        index = int(np.searchsorted(markers, at))
        if index == len(markers):
            return "it is truncated (no end marker)"
        # Segments follow one another with nothing but fill bytes in between; only coded data is skipped.
        gap = data[at : int(markers[index])]
        if not in_scan and gap.strip(b"\xff"):
            return "its structure is damaged"
        at = int(markers[index]) + 2
        marker = data[at - 1]
        if marker == _EOI:
            break
        length = struct.unpack_from(">H", data, at)[0] if at + 2 <= len(data) else 0
        if marker in _STANDALONE or length < 2 or at + length > len(data):
            return "its structure is damaged"
        if marker in _FRAMES:
            if length < 8:
                return "its structure is damaged"
            height, width = struct.unpack_from(">HH", data, at + 3)
            framed = True
            if (width, height) != size_wh:
                return f"it is {width}x{height} px instead of {size_wh[0]}x{size_wh[1]}"
        in_scan = marker == _SOS
        at += length
    if at != len(data):
        return f"{len(data) - at} bytes follow its end marker"
    return None if framed else "it has no picture"


def _markers(data: bytes) -> npt.NDArray[np.int64]:
    """Return where 0xFF begins a marker: not a stuffed zero, a fill byte or a restart marker."""
    values = np.frombuffer(data, np.uint8)
    at: npt.NDArray[np.int64] = np.flatnonzero(values[:-1] == 0xFF)
    following = values[at + 1]
    real = (following != 0) & (following != 0xFF) & ((following < 0xD0) | (following > 0xD7))
    found: npt.NDArray[np.int64] = at[real]
    return found


def _decodes(data: bytes) -> bool:
    try:
        # An eighth of the size in grey still reads every coefficient; only the arithmetic behind is skipped.
        flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) is not None
    except cv2.error:
        return False
