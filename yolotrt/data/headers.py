"""Image sizes read from file headers, before anything is decoded.

A few bytes can announce an image of billions of pixels. The announced size and the end marker are
checked here so that such files, and truncated ones, never reach the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice

from yolotrt.data.foreign import CONVERT, DEVELOP, READ, name_of
from yolotrt.data.jpeg import EOI, FRAMES, MAGIC, SOS, segments
from yolotrt.data.tiff import Tiff

REPLACE = "Replace or remove the file."


class HeaderError(ValueError):
    """The bytes are not a complete image that can be read; the text says why.

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, reason: str, hint: str = REPLACE) -> None:
        super().__init__(reason)
        self.hint = hint


def image_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that an image file announces.

    Args:
        data: The whole file: JPEG, PNG, BMP, TIFF, WebP or GIF, recognised by content.

    Raises:
        HeaderError: Empty, of an unknown format, or truncated.
    """
    if not data:
        raise HeaderError("the file is empty")
    for magic, reader in _READERS:
        if data.startswith(magic):
            try:
                width, height = reader(data)
            except (struct.error, IndexError, OverflowError) as exc:
                raise HeaderError("the file is truncated") from exc
            if width < 1 or height < 1:
                raise HeaderError(f"its header announces {width}x{height} px")
            return width, height
    found = name_of(data)
    if found is not None:
        raise HeaderError(f"it is {found[0]}, not a {READ} image", found[1])
    raise HeaderError(f"it is not a {READ} image")


def is_png(data: bytes) -> bool:
    """Return whether a file is a PNG."""
    return data.startswith(_PNG)


def is_tiff(data: bytes) -> bool:
    """Return whether a file is a TIFF."""
    return data.startswith(_TIFFS)


def is_webp(data: bytes) -> bool:
    """Return whether a file is a WebP."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def holds_several(data: bytes) -> bool:
    """Return whether a file that :func:`image_size` accepts holds more pictures than its first.

    A JPEG's further pictures are previews and depth maps, so they do not count.
    """
    try:
        if is_png(data):
            return any(kind == b"acTL" for kind, _ in png_chunks(data))
        if is_webp(data):
            return data[12:16] == b"VP8X" and bool(data[20] & 2)
        if is_tiff(data):
            return Tiff.of(data).several
        return data.startswith(_GIFS) and len(list(islice(_gif_frames(data), 2))) > 1
    except (struct.error, IndexError, OverflowError):  # what comes behind the first picture is damaged
        return False


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments: the frame header has the size, EOI ends the image.

    What stands between segments is passed over, as every decoder does.
    """
    size = (0, 0)
    for segment in segments(data):
        if segment.marker in FRAMES:
            precision, height, width = struct.unpack_from(">BHH", data, segment.begin + 2)
            if precision != 8:
                raise HeaderError(f"it is a JPEG of {precision} bits a sample, not of 8", CONVERT)
            size = (width, height)
        # Within coded data 0xFF is always followed by 0x00 or a restart marker, so this finds only EOI.
        if segment.marker == EOI or (segment.marker == SOS and data.find(b"\xff\xd9", segment.begin) >= 0):
            return size
        if segment.marker == SOS:
            break
    raise HeaderError("the file is truncated")


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        at += 12 + length
        if at - 4 > len(data):  # OpenCV would make room for any length that a chunk announces
            raise HeaderError("the file is truncated")
    return width, height


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the contents of a PNG's chunks before its pixels (PNG, section 5.3)."""
    at = len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind == b"IDAT":
            return
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the contents of a WebP's chunks (WebP container specification)."""
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


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
    """Read the first directory; see :class:`yolotrt.data.tiff.Tiff`."""
    tiff = Tiff.of(data)
    if tiff.is_raw:
        raise HeaderError("it is a camera's RAW picture (a TIFF whose first picture is a preview)", DEVELOP)
    width, height = tiff.size_wh
    if width and height and not tiff.complete:
        raise HeaderError("the file is truncated")
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    """Read the size of the canvas; the first frame must lie on it, and be there as a whole."""
    width, height = struct.unpack_from("<HH", data, 6)
    frame = next(_gif_frames(data), None)
    if frame is None:
        raise HeaderError("the file is truncated")
    left, top, right, bottom = frame
    if left >= right or top >= bottom or right > width or bottom > height:
        raise HeaderError("its first frame does not lie on its canvas")
    return width, height


def _gif_frames(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the place, xyxy px, of each whole frame (GIF89a, section 12 and appendix A).

    Raises:
        IndexError, struct.error: The file ends within a frame.
    """
    at = 13 + _gif_colours(data[10])
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x2C:
            left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
            at = _gif_blocks(data, at + 11 + _gif_colours(flags))
            yield left, top, left + width, top + height
        elif data[at] == 0x21:
            at = _gif_blocks(data, at + 2)
        else:  # whatever it is, no decoder looks behind it
            return


def _gif_colours(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks(data: bytes, at: int) -> int:
    """Return where a row of sub-blocks ends."""
    while data[at]:
        at += data[at] + 1
    return at + 1


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


_PNG = b"\x89PNG\r\n\x1a\n"
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GIFS = (b"GIF87a", b"GIF89a")
_READERS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int]]], ...] = (
    (MAGIC, _jpeg),
    (_PNG, _png),
    (b"BM", _bmp),
    *((magic, _tiff) for magic in _TIFFS),
    *((magic, _gif) for magic in _GIFS),
    (b"RIFF", _webp),
)
