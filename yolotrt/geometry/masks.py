"""Masks drawn from prototypes, only inside their boxes.

A mask is ``sum(coefficient * prototype) > 0``, drawn at the resolution of the target frame. The
convention is that of Ultralytics' ``process_mask_native``: the padding is cropped from the prototypes,
they are enlarged to the frame by bilinear interpolation between pixel centres, and the box is cut out.
Where the padding is no whole number of prototype pixels, the prototypes are first enlarged by 2 or 4.
Both enlargements are linear and separable, so here they become one small matrix per axis, and only the
rows and columns that a box covers are ever computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from yolotrt.arrays import F32, I64, Bits
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.letterbox import Letterbox

_ROWS, _COLUMNS = 64, 96
"""Frame px interpolated by one matrix product. Interpolation matrices are banded: short bands leave out
most of their zeros, and BLAS runs products this small on the calling thread, so that decoding does not
compete with the threads of an inference runtime."""


@dataclass(frozen=True)
class Interpolation:
    """Prototype pixels to frame pixels along one axis.

    Attributes:
        weights: (frame px, prototype px) float32, a few neighbouring non-zeros per row.
        first: (frame px,) the first prototype pixel with a weight.
        last: (frame px,) the last one.
    """

    weights: F32
    first: I64
    last: I64

    def window(self, begin: int, end: int) -> tuple[int, int]:
        """Return the prototype px [begin, end) that the frame px [begin, end) are made of."""
        return int(self.first[begin]), int(self.last[end - 1]) + 1


def assemble_masks(prototypes: F32, coefficients: F32, boxes: F32, placement: Letterbox) -> tuple[Mask, ...]:
    """Draw the masks of one network input in its target frame.

    Args:
        prototypes: (coefficients, height, width) float32.
        coefficients: (n, coefficients) float32.
        boxes: (n, 4) xyxy, px of the placement's image, inside it.
        placement: How the image lies in the network's input.

    Returns:
        n masks in the image's frame.

    Raises:
        FloatingPointError: A mask is made of NaN or infinity.
    """
    columns, rows = interpolations(placement, (prototypes.shape[2], prototypes.shape[1]))
    limits = np.array([*placement.image_wh, *placement.image_wh])
    # A pixel belongs to the box when its index lies in [begin, end).
    corners = np.clip(np.ceil(boxes).astype(np.int64), 0, limits).tolist()
    masks = []
    for (x0, y0, x1, y1), weights in zip(corners, coefficients, strict=True):
        if x0 >= x1 or y0 >= y1:
            masks.append(Mask(x0, y0, np.zeros((0, 0), np.bool_)))
            continue
        top, bottom = rows.window(y0, y1)
        left, right = columns.window(x0, x1)
        # einsum reads the window where it lies; a matrix product would have to copy it first.
        logits = np.einsum("c,cyx->yx", weights, prototypes[:, top:bottom, left:right])
        if not math.isfinite(logits.sum()):
            raise FloatingPointError("the prototypes or coefficients of a mask are not finite")
        masks.append(Mask(x0, y0, _enlarge(logits, (left, top), columns, rows, (x0, y0, x1, y1))))
    return tuple(masks)


def _enlarge(
    logits: F32,
    offset_xy: tuple[int, int],
    columns: Interpolation,
    rows: Interpolation,
    box: tuple[int, int, int, int],
) -> Bits:
    """Interpolate a window of logits, which begins at prototype px ``offset_xy``, to the box; return > 0."""
    x0, y0, x1, y1 = box
    bits = np.empty((y1 - y0, x1 - x0), np.bool_)
    for top in range(y0, y1, _ROWS):
        bottom = min(top + _ROWS, y1)
        low, high = rows.window(top, bottom)
        tall = rows.weights[top:bottom, low:high] @ logits[low - offset_xy[1] : high - offset_xy[1]]
        for left in range(x0, x1, _COLUMNS):
            right = min(left + _COLUMNS, x1)
            low, high = columns.window(left, right)
            values = (
                tall[:, low - offset_xy[0] : high - offset_xy[0]] @ columns.weights[left:right, low:high].T
            )
            np.greater(values, 0, out=bits[top - y0 : bottom - y0, left - x0 : right - x0])
    return bits


def interpolations(placement: Letterbox, proto_wh: tuple[int, int]) -> tuple[Interpolation, Interpolation]:
    """Return the interpolation from prototypes to the image along x and along y.

    Args:
        placement: How the image lies in the network's input.
        proto_wh: Width and height of the prototypes; whole fractions of the input's.
    """
    strides = [model // proto for model, proto in zip(placement.model_wh, proto_wh, strict=True)]
    # One enlargement for both axes, the least that makes all edges of the content whole pixels.
    edges = zip(strides, placement.pad_xy, placement.resized_wh, strict=True)
    factor = max(stride // math.gcd(stride, pad, content) for stride, pad, content in edges)
    x, y = (
        _interpolation(
            placement.image_wh[a],
            proto_wh[a],
            factor,
            placement.pad_xy[a] * factor // strides[a],
            placement.resized_wh[a] * factor // strides[a],
        )
        for a in (0, 1)
    )
    return x, y


@lru_cache(maxsize=64)
def _interpolation(image: int, proto: int, factor: int, pad: int, content: int) -> Interpolation:
    """Compose enlarging ``proto`` px by ``factor``, cropping ``content`` px after ``pad``, and resizing."""
    weights = np.zeros((image, proto), np.float32)
    pixels = np.arange(image)
    for fine, fine_weight in _taps(image, content):
        for coarse, coarse_weight in _taps(proto * factor, proto):
            chosen = fine + pad
            weights[pixels, coarse[chosen]] += fine_weight * coarse_weight[chosen]
    used = weights > 0
    return Interpolation(weights, used.argmax(axis=1), proto - 1 - used[:, ::-1].argmax(axis=1))


def _taps(target: int, source: int) -> tuple[tuple[I64, F32], tuple[I64, F32]]:
    """Return both neighbours, and their weights, of bilinear resizing between pixel centres."""
    position = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    left = np.minimum(position.astype(np.int64), source - 1)
    right = np.minimum(left + 1, source - 1)
    share = (position - left).astype(np.float32)
    return (left, 1 - share), (right, share)
