"""Convolutions with everything around them."""

# ruff: noqa: N803, N806, SIM108 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.rounding import narrowed, put
from yolotrt.backends.fused.kernels.shared import activate, pixels_of, taps_inside


@triton.jit
def products(acc, x, bits, w, columns, STEP: tl.constexpr, IN_WIDTH: tl.constexpr, C: tl.constexpr,
             N: tl.constexpr, KERNEL: tl.constexpr, ACROSS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
             CACHE: tl.constexpr, WK: tl.constexpr, WN: tl.constexpr):  # fmt: skip
    """Add the products of all taps of one source: ``x`` are pointers to each pixel's first tap.

    Weights lie WK values from product to product and WN from output channel to output channel.
    """
    TAPS: tl.constexpr = KERNEL * ACROSS
    k = tl.arange(0, BK)
    wide = columns[None, :] < N
    if C % BK == 0 or KERNEL == 1 or BK < C:
        CHUNKS: tl.constexpr = (C + BK - 1) // BK
        for i in range(TAPS * CHUNKS):
            # All taps of some channels, one after the other: what neighbours share is in the cache then.
            tap = i % TAPS
            c = (i // TAPS) * BK
            shift = (tap // ACROSS * IN_WIDTH + tap % ACROSS) * STEP + c
            inside = ((bits >> tap) & 1) != 0
            if C % BK == 0:
                a = tl.load(x[:, None] + (shift + k)[None, :], mask=inside[:, None], other=0.0,
                            cache_modifier=CACHE)  # fmt: skip
            else:
                there = inside[:, None] & ((c + k)[None, :] < C)
                a = tl.load(x[:, None] + (shift + k)[None, :], mask=there, other=0.0, cache_modifier=CACHE)
            at = w + (tap * C + c + k)[:, None] * WK + columns[None, :] * WN
            if C % BK != 0:
                b = tl.load(at, mask=((c + k)[:, None] < C) & wide, other=0.0)
            elif N % BN != 0:
                b = tl.load(at, mask=wide, other=0.0)
            else:
                b = tl.load(at)
            acc = tl.dot(a, b, acc, out_dtype=acc.dtype)
    else:  # several taps in one step
        K: tl.constexpr = TAPS * C
        for i in range((K + BK - 1) // BK):
            row = i * BK + k
            tap = row // C
            shift = (tap // ACROSS * IN_WIDTH + tap % ACROSS) * STEP + row % C
            inside = ((bits[:, None] >> tl.minimum(tap, 31)[None, :]) & 1) != 0
            a = tl.load(x[:, None] + shift[None, :], mask=inside, other=0.0, cache_modifier=CACHE)
            at = w + row[:, None] * WK + columns[None, :] * WN
            if K % BK != 0:
                b = tl.load(at, mask=(row[:, None] < K) & wide, other=0.0)
            elif N % BN != 0:
                b = tl.load(at, mask=wide, other=0.0)
            else:
                b = tl.load(at)
            acc = tl.dot(a, b, acc, out_dtype=acc.dtype)
    return acc


@triton.jit
def conv(x0, x1, w, b, w2, b2, r, y, rows, y8, steps, s, s2, levels, g,
         HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr,
         STEP0: tl.constexpr, STEP1: tl.constexpr, STEP_R: tl.constexpr, STEP_Y: tl.constexpr,
         C0: tl.constexpr, C1: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
         PAD: tl.constexpr, ZOOM0: tl.constexpr, ZOOM1: tl.constexpr, ACT: tl.constexpr,
         N2: tl.constexpr, ACT2: tl.constexpr, STORE: tl.constexpr, PLANE: tl.constexpr, ITEM: tl.constexpr,
         COUNT: tl.constexpr, BINS: tl.constexpr, CELL: tl.constexpr, CORNERS: tl.constexpr,
         SPREAD: tl.constexpr, QUAD: tl.constexpr, PACK: tl.constexpr, WK: tl.constexpr, WN: tl.constexpr,
         WK2: tl.constexpr, WN2: tl.constexpr, STEP_8: tl.constexpr, FIRST: tl.constexpr, END: tl.constexpr,
         FIRST_8: tl.constexpr, END_8: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
         BN2: tl.constexpr, TW: tl.constexpr, CACHE: tl.constexpr):  # fmt: skip
    """Compute a convolution and everything around it; see :class:`yolotrt.backends.fused.steps.Conv`.

    With ``s``, products are of INT8 (or of FP8, which no engine holds), and ``s`` says what 1 counts for in
    each column, and with ``s2`` those behind them. ``steps`` are the reciprocals of that for the result as
    INT8 (``y8``), and ``levels`` holds two more: the reciprocal for what is between both convolutions, and
    what 1 counts for in the residual. ``g`` is what each column is multiplied with behind the last
    activation.

    STORE: 0 channels of a map, 1 planes, 2 boxes, 3 spread pixels. With PACK, neighbouring pixels of the
    result are taken as one that has as many times the channels and the taps of all of them: fewer rows, and
    less is read twice, where a pixel has few channels.
    """
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, TW)
    y0 = oy * STRIDE - PAD
    ACROSS: tl.constexpr = STRIDE * (PACK - 1) + KERNEL
    xx = ox * (STRIDE * PACK) - PAD
    bits = taps_inside(y0, xx, valid, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, KERNEL, ACROSS, STRIDE,
                       STRIDE * PACK, PAD)  # fmt: skip
    DIRECT: tl.constexpr = KERNEL == 1 and STRIDE == 1 and PAD == 0
    if DIRECT and ZOOM0 == 1:
        at0 = x0 + pixel * STEP0
    else:
        at0 = x0 + ((image * (IN_HEIGHT // ZOOM0) + y0 // ZOOM0) * (IN_WIDTH // ZOOM0) + xx // ZOOM0) * STEP0
    acc = tl.zeros((BM, BN), tl.int32 if w.dtype.element_ty == tl.int8 else tl.float32)
    acc = products(acc, at0, bits, w, columns, STEP0, IN_WIDTH // ZOOM0, C0, N, KERNEL, ACROSS, BN, BK,
                   CACHE, WK, WN)  # fmt: skip
    if x1 is not None:
        if DIRECT and ZOOM1 == 1:
            at1 = x1 + pixel * STEP1
        else:
            line = image * (IN_HEIGHT // ZOOM1) + y0 // ZOOM1
            at1 = x1 + (line * (IN_WIDTH // ZOOM1) + xx // ZOOM1) * STEP1
        w1 = w + KERNEL * KERNEL * C0 * WK
        acc = products(acc, at1, bits, w1, columns, STEP1, IN_WIDTH // ZOOM1, C1, N, KERNEL, ACROSS, BN, BK,
                       CACHE, WK, WN)  # fmt: skip
    if s is not None:
        acc = acc.to(tl.float32) * tl.load(s + columns, mask=columns < N, other=0.0)[None, :]
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    if BN2 > 0:
        last = tl.arange(0, BN2)
        at2 = w2 + columns[:, None] * WK2 + last[None, :] * WN2
        inner = tl.load(at2, mask=(columns[:, None] < N) & (last[None, :] < N2), other=0.0)
        if s2 is not None:
            v = narrowed(v * tl.load(levels), w2.dtype.element_ty)
            v = tl.dot(v, inner, out_dtype=tl.int32 if v.dtype == tl.int8 else tl.float32).to(tl.float32)
            v *= tl.load(s2 + last, mask=last < N2, other=0.0)[None, :]
        else:
            v = tl.dot(v.to(tl.float16), inner)
        v = activate(v + tl.load(b2 + last, mask=last < N2, other=0.0)[None, :], ACT2)
        columns = last
        LAST: tl.constexpr = N2
        WIDE: tl.constexpr = BN2
    else:
        LAST: tl.constexpr = N
        WIDE: tl.constexpr = BN
    if LAST % WIDE == 0:
        there = valid[:, None]
    else:
        there = valid[:, None] & (columns[None, :] < LAST)
    if g is not None:
        v *= tl.load(g + columns, mask=columns < LAST, other=0.0)[None, :]
    EACH_P: tl.constexpr = LAST // PACK
    if r is not None:
        beside = columns // EACH_P * STEP_R + columns % EACH_P
        at_r = r + pixel[:, None] * (PACK * STEP_R) + beside[None, :]
        beside_r = tl.load(at_r, mask=there, other=0).to(tl.float32)
        v += beside_r * tl.load(levels + 1) if r.dtype.element_ty == tl.int8 else beside_r
    if STORE == 0:
        at = pixel[:, None] * (PACK * STEP_Y) + (columns // EACH_P * STEP_Y + columns % EACH_P)[None, :]
        at8 = pixel[:, None] * (PACK * STEP_8) + (columns // EACH_P * STEP_8 + columns % EACH_P)[None, :]
        put(y, y8, steps, v, at, at8, columns, there, LAST, FIRST, END, FIRST_8, END_8)
    elif STORE == 1:
        # Pixels along the second axis, so that neighbouring threads store neighbouring pixels.
        if QUAD > 1:
            image = tl.max_constancy(image, QUAD)
            within = tl.max_contiguous(tl.multiple_of(pixel - image * (HEIGHT * WIDTH), QUAD), QUAD)
        else:
            within = oy * WIDTH + ox
        to = y + columns[:, None] * PLANE + (image * ITEM + within)[None, :]
        there = valid[None, :] & (columns[:, None] < COUNT)
        tl.store(to, tl.trans(v.to(y.dtype.element_ty)), mask=there)
    elif STORE == 2:
        if BINS > 1:
            d = tl.reshape(v, (BM, 4, BINS))
            p = tl.exp(d - tl.max(d, 2)[:, :, None])
            number = tl.arange(0, BINS).to(tl.float32)
            side = tl.sum(p * number[None, None, :], 2) / tl.sum(p, 2)
            which = tl.arange(0, 4)[None, :]
        else:
            side = v
            which = columns[None, :]
        left = tl.sum(tl.where(which == 0, side, 0.0), 1)
        top = tl.sum(tl.where(which == 1, side, 0.0), 1)
        right = tl.sum(tl.where(which == 2, side, 0.0), 1)
        bottom = tl.sum(tl.where(which == 3, side, 0.0), 1)
        cx = ox.to(tl.float32) + 0.5
        cy = oy.to(tl.float32) + 0.5
        to = y + image * ITEM + oy * WIDTH + ox
        if CORNERS:
            tl.store(to, (cx - left) * CELL, mask=valid)
            tl.store(to + PLANE, (cy - top) * CELL, mask=valid)
            tl.store(to + 2 * PLANE, (cx + right) * CELL, mask=valid)
            tl.store(to + 3 * PLANE, (cy + bottom) * CELL, mask=valid)
        else:
            tl.store(to, (cx + (right - left) * 0.5) * CELL, mask=valid)
            tl.store(to + PLANE, (cy + (bottom - top) * 0.5) * CELL, mask=valid)
            tl.store(to + 2 * PLANE, (left + right) * CELL, mask=valid)
            tl.store(to + 3 * PLANE, (top + bottom) * CELL, mask=valid)
    else:
        EACH: tl.constexpr = N // (SPREAD * SPREAD)
        part = columns // EACH
        line = ((image * HEIGHT + oy) * SPREAD)[:, None] + (part // SPREAD)[None, :]
        to = line * (WIDTH * SPREAD) + (ox * SPREAD)[:, None] + (part % SPREAD)[None, :]
        tl.store(y + to * STEP_Y + (columns % EACH)[None, :], v.to(tl.float16), mask=there)
