"""Colours once more, exact and slow: what decoders and kernels must make of samples."""

from __future__ import annotations

import numpy as np

from yolotrt.data.colours import Colours


def to_bgr(luma: np.ndarray, chroma: np.ndarray, colours: Colours) -> np.ndarray:
    """Return a frame as BGR, as kernels on the GPU read it.

    Args:
        luma: (h, w) uint8; uint16 of more bits.
        chroma: (h / 2, w / 2, 2) of the same type, U first.
        colours: What they mean.
    """
    height, width = luma.shape
    by = np.float32(256 if colours.bits == 8 else 1)
    across, down = colours.site
    between = _between(_between(chroma.astype(np.float32) * by, height, down, 0), width, across, 1)
    y, u, v = luma.astype(np.float32) * by, between[..., 0], between[..., 1]
    t = colours.table()
    levels = [y * t[0] + u * t[4] + t[7], y * t[0] + u * t[2] + v * t[3] + t[6], y * t[0] + v * t[1] + t[5]]
    return np.stack([np.clip(np.rint(level), 0, 255) for level in levels], axis=-1).astype(np.uint8)


def _between(samples: np.ndarray, count: int, offset: int, axis: int) -> np.ndarray:
    """Interpolate colour samples for so many pixels along an axis."""
    quarters = 2 * np.arange(count) - offset
    first, share = quarters >> 2, ((quarters & 3) / 4).astype(np.float32)
    shape = [1] * samples.ndim
    shape[axis] = count
    share = share.reshape(shape)
    last = samples.shape[axis] - 1
    one, two = (np.take(samples, np.clip(first + k, 0, last), axis) for k in (0, 1))
    return np.asarray(one * (1 - share) + two * share, np.float32)
