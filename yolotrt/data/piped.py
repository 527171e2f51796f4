"""Raw frames on stdin: what another program decodes, one frame after another without anything between."""

from __future__ import annotations

import os
import re
import select
import sys
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.data.pixels import Converter
from yolotrt.data.video_file import Moment
from yolotrt.errors import InputError, UsageError

PIXEL_FORMATS: dict[str, tuple[int, int]] = {
    "bgr24": (3, 1), "rgb24": (3, 1), "gray": (1, 1), "nv12": (3, 2), "yuv420p": (3, 2),
}  # fmt: skip
"""FFmpeg's names, with the bytes per pixel as a fraction."""

LARGEST_PX = 2**28
"""As of pictures: 16384x16384."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class RawFormat:
    """What the bytes are.

    Attributes:
        wh: Width and height, px.
        pixels: One of :data:`PIXEL_FORMATS`. ``nv12`` and ``yuv420p`` have video range, and the matrix that
            their size says (BT.709 from 720 lines on).
    """

    wh: tuple[int, int]
    pixels: str = "bgr24"

    @classmethod
    def parse(cls, size: str, pixels: str) -> RawFormat:
        """Parse ``1920x1080`` and a name of :data:`PIXEL_FORMATS`.

        Raises:
            UsageError: It is no size, the name is unknown, or the size does not go with it.
        """
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size.strip().lower())
        if found is None or int(found[1]) * int(found[2]) > LARGEST_PX:
            raise UsageError(f"--size {size!r} is no size of frames.", hint="Like this: --size 1920x1080")
        if pixels not in PIXEL_FORMATS:
            raise UsageError(
                f"--pixel-format {pixels!r} is not known.", hint=f"Choose from: {', '.join(PIXEL_FORMATS)}."
            )
        wh = int(found[1]), int(found[2])
        if PIXEL_FORMATS[pixels][1] == 2 and (wh[0] % 2 or wh[1] % 2):
            raise UsageError(
                f"--size {size}: frames of {pixels} have even sides.", hint="Choose bgr24 for others."
            )
        return cls(wh, pixels)

    @classmethod
    def asked(cls, size: str | None, pixels: str | None) -> RawFormat | None:
        """Return what options say; None if they were left out.

        Raises:
            UsageError: See :meth:`parse`; or pixels without a size.
        """
        if size is None and pixels is not None:
            raise UsageError("--pixel-format wants --size, too.", hint="Like this: --size 1920x1080")
        return None if size is None else cls.parse(size, pixels or "bgr24")

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        above, below = PIXEL_FORMATS[self.pixels]
        return self.wh[0] * self.wh[1] * above // below


class PipedSource:
    """Raw frames from a file descriptor; see :class:`yolotrt.data.video.MovingSource`.

    Args:
        raw: What the bytes are.
        timeout_s: How long it may give nothing before it counts as ended.
        descriptor: Where they come from; None for stdin.
    """

    live = False
    name = "stdin"
    fps: float | None = None
    moment: Moment | None = None

    def __init__(self, raw: RawFormat, *, timeout_s: float, descriptor: int | None = None) -> None:
        self._raw, self._timeout_s, self._descriptor = raw, timeout_s, descriptor
        self._convert = Converter()
        self._remarks: tuple[str, ...] = ()

    def open(self) -> None:
        """Refuse a terminal; see :class:`yolotrt.data.video.MovingSource`."""
        if self._descriptor is None:
            self._descriptor = sys.stdin.fileno()
        if os.isatty(self._descriptor):
            raise InputError(
                "Nothing is piped into stdin.",
                hint="Like this: ffmpeg -i street.mp4 -f rawvideo -pix_fmt bgr24 - | yolotrt run -",
            )

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end or when nothing comes any more."""
        assert self._descriptor is not None, "opened"
        wanted = self._raw.frame_bytes
        data = bytearray()
        while len(data) < wanted:
            if not select.select([self._descriptor], [], [], self._timeout_s)[0]:
                self._remarks = (f"stdin gave nothing for {self._timeout_s:g} s: that was taken as its end.",)
                return None
            part = os.read(self._descriptor, min(_CHUNK, wanted - len(data)))
            if not part:
                if data:
                    self._remarks = (
                        f"stdin ends within a frame: {len(data)} of {wanted} bytes; --size and "
                        "--pixel-format may be others.",
                    )
                return None
            data += part
        return self._picture(data)

    def close(self) -> None:
        """Nothing: stdin is not ours to close."""

    def remarks(self) -> tuple[str, ...]:
        """Return how it ended, if that is doubtful."""
        return self._remarks

    def _picture(self, data: bytearray) -> Frame:
        width, height = self._raw.wh
        flat = np.frombuffer(data, np.uint8)
        if self._raw.pixels == "bgr24":
            return flat.reshape(height, width, 3)
        if self._raw.pixels == "rgb24":
            return np.ascontiguousarray(flat.reshape(height, width, 3)[:, :, ::-1])
        if self._raw.pixels == "gray":
            return np.repeat(flat.reshape(height, width, 1), 3, axis=2)
        import av

        rows = flat.reshape(height * 3 // 2, width)
        return self._convert(av.VideoFrame.from_ndarray(rows, format=self._raw.pixels))
