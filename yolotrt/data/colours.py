"""What the samples of a video mean: brightness and colour differences to red, green and blue.

A video stores brightness and colour differences, those for 2 x 2 pixels at a time. Which matrix turns them
into red, green and blue, which range they have, and where the colour samples lie between the pixels are tags
of the stream; without tags the size decides, as with players (ITU-R BT.709 from 720 lines on, BT.601 below).
Transfer curves stay: a video in HDR is not tone-mapped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F32

HD_LINES = 720
"""Frames of so many lines are BT.709 if nothing says otherwise."""

BT709, FCC, BT601, SMPTE240M, BT2020 = 1, 4, 5, 7, 9
"""Numbers of the matrices in FFmpeg's ``sws_getCoefficients``."""
VIDEO_RANGE, FULL_RANGE = 1, 2

_BY_TAG = {1: BT709, 4: FCC, 5: BT601, 6: BT601, 7: SMPTE240M, 9: BT2020, 10: BT2020}
"""The matrix by a stream's tag (ITU-T H.273, table 4)."""

_SHARES = {
    BT709: (0.2126, 0.0722), FCC: (0.30, 0.11), BT601: (0.299, 0.114), SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}  # fmt: skip
"""Parts of red and blue in the brightness (ITU-T H.273, table 4)."""

LEFT, CENTRE, TOP_LEFT = (0, 1), (1, 1), (0, 0)
"""Where the colour sample of 2 x 2 pixels lies: half pixels right of and below the upper left one."""

_BLACK, _SPAN, _COLOUR_SPAN = 16, 219, 224
"""Video range in 8 bits (ITU-R BT.709, 4.6)."""


def matrix_of(tag: int, height: int) -> int:
    """Return the matrix of a stream by its tag, or else by its lines."""
    return _BY_TAG.get(tag) or (BT709 if height >= HD_LINES else BT601)


@dataclass(frozen=True)
class Colours:
    """How samples become colours.

    Attributes:
        matrix: Which matrix, such as :data:`BT709`.
        full: Full range; video range otherwise.
        bits: Of a sample. More than 8 lie in the upper bits of 16.
        site: Where colour samples lie, such as :data:`LEFT`: that of H.264 and HEVC where they say nothing.
            JPEG and MPEG-1 have :data:`CENTRE`, Ultra HD by BT.2020 :data:`TOP_LEFT`.
    """

    matrix: int
    full: bool
    bits: int = 8
    site: tuple[int, int] = LEFT

    @classmethod
    def tagged(
        cls, tag: int, height: int, *, full: bool, bits: int = 8, site: tuple[int, int] | None = None
    ) -> Colours:
        """Return the colours of a frame by the tags of its stream.

        Args:
            tag: Of the matrix, as in ITU-T H.273; what is unknown is decided by the size.
            height: Of the frame, px.
            full: The stream says that it has full range.
            bits: Of a sample.
            site: Where colour samples lie; None where the stream does not say.
        """
        matrix = matrix_of(tag, height)
        return cls(matrix, full, bits, site or (TOP_LEFT if matrix == BT2020 else LEFT))

    def table(self) -> F32:
        """Return what kernels multiply with: (8,) float32, for samples as 16-bit numbers.

        Samples of 8 bits lie in the upper byte. ``red = y * t[0] + v * t[1] + t[5]``,
        ``green = y * t[0] + u * t[2] + v * t[3] + t[6]``, ``blue = y * t[0] + u * t[4] + t[7]``, each then
        rounded and limited to 0 to 255.
        """
        red, blue = _SHARES[self.matrix]
        green = 1 - red - blue
        # Levels of more bits end at 255.75 and the like, in units of those of 8.
        most = 255 if self.bits == 8 else 256 - 2 ** (8 - self.bits)
        scale = 255 / most if self.full else 255 / _SPAN
        colour = 255 / most if self.full else 255 / _COLOUR_SPAN
        black = 0 if self.full else _BLACK
        to_red, to_blue = 2 * (1 - red) * colour, 2 * (1 - blue) * colour
        u_to_green, v_to_green = -to_blue * blue / green, -to_red * red / green
        zero = -black * scale
        factors = [scale, to_red, u_to_green, v_to_green, to_blue]
        offsets = [zero - 128 * to_red, zero - 128 * (u_to_green + v_to_green), zero - 128 * to_blue]
        return np.array([f / 256 for f in factors] + offsets, np.float32)
