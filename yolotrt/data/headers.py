"""Image sizes read from file headers, before anything is decoded.

A few bytes can announce an image of billions of pixels. The announced size and the end marker are
checked here so that such files, and truncated ones, never reach the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable


class HeaderError(ValueError):
    """The bytes are not a complete image of a known format; the text says why."""


def image_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that an image file announces.

    Args:
        data: The whole file: JPEG, PNG, BMP, TIFF or WebP, recognised by content.

    Raises:
        HeaderError: Empty, of an unknown format, or truncated.
    """
    if not data:
        raise HeaderError("the file is empty")
    for magic, reader in _READERS:
        if data.startswith(magic):
            try:
                width, height = reader(data)
            except (struct.error, IndexError) as exc:
                raise HeaderError("the file is truncated") from exc
            if width < 1 or height < 1:
                raise HeaderError(f"its header announces {width}x{height} px")
            return width, height
    raise HeaderError("it is not a JPEG, PNG, BMP, TIFF or WebP image")


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments (ITU T.81, annex B): the frame header has the size, EOI ends the image."""
    position, size = 2, (0, 0)
    while True:
        while data[position] != 0xFF:  # padding between segments is tolerated by every decoder
            position += 1
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = (width, height)
        if marker in (0xDA, 0xD9):
            break
        position += length
    # Within coded data 0xFF is always followed by 0x00 or a restart marker, so this finds only EOI.
    if data.find(b"\xff\xd9", position - 2) < 0:
        raise HeaderError("the file is truncated")
    return size


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    if data.find(b"IEND", 33) < 0:
        raise HeaderError("the file is truncated")
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    offset, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    if len(data) <= offset:
        raise HeaderError("the file is truncated")
    return abs(width), abs(height)


def _tiff(data: bytes) -> tuple[int, int]:
    """Read tags 256 and 257 of the first directory (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    sizes = {256: 0, 257: 0}
    for i in range(entries):
        at = directory + 2 + 12 * i
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in sizes:
            (sizes[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    return sizes[256], sizes[257]


def _webp(data: bytes) -> tuple[int, int]:
    """Read the size from a VP8, VP8L or VP8X chunk (WebP container specification)."""
    if data[8:12] != b"WEBP":
        raise HeaderError("it is a RIFF file, but not a WebP image")
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < length + 8:
        raise HeaderError("the file is truncated")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
    return (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1


_READERS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int]]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    (b"II*\x00", _tiff),
    (b"MM\x00*", _tiff),
    (b"RIFF", _webp),
)
