"""What first convolutions share, wherever their images lie: which pixels, products, and their result."""

# ruff: noqa: N803, N806, SIM108 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.rounding import put
from yolotrt.backends.fused.kernels.shared import activate, pixels_of, taps_inside


@triton.jit
def begin(rows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr,
          N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, BM: tl.constexpr,
          BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Return image, y, x of each pixel's first tap, which taps lie inside, and what :func:`finish` takes."""
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, TW)
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    taps = taps_inside(y0, x0, valid, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, KERNEL, KERNEL, STRIDE, STRIDE, PAD)
    return image, y0, x0, taps, valid, (columns, pixel, valid)


@triton.jit
def finish(a, w, b, y, y8, steps, where, swap, LEVELS: tl.constexpr, STEP_Y: tl.constexpr,
           STEP_8: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr,
           ACT: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """Multiply rows of values with weights and store the result.

    With LEVELS, values are 255 times those of an image and lie as in a frame: row, column, channel; ``swap``
    says that its channels are in the other order. Without, they lie as weights do: channel, row, column.
    """
    columns, pixel, valid = where
    TAPS: tl.constexpr = KERNEL * KERNEL
    k = tl.arange(0, 32)
    if LEVELS:
        channel = k % CHANNELS
        channel = tl.where(swap != 0, CHANNELS - 1 - channel, channel)
        row = channel * TAPS + k // CHANNELS
    else:
        row = k
    there = (k < CHANNELS * TAPS)[:, None] & (columns < N)[None, :]
    acc = tl.dot(a, tl.load(w + row[:, None] * N + columns[None, :], mask=there, other=0.0))
    if LEVELS:
        acc = acc * (1.0 / 255.0)
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    if N % BN == 0:
        mask = valid[:, None]
    else:
        mask = valid[:, None] & (columns[None, :] < N)
    at = pixel[:, None] * STEP_Y + columns[None, :]
    put(y, y8, steps, v, at, pixel[:, None] * STEP_8 + columns[None, :], columns, mask, N, 0, 0, 0, 0)
