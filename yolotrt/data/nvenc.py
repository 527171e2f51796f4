"""NVIDIA's video encoder (NVENC), through FFmpeg: whether it encodes here."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

NAME = "h264_nvenc"
OPTIONS = {"preset": "p4", "rc": "vbr", "cq": "23", "bf": "0"}

DRIVER = Path("/proc/driver/nvidia/version")
"""There only where NVIDIA's driver is loaded: elsewhere nothing need be tried."""


@cache
def encodes(wh: tuple[int, int]) -> bool:
    """Whether a picture of this size comes out of the encoder; data-centre GPUs mostly have none.

    Args:
        wh: Width and height, px; both even.
    """
    import av

    if not DRIVER.exists():
        return False
    try:
        encoder = av.CodecContext.create(NAME, "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height = wh
        encoder.pix_fmt, encoder.time_base, encoder.options = "yuv420p", Fraction(1, 25), OPTIONS
        grey = av.VideoFrame.from_ndarray(np.full((wh[1] * 3 // 2, wh[0]), 128, np.uint8), format="yuv420p")
        return bool([*encoder.encode(grey), *encoder.encode(None)])
    except (av.FFmpegError, ValueError, OSError):  # no such encoder, no such GPU, or not of this size
        return False
