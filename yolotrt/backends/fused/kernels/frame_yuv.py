"""The first convolution, from a frame as decoders give it: no picture in red, green and blue ever exists."""

# ruff: noqa: N803, N806, RUF005, SIM108 - the compiler's naming, where capitals are known when compiled, and its tuples
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.first import begin, finish
from yolotrt.backends.fused.kernels.frame import level_of
from yolotrt.backends.fused.kernels.shared import row


@triton.jit
def sample(at, wide, mask):
    """Return samples as 16-bit numbers in FP32, exactly and without the slow conversion unit.

    A sample is a byte, which then is the upper one, or ``wide``: two bytes.
    """
    low = tl.load(at, mask=(mask.to(tl.int32) * wide) != 0, other=0).to(tl.int32)
    high = tl.load(at + wide, mask=mask, other=0).to(tl.int32)
    return ((high << 8) | low | 0x4B000000).to(tl.float32, bitcast=True) - 8388608.0


@triton.jit
def rounded(value):
    """Return a level from 0 to 255 as FP16."""
    inside = tl.minimum(tl.maximum(value, 0.0), 255.0)
    return level_of((inside + 8388608.0).to(tl.int32, bitcast=True) & 0xFF)


@triton.jit
def share(at, NUMBER: tl.constexpr):
    """Return how much of a sample a pixel has that lies at a place between samples."""
    return tl.maximum(1.0 - tl.abs(at - NUMBER), 0.0)


@triton.jit
def factors(colours):
    """Return the eight numbers of a frame's colours."""
    found = ()
    for i in tl.static_range(8):
        found = found + (tl.load(colours + i),)
    return found


@triton.jit
def levels(luma, u, v, t, tile, shown, PADDING: tl.constexpr):
    """Return red, green and blue as FP16: grey where nothing is shown, and 0 outside of the image."""
    bright = luma * t[0]
    red = tl.where(shown, rounded(bright + v * t[1] + t[5]), PADDING)
    green = tl.where(shown, rounded(bright + (u * t[2] + v * t[3]) + t[6]), PADDING)
    blue = tl.where(shown, rounded(bright + u * t[4] + t[7]), PADDING)
    return (tl.where(tile, red, 0.0).to(tl.float16), tl.where(tile, green, 0.0).to(tl.float16),
            tl.where(tile, blue, 0.0).to(tl.float16))  # fmt: skip


@triton.jit
def one_of(found, known, NUMBER: tl.constexpr):
    """Return one of the values of each pixel; none behind them, where a matrix's row goes on."""
    COUNT: tl.constexpr = known[0]
    if NUMBER < COUNT:
        value = found[NUMBER]
    else:  # not behind a return: what is behind one is compiled as well
        value = tl.zeros_like(found[0])
    return value


