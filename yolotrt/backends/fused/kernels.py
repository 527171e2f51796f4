"""The kernels, in Triton's language. Compiled ahead of time; nothing here is imported to run an engine.

All read and write feature maps of (batch, height, width, channels) FP16 and compute in FP32. ``rows`` are the
pixels of all images, one after the other; a program works on ``BM`` of them, taken in a row or as a patch of
``TW`` pixels width (whose neighbours then lie in the cache). Names in capitals are known when compiled:
``STEP`` is the number of values from one pixel of a map to the next.

Activations: 0 none, 1 SiLU, 2 sigmoid.
"""

# ruff: noqa: D103, N803, N806, SIM108 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import os

import triton
import triton.language as tl

COMPILED = tl.constexpr(os.environ.get("TRITON_INTERPRET") != "1")


@triton.jit
def sigmoid(v):
    """Return the sigmoid in 4 instructions.

    The compiler's own power and division take care of numbers that do not come up here, with three times as
    many: more than half of what a layer of single pixels executes.
    """
    if COMPILED:
        power = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;",
            "=f,f",
            [v * -1.4426950408889634],
            dtype=tl.float32,
            is_pure=True,
            pack=1,
        )
        return tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [1.0 + power], dtype=tl.float32, is_pure=True, pack=1
        )
    return 1.0 / (1.0 + tl.exp(-v))


@triton.jit
def activate(v, ACT: tl.constexpr):
    if ACT == 1:
        return v * sigmoid(v)
    if ACT == 2:
        return sigmoid(v)
    return v


@triton.jit
def pixels_of(block, rows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, BM: tl.constexpr, TW: tl.constexpr):
    """Return image, y, x and number of the pixels of a block, and which of them exist."""
    if TW == 0:
        pixel = block * BM + tl.arange(0, BM)
        valid = pixel < rows
        x = pixel % WIDTH
        y = pixel // WIDTH % HEIGHT
        image = pixel // (WIDTH * HEIGHT)
    else:
        TH: tl.constexpr = BM // TW
        ACROSS: tl.constexpr = (WIDTH + TW - 1) // TW
        DOWN: tl.constexpr = (HEIGHT + TH - 1) // TH
        i = tl.arange(0, BM)
        patch = block // ACROSS
        x = (block % ACROSS) * TW + i % TW
        y = (patch % DOWN) * TH + i // TW
        image = patch // DOWN + tl.zeros((BM,), tl.int32)
        valid = (x < WIDTH) & (y < HEIGHT)
        pixel = (image * HEIGHT + y) * WIDTH + x
    return image, y, x, pixel, valid


@triton.jit
def taps_inside(y0, x0, valid, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr,
                IN_WIDTH: tl.constexpr, KERNEL: tl.constexpr, ACROSS: tl.constexpr, STRIDE: tl.constexpr,
                STRIDE_X: tl.constexpr, PAD: tl.constexpr):  # fmt: skip
    """Return for each pixel a word whose bits say which of KERNEL x ACROSS taps lie inside the image."""
    across = tl.zeros_like(x0)
    for dx in tl.static_range(ACROSS):
        inside = valid
        if dx < PAD:
            inside = inside & (x0 + dx >= 0)
        if (WIDTH - 1) * STRIDE_X - PAD + dx >= IN_WIDTH:
            inside = inside & (x0 + dx < IN_WIDTH)
        across |= inside.to(tl.int32) << dx
    bits = tl.zeros_like(x0)
    for dy in tl.static_range(KERNEL):
        row = across << (dy * ACROSS)
        if dy < PAD:
            row = tl.where(y0 + dy >= 0, row, 0)
        if (HEIGHT - 1) * STRIDE - PAD + dy >= IN_HEIGHT:
            row = tl.where(y0 + dy < IN_HEIGHT, row, 0)
        bits |= row
    return bits


