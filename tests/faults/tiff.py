"""TIFF files of any kind of samples, written by hand: no library in the tests writes them all."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_LETTERS = {3: "H", 4: "I", 16: "Q"}


def tiff(
    pixels: npt.NDArray[Any],
    fields: Mapping[int, tuple[int, ...]] | None = None,
    *,
    order: str = "<",
    big: bool = False,
    packed: int | None = None,
    pictures: int = 1,
) -> bytes:
    """Return an uncompressed TIFF.

    Args:
        pixels: (h, w), (h, w, channels), or (channels, h, w) with PlanarConfiguration 2; RGB.
        fields: Further fields by tag, or others than the usual: 16-bit numbers.
        order: Byte order, "<" or ">".
        big: Write a BigTIFF.
        packed: Write whole numbers of so many bits, one behind another; 12 only.
        pictures: Number of directories; all show the same.
    """
    planar = bool(fields) and fields.get(284) == (2,)  # type: ignore[union-attr]
    shape = pixels.shape if not planar else (*pixels.shape[1:], pixels.shape[0])
    height, width, *rest = shape
    samples = rest[0] if rest else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes() if packed is None else _pack(pixels)
    plane = len(data) // samples if planar else len(data)
    head = 16 if big else 8
    offsets = tuple(head + plane * i for i in range(samples if planar else 1))
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    longs: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 273: offsets, 278: (height,), 279: (plane,) * len(offsets),
    }  # fmt: skip
    shorts: dict[int, tuple[int, ...]] = {
        258: (packed or pixels.dtype.itemsize * 8,) * samples, 259: (1,), 262: (2 if samples > 2 else 1,),
        277: (samples,), 339: (kind,) * samples, **(fields or {}),
    }  # fmt: skip
    entries = {tag: (16 if big and tag in (273, 279) else 4, values) for tag, values in longs.items()}
    entries |= {tag: (3, values) for tag, values in shorts.items()}
    data += b"\0" * (-len(data) % 8)
    body, first = data, head + len(data)
    for number in range(pictures):
        body += _directory(entries, head + len(body), order, big, last=number == pictures - 1)
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHHQ", 43, 8, 0, first) if big else struct.pack(order + "HI", 42, first)
    return mark + start + body


def _directory(
    entries: Mapping[int, tuple[int, tuple[int, ...]]], at: int, order: str, big: bool, *, last: bool
) -> bytes:
    slot, step = (8, 20) if big else (4, 12)
    size = (8 if big else 2) + step * len(entries) + slot
    rows, outside = b"", b""
    for tag, (kind, values) in sorted(entries.items()):
        raw = struct.pack(order + _LETTERS[kind] * len(values), *values)
        rows += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values))
        if len(raw) > slot:
            rows += struct.pack(order + ("Q" if big else "I"), at + size + len(outside))
            outside += raw + b"\0" * (-len(raw) % 8)
        else:
            rows += raw.ljust(slot, b"\0")
    following = 0 if last else at + size + len(outside)
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    return count + rows + struct.pack(order + ("Q" if big else "I"), following) + outside


def _pack(pixels: npt.NDArray[Any]) -> bytes:
    """Write numbers of 12 bits, two in three bytes; rows hold an even number of them."""
    first, second = pixels.reshape(-1, 2).astype(np.uint16).T
    triples = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return triples.astype(np.uint8).tobytes()
