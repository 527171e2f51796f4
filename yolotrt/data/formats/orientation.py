"""How a JPEG is to be turned before it is shown, from its EXIF block."""

from __future__ import annotations

import struct

from yolotrt.data.jpeg import APP1, MAGIC, segments

UPRIGHT = 1
_TAG = 0x0112
_START = b"Exif\0\0"
HEAD_BYTES = 1 << 16
"""Bytes from the start of a file that hold the tag: EXIF comes first and is at most one segment."""


def orientation(head: bytes) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 if there is none.

    Tag 0x0112 of the first directory (EXIF 2.32, section 4.6.4, in the layout of TIFF 6.0, section 2).

    Args:
        head: The start of a JPEG file, :data:`HEAD_BYTES` of it.
    """
    if not head.startswith(MAGIC):
        return UPRIGHT
    apps = (segment.begin + 2 for segment in segments(head) if segment.marker == APP1)
    at = next((at for at in apps if head.startswith(_START, at)), None)
    if at is None:
        return UPRIGHT
    base = at + len(_START)
    order = {b"II": "<", b"MM": ">"}.get(head[base : base + 2])
    if order is None:
        return UPRIGHT
    try:
        directory = base + struct.unpack_from(order + "I", head, base + 4)[0]
        (entries,) = struct.unpack_from(order + "H", head, directory)
        for k in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", head, directory + 2 + 12 * k)
            if tag == _TAG:
                return int(value) if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT
