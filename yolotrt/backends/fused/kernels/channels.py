"""What treats each channel alone: depthwise convolutions, poolings and sums."""

# ruff: noqa: N803, N806 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.rounding import put
from yolotrt.backends.fused.kernels.shared import activate, pixels_of, taps_inside


@triton.jit
def depthwise_row(d, x, tw, c, bits, row, STEP: tl.constexpr, IN_WIDTH: tl.constexpr, C: tl.constexpr,
                  KERNEL: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """Add a row of taps."""
    for dx in tl.static_range(KERNEL):
        inside = (((bits >> dx) & 1) != 0)[:, None]
        at = x[:, None] + ((row * IN_WIDTH + dx) * STEP + c)[None, :]
        if C % BN == 0:
            v = tl.load(at, mask=inside, other=0.0)
            t = tl.load(tw + (row * KERNEL + dx) * C + c)
        else:
            v = tl.load(at, mask=inside & (c < C)[None, :], other=0.0)
            t = tl.load(tw + (row * KERNEL + dx) * C + c, mask=c < C, other=0.0)
        d += v.to(tl.float32) * t.to(tl.float32)[None, :]
    return d


@triton.jit
def depthwise_sum(x, tw, tb, c, oy, ox, image, valid, STEP: tl.constexpr, HEIGHT: tl.constexpr,
                  WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr, C: tl.constexpr,
                  KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, BM: tl.constexpr,
                  BN: tl.constexpr):  # fmt: skip
    """Return the weighted sums of a depthwise convolution; ``x`` points to the first image."""
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    at = x + ((image * IN_HEIGHT + y0) * IN_WIDTH + x0) * STEP
    d = tl.zeros((BM, BN), tl.float32)
    if KERNEL <= 3:
        bits = taps_inside(
            y0, x0, valid, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, KERNEL, KERNEL, STRIDE, STRIDE, PAD
        )
        for row in tl.static_range(KERNEL):
            d = depthwise_row(d, at, tw, c, bits >> (row * KERNEL), row, STEP, IN_WIDTH, C, KERNEL, BN)
    else:
        across = taps_inside(
            y0 * 0, x0, valid, 1, WIDTH, KERNEL, IN_WIDTH, KERNEL, KERNEL, STRIDE, STRIDE, PAD
        )
        for row in range(KERNEL):
            inside = (y0 + row >= 0) & (y0 + row < IN_HEIGHT)
            bits = tl.where(inside, across, 0)
            d = depthwise_row(d, at, tw, c, bits, row, STEP, IN_WIDTH, C, KERNEL, BN)
    return d + tl.load(tb + c, mask=c < C, other=0.0)[None, :]


@triton.jit
def depthwise(x, tw, tb, r, y, rows, y8, steps, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
              IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr, STEP: tl.constexpr, STEP_R: tl.constexpr,
              STEP_Y: tl.constexpr, STEP_8: tl.constexpr, C: tl.constexpr, KERNEL: tl.constexpr,
              STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
              TW: tl.constexpr):  # fmt: skip
    """Compute a depthwise convolution."""
    BLOCKS: tl.constexpr = (C + BN - 1) // BN
    c = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, TW)
    v = depthwise_sum(x, tw, tb, c, oy, ox, image, valid, STEP, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, C, KERNEL,
                      STRIDE, PAD, BM, BN)  # fmt: skip
    v = activate(v, ACT)
    there = valid[:, None] & (c < C)[None, :]
    if r is not None:
        v += tl.load(r + pixel[:, None] * STEP_R + c[None, :], mask=there, other=0.0).to(tl.float32)
    at = pixel[:, None] * STEP_Y + c[None, :]
    put(y, y8, steps, v, at, pixel[:, None] * STEP_8 + c[None, :], c, there, C, 0, 0, 0, 0)


@triton.jit
def window_max(x, position, size, valid, c, there, STEP: tl.constexpr, PITCH: tl.constexpr,
               REACH: tl.constexpr):  # fmt: skip
    """Return the highest values within a reach along one axis, on which ``x`` lies at a position of size."""
    least = float("-inf")
    most = tl.load(x[:, None] + c[None, :], mask=there, other=least)
    for d in tl.static_range(1, REACH + 1):
        before = there & (position - d >= 0)[:, None]
        most = tl.maximum(
            most, tl.load(x[:, None] + (c - d * PITCH * STEP)[None, :], mask=before, other=least)
        )
        behind = there & (position + d < size)[:, None]
        most = tl.maximum(
            most, tl.load(x[:, None] + (c + d * PITCH * STEP)[None, :], mask=behind, other=least)
        )
    return most


@triton.jit
def pools(x, y1, y2, y3, scratch, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, STEP: tl.constexpr,
          STEP_1: tl.constexpr, STEP_2: tl.constexpr, STEP_3: tl.constexpr, C: tl.constexpr,
          KERNEL: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """Compute one to three max poolings, each of the one before, of some channels of a whole image.

    Pooling twice is pooling once with twice the reach, and a window's highest value is the highest of its
    rows'. ``scratch`` holds the rows' for three reaches: (batch, height, width, 3 x channels).
    """
    REACH: tl.constexpr = KERNEL // 2
    BLOCKS: tl.constexpr = (C + BN - 1) // BN
    image = tl.program_id(0) // BLOCKS
    c = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    i = tl.arange(0, BM)
    valid = i < HEIGHT * WIDTH
    there = valid[:, None] & (c < C)[None, :]
    py = i // WIDTH
    px = i % WIDTH
    pixel = image * (HEIGHT * WIDTH) + i
    at = x + pixel * STEP
    row = scratch + pixel * (3 * C)
    to = row[:, None] + c[None, :]
    tl.store(to, window_max(at, px, WIDTH, valid, c, there, STEP, 1, REACH), mask=there)
    if y2 is not None:
        tl.store(to + C, window_max(at, px, WIDTH, valid, c, there, STEP, 1, 2 * REACH), mask=there)
    if y3 is not None:
        tl.store(to + 2 * C, window_max(at, px, WIDTH, valid, c, there, STEP, 1, 3 * REACH), mask=there)
    tl.debug_barrier()
    m = window_max(row, py, HEIGHT, valid, c, there, 3 * C, WIDTH, REACH)
    tl.store(y1 + pixel[:, None] * STEP_1 + c[None, :], m, mask=there)
    if y2 is not None:
        m = window_max(row + C, py, HEIGHT, valid, c, there, 3 * C, WIDTH, 2 * REACH)
        tl.store(y2 + pixel[:, None] * STEP_2 + c[None, :], m, mask=there)
    if y3 is not None:
        m = window_max(row + 2 * C, py, HEIGHT, valid, c, there, 3 * C, WIDTH, 3 * REACH)
        tl.store(y3 + pixel[:, None] * STEP_3 + c[None, :], m, mask=there)


@triton.jit
def total(x0, x1, x2, y, rows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, STEP0: tl.constexpr,
          STEP1: tl.constexpr, STEP2: tl.constexpr, STEP_Y: tl.constexpr, C: tl.constexpr,
          ZOOM0: tl.constexpr, ZOOM1: tl.constexpr, ZOOM2: tl.constexpr, BM: tl.constexpr,
          BN: tl.constexpr):  # fmt: skip
    """Add up to three maps, each perhaps enlarged."""
    BLOCKS: tl.constexpr = (C + BN - 1) // BN
    c = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, 0)
    there = valid[:, None] & (c < C)[None, :]
    at = (image * (HEIGHT // ZOOM0) + oy // ZOOM0) * (WIDTH // ZOOM0) + ox // ZOOM0
    v = tl.load(x0 + at[:, None] * STEP0 + c[None, :], mask=there, other=0.0).to(tl.float32)
    if x1 is not None:
        at = (image * (HEIGHT // ZOOM1) + oy // ZOOM1) * (WIDTH // ZOOM1) + ox // ZOOM1
        v += tl.load(x1 + at[:, None] * STEP1 + c[None, :], mask=there, other=0.0).to(tl.float32)
    if x2 is not None:
        at = (image * (HEIGHT // ZOOM2) + oy // ZOOM2) * (WIDTH // ZOOM2) + ox // ZOOM2
        v += tl.load(x2 + at[:, None] * STEP2 + c[None, :], mask=there, other=0.0).to(tl.float32)
    tl.store(y + pixel[:, None] * STEP_Y + c[None, :], v.to(tl.float16), mask=there)
