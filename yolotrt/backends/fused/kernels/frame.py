"""The first convolution, from a frame of bytes: tiles and letterboxed images never exist in memory."""

# ruff: noqa: N803, N806, SIM108 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.rounding import put
from yolotrt.backends.fused.kernels.shared import activate, pixels_of, row, taps_inside


@triton.jit
def level_of(byte):
    """Return a byte as FP16, exactly: its bits behind those of 1024, without the slow conversion unit."""
    return (byte.to(tl.int16) | 0x6400).to(tl.float16, bitcast=True) - 1024.0


@triton.jit
def in_tile(at, known, NUMBER: tl.constexpr):
    """Return one level per pixel: of row, column and channel, in the frame's order."""
    above, middle, below, tile, frame = at
    CHANNELS: tl.constexpr = known[0]
    KERNEL: tl.constexpr = known[1]
    PADDING: tl.constexpr = known[2]
    if NUMBER >= CHANNELS * KERNEL * KERNEL:
        return tl.zeros_like(tile).to(tl.float16)
    TAP: tl.constexpr = NUMBER // CHANNELS
    if TAP // KERNEL == 0:
        line = above
    elif TAP // KERNEL == 1:
        line = middle
    else:
        line = below
    inside = ((tile >> TAP) & 1) != 0
    shown = ((frame >> TAP) & 1) != 0
    byte = tl.load(line + NUMBER % (CHANNELS * KERNEL), mask=inside & shown, other=PADDING)
    return tl.where(inside, level_of(byte), 0.0)


@triton.jit
def finish(a, w, b, y, y8, steps, columns, pixel, valid, swap, STEP_Y: tl.constexpr, STEP_8: tl.constexpr,
           CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr, ACT: tl.constexpr,
           BN: tl.constexpr):  # fmt: skip
    """Multiply levels with weights and store the result; levels are 255 times the values of an image."""
    TAPS: tl.constexpr = KERNEL * KERNEL
    k = tl.arange(0, 32)
    channel = k % CHANNELS
    channel = tl.where(swap != 0, CHANNELS - 1 - channel, channel)
    row = channel * TAPS + k // CHANNELS  # the weights' order: channel, row, column
    there = (k < CHANNELS * TAPS)[:, None] & (columns < N)[None, :]
    acc = tl.dot(a, tl.load(w + row[:, None] * N + columns[None, :], mask=there, other=0.0)) * (1.0 / 255.0)
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    if N % BN == 0:
        mask = valid[:, None]
    else:
        mask = valid[:, None] & (columns[None, :] < N)
    at = pixel[:, None] * STEP_Y + columns[None, :]
    put(y, y8, steps, v, at, pixel[:, None] * STEP_8 + columns[None, :], columns, mask, N, 0, 0, 0, 0)


@triton.jit
def stem_tiles(frame, width, height, swap, origins, w, b, y, rows, y8, steps, HEIGHT: tl.constexpr,
               WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr, STEP_Y: tl.constexpr,
               STEP_8: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr,
               STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr, PADDING: tl.constexpr,
               BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution of tiles of a (height, width, 3) frame of bytes; kernels of 3 x 3.

    ``origins`` is (batch, 2): x and y of each tile's corner, inside the frame. Right of and below the frame
    a tile is grey, around the tile there are zeros. ``swap`` says that the frame is BGR.
    """
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, TW)
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    tile = taps_inside(y0, x0, valid, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, KERNEL, KERNEL, STRIDE, STRIDE, PAD)
    fx = tl.load(origins + 2 * image, mask=valid, other=0) + x0
    fy = tl.load(origins + 2 * image + 1, mask=valid, other=0) + y0
    shown = tl.zeros_like(tile)
    for dy in tl.static_range(KERNEL):
        for dx in tl.static_range(KERNEL):
            seen = (fy + dy < height) & (fx + dx < width)
            shown |= seen.to(tl.int32) << (dy * KERNEL + dx)
    above = frame + (fy.to(tl.int64) * width + fx) * CHANNELS
    at = above + width * CHANNELS
    below = at + width * CHANNELS
    pixels = (above, at, below, tile, shown)
    a = tl.reshape(row(in_tile, pixels, (CHANNELS, KERNEL, PADDING), 0, 1), (BM, 32))
    finish(a, w, b, y, y8, steps, columns, pixel, valid, swap, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)


@triton.jit
def fitted(at, known, NUMBER: tl.constexpr):
    """Return one level per pixel of the letterboxed frame: of row, column and channel."""
    frame, width, across, down, y0, x0, tile = at
    CHANNELS: tl.constexpr = known[0]
    KERNEL: tl.constexpr = known[1]
    PADDING: tl.constexpr = known[2]
    if NUMBER >= CHANNELS * KERNEL * KERNEL:
        return tl.zeros_like(tile).to(tl.float16)
    TAP: tl.constexpr = NUMBER // CHANNELS
    CHANNEL: tl.constexpr = NUMBER % CHANNELS
    inside = ((tile >> TAP) & 1) != 0
    column = across + 4 * (x0 + TAP % KERNEL)
    row = down + 4 * (y0 + TAP // KERNEL)
    left = tl.load(column, mask=inside, other=-1)
    top = tl.load(row, mask=inside, other=-1)
    shown = (left >= 0) & (top >= 0)
    right = tl.load(column + 1, mask=shown, other=0)
    bottom = tl.load(row + 1, mask=shown, other=0)
    weight_left = tl.load(column + 2, mask=shown, other=0)
    weight_right = tl.load(column + 3, mask=shown, other=0)
    weight_top = tl.load(row + 2, mask=shown, other=0)
    weight_bottom = tl.load(row + 3, mask=shown, other=0)
    upper = frame + top.to(tl.int64) * width * CHANNELS + CHANNEL
    lower = frame + bottom.to(tl.int64) * width * CHANNELS + CHANNEL
    a = tl.load(upper + left * CHANNELS, mask=shown, other=0).to(tl.int32) * weight_left
    a += tl.load(upper + right * CHANNELS, mask=shown, other=0).to(tl.int32) * weight_right
    b = tl.load(lower + left * CHANNELS, mask=shown, other=0).to(tl.int32) * weight_left
    b += tl.load(lower + right * CHANNELS, mask=shown, other=0).to(tl.int32) * weight_right
    level = ((weight_top * (a >> 4) >> 16) + (weight_bottom * (b >> 4) >> 16) + 2) >> 2
    level = tl.where(shown, level, PADDING)
    return tl.where(inside, level_of(level), 0.0)


@triton.jit
def stem_letterbox(frame, width, swap, across, down, w, b, y, rows, y8, steps, HEIGHT: tl.constexpr,
                   WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr, STEP_Y: tl.constexpr,
                   STEP_8: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr,
                   STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr, PADDING: tl.constexpr,
                   BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution of a letterboxed (height, width, 3) frame of bytes; kernels of 3 x 3.

    ``across`` is (IN_WIDTH, 4) and ``down`` (IN_HEIGHT, 4): the two pixels of the frame that a column or row
    is made of, and their weights in 1/2048; -1 where it is padding. As OpenCV's bilinear resizing of bytes.
    """
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    _, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, TW)
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    tile = taps_inside(y0, x0, valid, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, KERNEL, KERNEL, STRIDE, STRIDE, PAD)
    pixels = (frame, width, across, down, y0, x0, tile)
    a = tl.reshape(row(fitted, pixels, (CHANNELS, KERNEL, PADDING), 0, 1), (BM, 32))
    finish(a, w, b, y, y8, steps, columns, pixel, valid, swap, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)
