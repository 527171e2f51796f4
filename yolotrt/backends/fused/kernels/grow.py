"""What enlarges the prototypes."""

# ruff: noqa: N803 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.convolution import products
from yolotrt.backends.fused.kernels.shared import activate, pixels_of


@triton.jit
def grow(x, w, b, edges, w2, b2, y, rows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, STEP: tl.constexpr,
         C: tl.constexpr, N: tl.constexpr, ACT: tl.constexpr, N2: tl.constexpr, ACT2: tl.constexpr,
         ITEM: tl.constexpr, COUNT: tl.constexpr, QUAD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
         BK: tl.constexpr, BN2: tl.constexpr):  # fmt: skip
    """Compute what enlarges the prototypes; see :class:`yolotrt.backends.fused.steps.Grow`.

    A program makes one of the two rows of its pixels, and both places in it: N and N2 are channels of both.
    The taps of both are 2 x 3 pixels.
    """
    down = tl.program_id(0) % 2
    image, iy, ix, _, valid = pixels_of(tl.program_id(0) // 2, rows, HEIGHT, WIDTH, BM, 0)
    columns = tl.arange(0, BN)
    y0 = iy - 1 + down
    # Bits of 2 x 3 taps, as taps_inside gives them; its rows would begin at a known place.
    across = (
        valid.to(tl.int32) * 2 + ((ix > 0) & valid).to(tl.int32) + ((ix < WIDTH - 1) & valid).to(tl.int32) * 4
    )
    bits = tl.where(y0 >= 0, across, 0) + tl.where(y0 + 1 < HEIGHT, across, 0) * 8
    at = x + ((image * HEIGHT + y0) * WIDTH + ix - 1) * STEP
    acc = tl.zeros((BM, BN), tl.float32)
    acc = products(acc, at, bits, w + down * (6 * C * N), columns, STEP, WIDTH, C, N, 2, 3, BN, BK, "", N, 1)
    # Where taps lie outside, what the bias of the layer before adds there is missing.
    outside = tl.where(down == 0, iy == 0, iy == HEIGHT - 1).to(tl.int32)
    edge = outside * 3 + (ix == 0).to(tl.int32) + (ix == WIDTH - 1).to(tl.int32) * 2
    missing = edges + ((down * 6 + edge) * N)[:, None] + columns[None, :]
    acc += tl.load(missing, mask=(edge > 0)[:, None] & (columns < N)[None, :], other=0.0)
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    last = tl.arange(0, BN2)
    at2 = w2 + columns[:, None] * N2 + last[None, :]
    inner = tl.load(at2, mask=(columns[:, None] < N) & (last[None, :] < N2), other=0.0)
    v = tl.dot(v.to(tl.float16), inner)
    v = activate(v + tl.load(b2 + last, mask=last < N2, other=0.0)[None, :], ACT2)
    # Columns are planes, two neighbouring places each: (planes, pixels, places) lie as they are stored.
    planes = tl.arange(0, BN2 // 2)
    values = tl.permute(tl.reshape(v.to(tl.float16), (BM, BN2 // 2, 2)), (1, 0, 2))
    values = tl.reshape(values, (BN2 // 2, 2 * BM))
    j = (tl.program_id(0) // 2) * (2 * BM) + tl.arange(0, 2 * BM)
    source = j // 2
    of = source // (WIDTH * HEIGHT)
    within = (source // WIDTH % HEIGHT * 2 + down) * (2 * WIDTH) + source % WIDTH * 2 + j % 2
    if QUAD > 1:
        within = tl.max_contiguous(tl.multiple_of(within, QUAD), QUAD)
        of = tl.max_constancy(of, QUAD)
    to = y + planes[:, None] * (4 * HEIGHT * WIDTH) + (of * ITEM + within)[None, :]
    tl.store(to, values, mask=(j < 2 * rows)[None, :] & (planes < COUNT)[:, None])
