"""The first convolution, from the images."""

# ruff: noqa: N803, N806 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.first import begin, finish
from yolotrt.backends.fused.kernels.shared import row


@triton.jit
def prepared(at, known, NUMBER: tl.constexpr):
    """Return one value per pixel of what the first convolution sums up: channel, row and column of a tap."""
    x, bits = at
    IN_HEIGHT: tl.constexpr = known[0]
    IN_WIDTH: tl.constexpr = known[1]
    CHANNELS: tl.constexpr = known[2]
    KERNEL: tl.constexpr = known[3]
    TAPS: tl.constexpr = KERNEL * KERNEL
    if NUMBER >= CHANNELS * TAPS:
        return tl.zeros_like(bits).to(tl.float16)
    TAP: tl.constexpr = NUMBER % TAPS
    SHIFT: tl.constexpr = (NUMBER // TAPS * IN_HEIGHT + TAP // KERNEL) * IN_WIDTH + TAP % KERNEL
    return tl.load(x + SHIFT, mask=((bits >> TAP) & 1) != 0, other=0.0)


@triton.jit
def stem(x, w, b, y, rows, y8, steps, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr,
         IN_WIDTH: tl.constexpr, STEP_Y: tl.constexpr, STEP_8: tl.constexpr, CHANNELS: tl.constexpr,
         N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr,
         BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution from (batch, channels, height, width) FP16; at most 32 products each.

    Each thread loads all that its pixels need and lays it out as a matrix's row: neighbouring threads load
    neighbouring pixels, which a gather of whole rows would not.
    """
    image, y0, x0, taps, _, where = begin(
        rows, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, N, KERNEL, STRIDE, PAD, BM, BN, TW
    )
    at = x + (image * (CHANNELS * IN_HEIGHT) + y0) * IN_WIDTH + x0
    a = tl.reshape(row(prepared, (at, taps), (IN_HEIGHT, IN_WIDTH, CHANNELS, KERNEL), 0, 1), (BM, 32))
    finish(a, w, b, y, y8, steps, where, 0, False, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)