@triton.jit
def products(acc, x, bits, w, columns, STEP: tl.constexpr, IN_WIDTH: tl.constexpr, C: tl.constexpr,
             N: tl.constexpr, KERNEL: tl.constexpr, ACROSS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
             CACHE: tl.constexpr):  # fmt: skip
    """Add the products of all taps of one source: ``x`` are pointers to each pixel's first tap."""
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
            at = w + (tap * C + c + k)[:, None] * N + columns[None, :]
            if C % BK != 0:
                b = tl.load(at, mask=((c + k)[:, None] < C) & wide, other=0.0)
            elif N % BN != 0:
                b = tl.load(at, mask=wide, other=0.0)
            else:
                b = tl.load(at)
            acc = tl.dot(a, b, acc)
    else:  # several taps in one step
        K: tl.constexpr = TAPS * C
        for i in range((K + BK - 1) // BK):
            row = i * BK + k
            tap = row // C
            shift = (tap // ACROSS * IN_WIDTH + tap % ACROSS) * STEP + row % C
            inside = ((bits[:, None] >> tl.minimum(tap, 31)[None, :]) & 1) != 0
            a = tl.load(x[:, None] + shift[None, :], mask=inside, other=0.0, cache_modifier=CACHE)
            at = w + row[:, None] * N + columns[None, :]
            if K % BK != 0:
                b = tl.load(at, mask=(row[:, None] < K) & wide, other=0.0)
            elif N % BN != 0:
                b = tl.load(at, mask=wide, other=0.0)
            else:
                b = tl.load(at)
            acc = tl.dot(a, b, acc)
    return acc


@triton.jit
def conv(x0, x1, w, b, w2, b2, r, y, rows,
         HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr,
         STEP0: tl.constexpr, STEP1: tl.constexpr, STEP_R: tl.constexpr, STEP_Y: tl.constexpr,
         C0: tl.constexpr, C1: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
         PAD: tl.constexpr, ZOOM0: tl.constexpr, ZOOM1: tl.constexpr, ACT: tl.constexpr,
         N2: tl.constexpr, ACT2: tl.constexpr, STORE: tl.constexpr, PLANE: tl.constexpr, ITEM: tl.constexpr,
         COUNT: tl.constexpr, BINS: tl.constexpr, CELL: tl.constexpr, CORNERS: tl.constexpr,
         SPREAD: tl.constexpr, QUAD: tl.constexpr, PACK: tl.constexpr,
         BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, BN2: tl.constexpr, TW: tl.constexpr,
         CACHE: tl.constexpr):  # fmt: skip
    """Compute a convolution and everything around it; see :class:`yolotrt.backends.fused.steps.Conv`.

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
    acc = tl.zeros((BM, BN), tl.float32)
    acc = products(acc, at0, bits, w, columns, STEP0, IN_WIDTH // ZOOM0, C0, N, KERNEL, ACROSS, BN, BK,
                   CACHE)  # fmt: skip
    if x1 is not None:
        if DIRECT and ZOOM1 == 1:
            at1 = x1 + pixel * STEP1
        else:
            line = image * (IN_HEIGHT // ZOOM1) + y0 // ZOOM1
            at1 = x1 + (line * (IN_WIDTH // ZOOM1) + xx // ZOOM1) * STEP1
        w1 = w + KERNEL * KERNEL * C0 * N
        acc = products(acc, at1, bits, w1, columns, STEP1, IN_WIDTH // ZOOM1, C1, N, KERNEL, ACROSS, BN, BK,
                       CACHE)  # fmt: skip
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    if BN2 > 0:
        last = tl.arange(0, BN2)
        at2 = w2 + columns[:, None] * N2 + last[None, :]
        inner = tl.load(at2, mask=(columns[:, None] < N) & (last[None, :] < N2), other=0.0)
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
    EACH_P: tl.constexpr = LAST // PACK
    if r is not None:
        beside = columns // EACH_P * STEP_R + columns % EACH_P
        at_r = r + pixel[:, None] * (PACK * STEP_R) + beside[None, :]
        v += tl.load(at_r, mask=there, other=0.0).to(tl.float32)
    if STORE == 0:
        beside = columns // EACH_P * STEP_Y + columns % EACH_P
        tl.store(y + pixel[:, None] * (PACK * STEP_Y) + beside[None, :], v.to(tl.float16), mask=there)
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
    acc = products(acc, at, bits, w + down * (6 * C * N), columns, STEP, WIDTH, C, N, 2, 3, BN, BK, "")
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


@triton.jit
def stem_1(x, bits, NUMBER: tl.constexpr, IN_HEIGHT: tl.constexpr, IN_WIDTH: tl.constexpr,
           CHANNELS: tl.constexpr, KERNEL: tl.constexpr):  # fmt: skip
    """Return one value per pixel of what the first convolution sums up: channel, row and column of a tap."""
    TAPS: tl.constexpr = KERNEL * KERNEL
    if NUMBER >= CHANNELS * TAPS:
        return tl.zeros_like(bits).to(tl.float16)
    TAP: tl.constexpr = NUMBER % TAPS
    SHIFT: tl.constexpr = (NUMBER // TAPS * IN_HEIGHT + TAP // KERNEL) * IN_WIDTH + TAP % KERNEL
    return tl.load(x + SHIFT, mask=((bits >> TAP) & 1) != 0, other=0.0)


@triton.jit
def stem_2(x, bits, NUMBER: tl.constexpr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr,
           K: tl.constexpr):  # fmt: skip
    return tl.join(stem_1(x, bits, NUMBER, H, W, C, K), stem_1(x, bits, NUMBER + 16, H, W, C, K))


@triton.jit
def stem_4(x, bits, NUMBER: tl.constexpr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr,
           K: tl.constexpr):  # fmt: skip
    return tl.join(stem_2(x, bits, NUMBER, H, W, C, K), stem_2(x, bits, NUMBER + 8, H, W, C, K))


@triton.jit
def stem_8(x, bits, NUMBER: tl.constexpr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr,
           K: tl.constexpr):  # fmt: skip
    return tl.join(stem_4(x, bits, NUMBER, H, W, C, K), stem_4(x, bits, NUMBER + 4, H, W, C, K))


@triton.jit
def stem_16(x, bits, NUMBER: tl.constexpr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr,
            K: tl.constexpr):  # fmt: skip
    return tl.join(stem_8(x, bits, NUMBER, H, W, C, K), stem_8(x, bits, NUMBER + 2, H, W, C, K))


@triton.jit
def stem(x, w, b, y, rows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr,
         IN_WIDTH: tl.constexpr, STEP_Y: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr,
         KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, ACT: tl.constexpr, BM: tl.constexpr,
         BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution from (batch, channels, height, width) FP16; at most 32 products each.

    Each thread loads all that its pixels need and lays it out as a matrix's row: neighbouring threads load
    neighbouring pixels, which a gather of whole rows would not.
    """
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, HEIGHT, WIDTH, BM, TW)
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    bits = taps_inside(y0, x0, valid, HEIGHT, WIDTH, IN_HEIGHT, IN_WIDTH, KERNEL, KERNEL, STRIDE, STRIDE, PAD)
    at = x + (image * (CHANNELS * IN_HEIGHT) + y0) * IN_WIDTH + x0
    a = tl.join(stem_16(at, bits, 0, IN_HEIGHT, IN_WIDTH, CHANNELS, KERNEL),
                stem_16(at, bits, 1, IN_HEIGHT, IN_WIDTH, CHANNELS, KERNEL))  # fmt: skip
    a = tl.reshape(a, (BM, 32))
    k = tl.arange(0, 32)
    there = (k < CHANNELS * KERNEL * KERNEL)[:, None] & (columns < N)[None, :]
    acc = tl.dot(a, tl.load(w + k[:, None] * N + columns[None, :], mask=there, other=0.0))
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    if N % BN == 0:
        mask = valid[:, None]
    else:
        mask = valid[:, None] & (columns[None, :] < N)
    tl.store(y + pixel[:, None] * STEP_Y + columns[None, :], v.to(tl.float16), mask=mask)


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
def depthwise(x, tw, tb, r, y, rows, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IN_HEIGHT: tl.constexpr,
              IN_WIDTH: tl.constexpr, STEP: tl.constexpr, STEP_R: tl.constexpr, STEP_Y: tl.constexpr,
              C: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
              ACT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
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
    tl.store(y + pixel[:, None] * STEP_Y + c[None, :], v.to(tl.float16), mask=there)


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


@triton.jit
def best(x, y, ROWS: tl.constexpr, ITEM: tl.constexpr, CLASSES: tl.constexpr, BM: tl.constexpr):
    """Write the highest of a row's class scores; rows are planes of FP32, one image after the other."""
    BLOCKS: tl.constexpr = (ROWS + BM - 1) // BM
    image = tl.program_id(0) // BLOCKS
    i = (tl.program_id(0) % BLOCKS) * BM + tl.arange(0, BM)
    there = i < ROWS
    most = tl.zeros((BM,), tl.float32)
    for c in range(CLASSES):
        most = tl.maximum(most, tl.load(x + image * ITEM + c * ROWS + i, mask=there, other=0.0))
    tl.store(y + image * ROWS + i, most, mask=there)


@triton.jit
def kth_largest(keys, KEEP: tl.constexpr):
    """Return the KEEP-th largest of positive FP32 values given as integers, bit by bit."""
    found = 0
    for step in range(31):
        higher = found | (1 << (30 - step))
        enough = tl.sum((keys >= higher).to(tl.int32), 0) >= KEEP
        found = tl.where(enough, higher, found)
    return found


@triton.jit
def places_of(keys, KEEP: tl.constexpr):
    """Return which values are the KEEP largest, the first of equal ones, and their places in a list."""
    limit = kth_largest(keys, KEEP)
    above = keys > limit
    equal = (keys == limit).to(tl.int32)
    room = KEEP - tl.sum(above.to(tl.int32), 0)
    chosen = above | ((equal != 0) & (tl.cumsum(equal, 0) <= room))
    return chosen, tl.cumsum(chosen.to(tl.int32), 0) - 1


@triton.jit
def ranks_of(scores, mine, KEEP: tl.constexpr, BK: tl.constexpr):
    """Return the rank of each of KEEP scores that lie in a list; of equal ones the first is better."""
    i = tl.arange(0, BK)
    rank = tl.zeros((BK,), tl.int32)
    for start in range(0, KEEP, 16):
        j = start + tl.arange(0, 16)
        other = tl.load(scores + j, mask=j < KEEP, other=-1)[None, :]
        better = (other > mine[:, None]) | ((other == mine[:, None]) & (j[None, :] < i[:, None]))
        rank += tl.sum(better.to(tl.int32), 1)
    return rank


@triton.jit
def select(x, scores, scratch, y, ROWS: tl.constexpr, ITEM: tl.constexpr, CLASSES: tl.constexpr,
           COEFFS: tl.constexpr, KEEP: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
           BK: tl.constexpr, BCOEFFS: tl.constexpr):  # fmt: skip
    """Write the best detections of one image: the best rows first, then the best pairs of row and class.

    ``scratch`` holds 3 x BK integers an image: what was chosen, its scores, and the rows sorted by score.
    """
    image = tl.program_id(0)
    x += image * ITEM
    list_at = scratch + image * 3 * BK
    scores_at = list_at + BK
    rows_at = list_at + 2 * BK
    k = tl.arange(0, BK)
    listed = k < KEEP
    # The best rows, sorted by falling score.
    i = tl.arange(0, BC)
    keys = tl.load(scores + image * ROWS + i, mask=i < ROWS, other=-1.0).to(tl.int32, bitcast=True)
    chosen, place = places_of(keys, KEEP)
    tl.store(list_at + place, i, mask=chosen)
    tl.store(scores_at + place, keys, mask=chosen)
    tl.debug_barrier()
    row = tl.load(list_at + k, mask=listed, other=0)
    score = tl.load(scores_at + k, mask=listed, other=-1)
    tl.store(rows_at + ranks_of(scores_at, score, KEEP, BK), row, mask=listed)
    tl.debug_barrier()
    # The best pairs among them.
    p = tl.arange(0, BP)
    owner = tl.load(rows_at + p // CLASSES, mask=p < KEEP * CLASSES, other=0)
    at = x + (4 + p % CLASSES) * ROWS + owner
    pair = tl.load(at, mask=p < KEEP * CLASSES, other=-1.0).to(tl.int32, bitcast=True)
    chosen, place = places_of(pair, KEEP)
    tl.store(list_at + place, p, mask=chosen)
    tl.store(scores_at + place, pair, mask=chosen)
    tl.debug_barrier()
    which = tl.load(list_at + k, mask=listed, other=0)
    score = tl.load(scores_at + k, mask=listed, other=-1)
    rank = ranks_of(scores_at, score, KEEP, BK)
    row = tl.load(rows_at + which // CLASSES, mask=listed, other=0)
    value = score.to(tl.float32, bitcast=True)
    to = y + image * (KEEP * (6 + COEFFS)) + rank * (6 + COEFFS)
    for side in tl.static_range(4):
        tl.store(to + side, tl.load(x + side * ROWS + row, mask=listed, other=0.0), mask=listed)
    tl.store(to + 4, value, mask=listed)
    tl.store(to + 5, (which % CLASSES).to(tl.float32), mask=listed)
    c = tl.arange(0, BCOEFFS)
    both = listed[:, None] & (c < COEFFS)[None, :]
    factors = tl.load(x + ((4 + CLASSES + c) * ROWS)[None, :] + row[:, None], mask=both, other=0.0)
    tl.store(to[:, None] + (6 + c)[None, :], factors, mask=both)