@triton.jit
def stem_tiles_yuv(frame, width, height, wide, site_x, site_y, origins, colours, w, b, y, rows, y8, steps,
                   HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr,
                   STEP_Y: tl.constexpr, STEP_8: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr,
                   KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr,
                   PADDING: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution of tiles of a frame in NV12 or P010; kernels of 3 x 3.

    As ``stem_tiles``; ``frame`` holds (height, width) brightness and behind it (height / 2, width / 2, 2)
    colour samples, which lie ``site`` half pixels right of and below the upper left of their pixels. The nine
    pixels of an output share nine colour samples: those are read once, and interpolated.
    """
    image, y0, x0, tile, valid, where = begin(
        rows, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, N, KERNEL, STRIDE, PAD, BM, BN, TW
    )
    fx = tl.load(origins + 2 * image, mask=valid, other=0) + x0
    fy = tl.load(origins + 2 * image + 1, mask=valid, other=0) + y0
    nbytes = 1 + wide
    chroma = frame + height.to(tl.int64) * width * nbytes
    qx = 2 * fx - site_x
    qy = 2 * fy - site_y
    cx = qx >> 2
    cy = qy >> 2
    last_x = width // 2 - 1
    last_y = height // 2 - 1
    us = ()
    vs = ()
    for j in tl.static_range(3):
        line = tl.minimum(tl.maximum(cy + j, 0), last_y).to(tl.int64) * width
        for k in tl.static_range(3):
            at = chroma + (line + 2 * tl.minimum(tl.maximum(cx + k, 0), last_x)) * nbytes
            us = us + (sample(at, wide, valid),)
            vs = vs + (sample(at + nbytes, wide, valid),)
    t = factors(colours)
    across = (qx & 3).to(tl.float32) * 0.25
    down = (qy & 3).to(tl.float32) * 0.25
    found = ()
    for dy in tl.static_range(3):
        top = share(down + 0.5 * dy, 0)
        middle = share(down + 0.5 * dy, 1)
        bottom = share(down + 0.5 * dy, 2)
        u0 = us[0] * top + us[3] * middle + us[6] * bottom
        u1 = us[1] * top + us[4] * middle + us[7] * bottom
        u2 = us[2] * top + us[5] * middle + us[8] * bottom
        v0 = vs[0] * top + vs[3] * middle + vs[6] * bottom
        v1 = vs[1] * top + vs[4] * middle + vs[7] * bottom
        v2 = vs[2] * top + vs[5] * middle + vs[8] * bottom
        line = frame + ((fy + dy).to(tl.int64) * width + fx) * nbytes
        for dx in tl.static_range(3):
            left = share(across + 0.5 * dx, 0)
            centre = share(across + 0.5 * dx, 1)
            right = share(across + 0.5 * dx, 2)
            inside = ((tile >> (dy * 3 + dx)) & 1) != 0
            shown = (fy + dy < height) & (fx + dx < width)
            luma = sample(line + dx * nbytes, wide, inside & shown)
            found = found + levels(luma, u0 * left + u1 * centre + u2 * right,
                                   v0 * left + v1 * centre + v2 * right, t, inside, shown,
                                   PADDING)  # fmt: skip
    a = tl.reshape(row(one_of, found, (CHANNELS * KERNEL * KERNEL,), 0, 1), (BM, 32))
    finish(a, w, b, y, y8, steps, where, 0, True, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)


@triton.jit
def neighbours(table, at, mask):
    """Return the two neighbours of a letterbox's column or row, and their weights."""
    entry = table + 4 * at
    first = tl.load(entry, mask=mask, other=-1)
    shown = first >= 0
    return (first, tl.load(entry + 1, mask=shown, other=0),
            tl.load(entry + 2, mask=shown, other=0).to(tl.float32) * (1.0 / 2048),
            tl.load(entry + 3, mask=shown, other=0).to(tl.float32) * (1.0 / 2048))  # fmt: skip


@triton.jit
def fitted(plane, width, wide, EACH: tl.constexpr, column, row, shown):
    """Return samples between four of a plane, of which ``width`` make a row and each has EACH numbers."""
    nbytes = 1 + wide
    upper = plane + row[0].to(tl.int64) * width * nbytes
    lower = plane + row[1].to(tl.int64) * width * nbytes
    left = column[0] * EACH * nbytes
    right = column[1] * EACH * nbytes
    above = sample(upper + left, wide, shown) * column[2] + sample(upper + right, wide, shown) * column[3]
    below = sample(lower + left, wide, shown) * column[2] + sample(lower + right, wide, shown) * column[3]
    return above * row[2] + below * row[3]


@triton.jit
def stem_letterbox_yuv(frame, width, height, wide, across, down, across_chroma, down_chroma, colours, w, b, y,
                       rows, y8, steps, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr,
                       IN_WIDTH: tl.constexpr, STEP_Y: tl.constexpr, STEP_8: tl.constexpr,
                       CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
                       PAD: tl.constexpr, ACT: tl.constexpr, PADDING: tl.constexpr, BM: tl.constexpr,
                       BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution of a letterboxed frame in NV12 or P010; kernels of 3 x 3.

    As ``stem_letterbox``, with tables of their own for colour samples, and without rounding in between.
    """
    _, y0, x0, tile, valid, where = begin(
        rows, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, N, KERNEL, STRIDE, PAD, BM, BN, TW
    )
    chroma = frame + height.to(tl.int64) * width * (1 + wide)
    t = factors(colours)
    found = ()
    for dy in tl.static_range(3):
        fits_y = valid & (y0 + dy >= 0) & (y0 + dy < IN_HEIGHT)
        line = neighbours(down, y0 + dy, fits_y)
        line_chroma = neighbours(down_chroma, y0 + dy, fits_y)
        for dx in tl.static_range(3):
            fits_x = valid & (x0 + dx >= 0) & (x0 + dx < IN_WIDTH)
            column = neighbours(across, x0 + dx, fits_x)
            column_chroma = neighbours(across_chroma, x0 + dx, fits_x)
            inside = ((tile >> (dy * 3 + dx)) & 1) != 0
            shown = inside & (column[0] >= 0) & (line[0] >= 0)
            luma = fitted(frame, width, wide, 1, column, line, shown)
            u = fitted(chroma, width, wide, 2, column_chroma, line_chroma, shown)
            v = fitted(chroma + 1 + wide, width, wide, 2, column_chroma, line_chroma, shown)
            found = found + levels(luma, u, v, t, inside, shown, PADDING)
    a = tl.reshape(row(one_of, found, (CHANNELS * KERNEL * KERNEL,), 0, 1), (BM, 32))
    finish(a, w, b, y, y8, steps, where, 0, True, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)
