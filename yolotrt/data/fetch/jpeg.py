"""Is this the complete JPEG image that was asked for?

OpenCV decodes damaged JPEG data without an error (the decoder only prints a warning), so the structure
is walked first, marker by marker. A changed byte inside the entropy-coded data can
still look like an image: only a checksum finds that, which is why the caller compares one where the
source has it.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from yolotrt.data.jpeg import BARE, EOI, FRAMES, MAGIC, segments


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
    if not data.startswith(MAGIC):
        return "it is not a JPEG image"
    problem = _structure_problem(data, size_wh)
    if problem is None and decode and not _decodes(data):
        problem = "it cannot be decoded"
    return problem


def _structure_problem(data: bytes, size_wh: tuple[int, int]) -> str | None:
    framed = False
    for segment in segments(data):
        if segment.stray:
            return "its structure is damaged"
        if segment.marker == EOI:
            if rest := len(data) - segment.end:
                return f"{rest} bytes follow its end marker"
            return None if framed else "it has no picture"
        if segment.marker in BARE or len(segment) < 2 or segment.end > len(data):
            return "its structure is damaged"
        if segment.marker in FRAMES:
            if len(segment) < 8:
                return "its structure is damaged"
            height, width = struct.unpack_from(">HH", data, segment.begin + 3)
            framed = True
            if (width, height) != size_wh:
                return f"it is {width}x{height} px instead of {size_wh[0]}x{size_wh[1]}"
    return "it is truncated (no end marker)"


def _decodes(data: bytes) -> bool:
    try:
        # An eighth of the size in grey still reads every coefficient; only the arithmetic behind is skipped.
        flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) is not None
    except cv2.error:
        return False
