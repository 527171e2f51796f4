"""What a TIFF file says about its first picture (TIFF 6.0, and BigTIFF of libtiff)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np

SampleType = Literal["uint", "int", "float"]

_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Types of a field's values that hold whole numbers."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 254, 256, 257, 258, 262, 274
_SAMPLES, _MAXIMUM, _PLANAR, _EXTRA, _FORMAT = 277, 281, 284, 338, 339
_PLACES = ((273, 279), (324, 325))
"""Offsets and byte counts of strips, and of tiles."""

_PROFILE = 34675
_DNG_VERSION = 50706
_NO_PICTURE = 1 | 4
"""Bits of NewSubfileType: a smaller copy, and a mask."""

_MOST_PICTURES = 100
"""Directories that are looked at: their chain may be a circle."""

_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples that a photometric interpretation needs: white is 0, black is 0, RGB, palette, CMYK, YCbCr, Lab."""

WHITE_IS_ZERO, CMYK = 0, 5
_RAW = (32803, 34892)
"""Colour filter array and linear raw (DNG specification)."""

STRAIGHT = 2
"""Meaning of an extra sample: alpha by which the colours are not multiplied."""


@dataclass(frozen=True)
class Tiff:
    """The fields of a TIFF file's first directory.

    Attributes:
        data: The file.
        order: Its byte order, as :mod:`struct` and NumPy write it.
        big: It is a BigTIFF, whose offsets have 64 bits.
    """

    data: bytes
    order: Literal["<", ">"]
    big: bool

    @classmethod
    def of(cls, data: bytes) -> Tiff:
        """Return the file's fields; anything missing is found out when it is asked for.

        Raises:
            struct.error, IndexError: The file is truncated.
        """
        order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
        (version,) = struct.unpack_from(order + "H", data, 2)
        return cls(data, order, version == 43)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height, px."""
        return self._one(_WIDTH, 0), self._one(_HEIGHT, 0)

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return self._one(_BITS, 1)

    @property
    def kind(self) -> SampleType | None:
        """What a sample is; None if it is no number of ours."""
        kinds: dict[int, SampleType] = {1: "uint", 2: "int", 3: "float", 4: "uint"}
        return kinds.get(self._one(_FORMAT, 1))

    @property
    def photometric(self) -> int:
        """How samples become colours."""
        return self._one(_PHOTOMETRIC, 1)

    @property
    def samples(self) -> int:
        """Samples of a pixel."""
        return self._one(_SAMPLES, 1)

    @property
    def extra(self) -> int:
        """Samples of a pixel that are no colours; negative where colours are missing."""
        return self.samples - _COLOURS.get(self.photometric, self.samples)

    @property
    def alpha(self) -> int | None:
        """What the first extra sample means; None if that is not said."""
        return self._one(_EXTRA, -1) if self.extra > 0 and _EXTRA in self._entries else None

    @property
    def alpha_at(self) -> int:
        """Where the meaning of the first extra sample is written, bytes."""
        return self._place(_EXTRA)

    @property
    def orientation(self) -> int:
        """How the picture has to be turned, as EXIF counts it; 1 is upright."""
        return self._one(_ORIENTATION, 1)

    @property
    def profile(self) -> bool:
        """Whether it has a colour profile (ICC.1, annex B.4)."""
        return _PROFILE in self._entries

    @property
    def planar(self) -> bool:
        """Whether each sample has a picture of its own."""
        return self._one(_PLANAR, 1) == 2 and self.samples > 1

    @property
    def depth(self) -> int | None:
        """Bits that are used of 9 to 15 where samples have 16, as MaxSampleValue says; None otherwise.

        Only a full scale is believed: TIFF 6.0 means the largest value that happens to be used.
        """
        largest = self._one(_MAXIMUM, 0)
        bits = largest.bit_length()
        return bits if self.bits == 16 and 8 < bits < 16 and largest == (1 << bits) - 1 else None

    @property
    def is_raw(self) -> bool:
        """Whether it is a camera's RAW file: what it shows first is a preview, or no colours at all."""
        reduced = bool(self._one(_SUBFILE, 0) & 1)
        return (
            self.data[8:10] == b"CR" or _DNG_VERSION in self._entries or reduced or self.photometric in _RAW
        )

    @property
    def complete(self) -> bool:
        """Whether the pixels that the first directory points to are in the file."""
        for offsets, counts in _PLACES:
            if offsets in self._entries and counts in self._entries:
                ends = self._values(offsets).astype(np.float64) + self._values(counts)
                return bool(len(ends)) and bool(ends.max() <= len(self.data))
        return _PLACES[0][0] in self._entries

    @property
    def several(self) -> bool:
        """Whether another directory holds a picture in full size."""
        others = list(islice(self._directories(), 1, _MOST_PICTURES))
        return any(not self._subfile(at) & _NO_PICTURE for at in others)

    @cached_property
    def _entries(self) -> dict[int, int]:
        """Where the field of each tag begins in the first directory."""
        first = next(self._directories(), None)
        if first is None:
            raise IndexError("there is no directory")
        return self._directory(first)

    def _directories(self) -> Iterator[int]:
        """Yield where each directory begins."""
        pointer = 8 if self.big else 4
        seen: set[int] = set()
        while True:
            (at,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), self.data, pointer)
            if not at or at in seen:
                return
            seen.add(at)
            yield at
            pointer = at + (8 if self.big else 2) + self._count(at) * (20 if self.big else 12)

    def _count(self, directory: int) -> int:
        (count,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), self.data, directory)
        return int(count)

    def _directory(self, at: int) -> dict[int, int]:
        first, step = at + (8 if self.big else 2), 20 if self.big else 12
        entries: dict[int, int] = {}
        for begin in range(first, first + self._count(at) * step, step):
            (tag,) = struct.unpack_from(self.order + "H", self.data, begin)
            entries.setdefault(tag, begin)
        return entries

    def _subfile(self, directory: int) -> int:
        at = self._directory(directory).get(_SUBFILE)
        return 0 if at is None else int(self._read(at)[0])

    def _one(self, tag: int, default: int) -> int:
        return int(self._values(tag)[0]) if tag in self._entries else default

    def _place(self, tag: int) -> int:
        """Return where a field's values begin: in the field itself if they fit."""
        begin = self._entries[tag]
        kind, count = self._shape(begin)
        width = np.dtype(_TYPES[kind]).itemsize
        room, start = (8, begin + 12) if self.big else (4, begin + 8)
        if width * count <= room:
            return start
        (at,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), self.data, start)
        return int(at)

    def _shape(self, begin: int) -> tuple[int, int]:
        kind, count = struct.unpack_from(self.order + ("HQ" if self.big else "HI"), self.data, begin + 2)
        if kind not in _TYPES:
            raise struct.error(f"a field of type {kind} where a number is expected")
        return kind, count

    def _values(self, tag: int) -> np.ndarray[tuple[int], np.dtype[np.integer]]:
        return self._read(self._entries[tag], self._place(tag))

    def _read(self, begin: int, at: int | None = None) -> np.ndarray[tuple[int], np.dtype[np.integer]]:
        kind, count = self._shape(begin)
        at = begin + (12 if self.big else 8) if at is None else at
        dtype = np.dtype(_TYPES[kind]).newbyteorder(self.order)
        if not count or at + count * dtype.itemsize > len(self.data):
            raise IndexError("a field's values lie beyond the end")
        return np.frombuffer(self.data, dtype, count, at)
