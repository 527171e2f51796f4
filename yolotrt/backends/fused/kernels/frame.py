"""The first convolution, from a frame of bytes: tiles and letterboxed images never exist in memory."""

# ruff: noqa: N803, N806 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.first import begin, finish
from yolotrt.backends.fused.kernels.shared import row


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
def stem_tiles(frame, width, height, swap, origins, w, b, y, rows, y8, steps, HEIGHT: tl.constexpr,
               WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr, STEP_Y: tl.constexpr,
               STEP_8: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr,
               STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr, PADDING: tl.constexpr,
               BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution of tiles of a (height, width, 3) frame of bytes; kernels of 3 x 3.

    ``origins`` is (batch, 2): x and y of each tile's corner, inside the frame. Right of and below the frame
    a tile is grey, around the tile there are zeros. ``swap`` says that the frame is BGR.
    """
    image, y0, x0, tile, valid, where = begin(
        rows, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, N, KERNEL, STRIDE, PAD, BM, BN, TW
    )
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
    finish(a, w, b, y, y8, steps, where, swap, True, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)


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
    _, y0, x0, tile, _, where = begin(
        rows, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, N, KERNEL, STRIDE, PAD, BM, BN, TW
    )
    pixels = (frame, width, across, down, y0, x0, tile)
    a = tl.reshape(row(fitted, pixels, (CHANNELS, KERNEL, PADDING), 0, 1), (BM, 32))
    finish(a, w, b, y, y8, steps, where, swap, True, STEP_Y, STEP_8, CHANNELS, N, KERNEL, ACT, BN)
