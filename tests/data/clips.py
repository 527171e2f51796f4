"""Small videos made for tests, with PyAV alone: every frame shows its number as a shade of gray."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WH = (64, 48)
STEP = 8
"""Levels between the shades of two frames."""


def shade(index: int) -> npt.NDArray[np.uint8]:
    """Return the picture of a frame: gray, with a white corner at the upper left."""
    image = np.full((WH[1], WH[0], 3), 20 + STEP * (index % 24), np.uint8)
    image[: WH[1] // 4, : WH[0] // 4] = 255
    return image


def number(image: npt.NDArray[np.uint8]) -> int:
    """Return which of the first 24 frames a picture is."""
    height, width = image.shape[:2]
    return round((float(image[height // 2, width // 2].mean()) - 20) / STEP)


def clip(
    path: Path,
    count: int = 10,
    *,
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    container: str | None = None,
    rate: int = 25,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    images: Sequence[npt.NDArray[np.uint8]] | None = None,
) -> Path:
    """Write a video; ``container`` is FFmpeg's name of a format where the file's ending does not say it."""
    with av.open(str(path), "w", format=container, options=muxing or {}) as sink:
        stream = sink.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, av.VideoStream)
        first = shade(0) if images is None else images[0]
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], pixels
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            image = shade(index) if images is None else images[index]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


def sound(path: Path) -> Path:
    """Write a file with nothing but half a second of silence."""
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("aac", rate=16_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


def turn(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Give an MP4 file a display matrix, as a phone does that is held upright (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", data, at, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
