"""Samples of other depths than 8 bits, turned into what the photographer saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import U8
from yolotrt.data.headers import HeaderError

SCALE = "Scale it to 8 bits a sample first, for example: magick IN -auto-level -depth 8 out.png"

_OVER = 0.05
"""Part of the scale by which floating-point samples may leave it: resampling swings over."""

DARK = 4
"""A picture none of whose samples reaches this part of the scale was probably recorded with fewer bits."""

_ROWS_AT_ONCE = 256
"""Rows of floating-point samples that are converted together, so that memory stays flat."""


def from_integers(
    image: npt.NDArray[Any], *, full: int | None = None, exponent: float = 1.0
) -> tuple[U8, str | None]:
    """Turn integer samples into 8 bits.

    Args:
        image: (h, w) or (h, w, channels) of any integer type.
        full: The sample that is white, where the file says so; None takes the type's largest.
        exponent: What samples are raised to, as parts of the scale, to be shown as sRGB.

    Returns:
        The picture in the same shape, and what was guessed or is in doubt, if anything.

    Raises:
        HeaderError: The samples are negative, or integers of an unknown scale.
    """
    low, high, bits = int(image.min()), int(image.max()), image.dtype.itemsize * 8
    if low < 0:
        raise HeaderError(f"its samples go down to {low}: they are measurements, no brightness", SCALE)
    note = None
    if full is None or high > full:
        full = int(np.iinfo(image.dtype).max)
        if bits > 8 and high <= 255:
            full = 255
            if high:
                note = f"its samples have {bits} bits, but none is above 255: they are read as 8-bit samples"
        elif bits > 16:
            raise HeaderError(f"its samples are integers of {bits} bits, up to {high:,}", SCALE)
        elif bits > 8 and high * DARK < full:
            used = high.bit_length()
            times = round(full / ((1 << used) - 1))
            note = (
                f"none of its samples is above {high} of {full}: if it was recorded with {used} bits, it is "
                f"read {times} times too dark. Scale it, or give a TIFF its MaxSampleValue"
            )
    levels = (np.arange(full + 1) / full) ** exponent
    return np.rint(levels * 255).astype(np.uint8)[image], note


def from_floats(image: npt.NDArray[np.floating[Any]]) -> tuple[U8, str | None]:
    """Turn floating-point samples from 0 to 1 into 8 bits; see :func:`from_integers`.

    Raises:
        HeaderError: Samples are NaN or infinite, negative, or beyond the scale.
    """
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN wins any minimum
        raise HeaderError("its floating-point samples hold NaN or infinity", SCALE)
    note, scale = None, 255.0
    if low >= 0 and 1 < high <= 255 and _whole(image):
        scale = 1.0
        note = "its floating-point samples are whole numbers up to 255: they are read as 8-bit samples"
    elif low < -_OVER or high > 1 + _OVER:
        raise HeaderError(
            f"its floating-point samples go from {low:.3g} to {high:.3g}; only 0 to 1 has a known brightness",
            SCALE,
        )
    result = np.empty(image.shape, np.uint8)
    for rows in _bands(image):
        result[rows] = np.rint(np.clip(image[rows] * scale, 0, 255))
    return result, note


def _whole(image: npt.NDArray[np.floating[Any]]) -> bool:
    return all(bool((image[rows] == np.rint(image[rows])).all()) for rows in _bands(image))


def _bands(image: npt.NDArray[Any]) -> list[slice]:
    return [slice(begin, begin + _ROWS_AT_ONCE) for begin in range(0, len(image), _ROWS_AT_ONCE)]
