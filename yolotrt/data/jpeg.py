"""JPEG: what we write, and the markers of any, one after the other (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from yolotrt.arrays import Frame

QUALITY = 95
"""Of the pictures that we make."""

MAGIC = b"\xff\xd8\xff"
"""How a JPEG begins."""

SOI, EOI, SOS, APP1 = 0xD8, 0xD9, 0xDA, 0xE1
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers: sample precision, height, width."""

BARE = frozenset({0x01, SOI, EOI})
"""Markers without a segment. Restart markers are, too, but belong to coded data."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""0xFF begins a marker where no stuffed zero, fill byte or restart marker follows."""


def encoded_jpeg(image: Frame) -> bytes:
    """Return a picture as a JPEG file."""
    import cv2  # only here: whoever looks at markers needs no OpenCV

    done, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    if not done:
        raise ValueError("OpenCV refused to encode a picture")
    return data.tobytes()


@dataclass(frozen=True)
class Segment:
    """A marker and what belongs to it.

    Attributes:
        marker: Its code.
        begin: Where its segment begins, with two bytes of length.
        end: Where the segment says that it ends, perhaps behind the data; ``begin`` if it has none.
        stray: Whether something stands before it that is neither fill bytes nor a scan's coded data.
    """

    marker: int
    begin: int
    end: int
    stray: bool

    def __len__(self) -> int:
        return self.end - self.begin


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments behind SOI up to EOI, or to where the data end; only coded data is skipped."""
    at, coded = 2, False
    while found := _MARKER.search(data, at):
        marker, begin = data[found.end() - 1], found.end()
        stray = not coded and bool(data[at : found.start()].strip(b"\xff"))
        at = begin if marker in BARE else begin + int.from_bytes(data[begin : begin + 2], "big")
        yield Segment(marker, begin, at, stray)
        if marker == EOI:
            return
        coded = marker == SOS
