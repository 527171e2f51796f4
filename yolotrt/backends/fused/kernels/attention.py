"""Attention between pixels."""

# ruff: noqa: N803, N806 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.shared import activate


@triton.jit
def attention(x, tw, tb, y, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, STEP: tl.constexpr,
              STEP_Y: tl.constexpr, HEADS: tl.constexpr, KEY: tl.constexpr, VALUE: tl.constexpr,
              AREAS: tl.constexpr, SCALE: tl.constexpr, KERNEL: tl.constexpr, ACT: tl.constexpr,
              BM: tl.constexpr, BN: tl.constexpr, BKEY: tl.constexpr, BVALUE: tl.constexpr):  # fmt: skip
    """Compute softmax attention over the pixels of an area, and the positional convolution."""
    EACH: tl.constexpr = 2 * KEY + VALUE
    LENGTH: tl.constexpr = HEIGHT * WIDTH // AREAS
    BLOCKS: tl.constexpr = (LENGTH + BM - 1) // BM
    part = tl.program_id(0) // BLOCKS
    head = part % HEADS
    area = part // HEADS  # of all images
    i = (tl.program_id(0) % BLOCKS) * BM + tl.arange(0, BM)
    j = tl.arange(0, BN)
    ck = tl.arange(0, BKEY)
    cv = tl.arange(0, BVALUE)
    base = x + area * (LENGTH * STEP) + head * EACH
    q = tl.load(base + i[:, None] * STEP + ck[None, :],
                mask=(i < LENGTH)[:, None] & (ck < KEY)[None, :], other=0.0)  # fmt: skip
    most = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, BVALUE), tl.float32)
    for start in range(0, LENGTH, BN):
        there = start + j < LENGTH
        at = base + (start + j) * STEP
        k = tl.load(at[:, None] + (KEY + ck)[None, :], mask=there[:, None] & (ck < KEY)[None, :], other=0.0)
        s = tl.dot(q, tl.trans(k)) * SCALE
        s = tl.where(there[None, :], s, float("-inf"))
        higher = tl.maximum(most, tl.max(s, 1))
        p = tl.exp(s - higher[:, None])
        fade = tl.exp(most - higher)
        total = total * fade + tl.sum(p, 1)
        v = tl.load(at[:, None] + (2 * KEY + cv)[None, :],
                    mask=there[:, None] & (cv < VALUE)[None, :], other=0.0)  # fmt: skip
        acc = tl.dot(p.to(tl.float16), v, acc * fade[:, None])
        most = higher
    acc = acc / total[:, None]
    # The positional convolution sees the whole map, across areas.
    pixel = area * LENGTH + i
    valid = i < LENGTH
    image = pixel // (HEIGHT * WIDTH)
    oy = pixel // WIDTH % HEIGHT
    ox = pixel % WIDTH
    channels = head * VALUE + cv
    there = valid[:, None] & (cv < VALUE)[None, :]
    y0 = oy - KERNEL // 2
    x0 = ox - KERNEL // 2
    at = x + ((image * HEIGHT + y0) * WIDTH + x0) * STEP + head * EACH + 2 * KEY
    d = tl.zeros((BM, BVALUE), tl.float32)
    for dy in range(KERNEL):
        row = there & ((y0 + dy >= 0) & (y0 + dy < HEIGHT))[:, None]
        for dx in tl.static_range(KERNEL):
            inside = row & ((x0 + dx >= 0) & (x0 + dx < WIDTH))[:, None]
            v = tl.load(at[:, None] + ((dy * WIDTH + dx) * STEP + cv)[None, :], mask=inside, other=0.0)
            t = tl.load(tw + (dy * KERNEL + dx) * (HEADS * VALUE) + channels, mask=cv < VALUE, other=0.0)
            d += v.to(tl.float32) * t.to(tl.float32)[None, :]
    acc += activate(d + tl.load(tb + channels, mask=cv < VALUE, other=0.0)[None, :], ACT)
    tl.store(y + pixel[:, None] * STEP_Y + channels[None, :], acc.to(tl.float16), mask=there)
