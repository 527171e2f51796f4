"""Frames as decoders give them, and what their colours are."""

from __future__ import annotations

import numpy as np

from tests.data.colours import to_bgr
from yolotrt.data.colours import BT601, BT709, BT2020, CENTRE, TOP_LEFT, Colours

COLOURS = (
    Colours(BT709, full=False),
    Colours(BT601, full=True, site=CENTRE),
    Colours(BT2020, full=False, bits=10, site=TOP_LEFT),
    Colours(BT709, full=True, bits=10),
)


def noise(wh: tuple[int, int], colours: Colours) -> np.ndarray:
    """Return (3 h / 2, w) random samples."""
    values = np.random.default_rng(sum(wh)).integers(0, 1 << colours.bits, (wh[1] * 3 // 2, wh[0]))
    return (values << 6).astype(np.uint16) if colours.bits > 8 else values.astype(np.uint8)


def soft(wh: tuple[int, int], colours: Colours) -> np.ndarray:
    """Return samples whose colours are all there are between black and white: kernels need not limit them."""
    small = np.random.default_rng(7).uniform(0.35, 0.6, (4, 5, 3))
    import cv2

    smooth = cv2.resize(small, wh, interpolation=cv2.INTER_LINEAR)
    luma = smooth[..., 0]
    pairs = smooth[::2, ::2, 1:].reshape(wh[1] // 2, wh[0])
    levels = np.concatenate([luma, pairs]) * ((1 << colours.bits) - 1)
    return (levels.astype(np.uint16) << 6) if colours.bits > 8 else levels.astype(np.uint8)


def bgr(samples: np.ndarray, colours: Colours) -> np.ndarray:
    """Return (h, w, 3) BGR of (3 h / 2, w) samples."""
    height, width = samples.shape[0] * 2 // 3, samples.shape[1]
    pairs = samples[height:].reshape(height // 2, width // 2, 2)
    return to_bgr(samples[:height], pairs, colours)
