"""The kernels, in Triton's language. Compiled ahead of time; nothing here is imported to run an engine.

All read and write feature maps of (batch, height, width, channels) FP16 and compute in FP32. ``rows`` are
pixels of all images, one after the other; a program works on ``BM`` of them, taken in a row or as a patch of
``TW`` pixels width (whose neighbours then lie in the cache). Names in capitals are known when compiled.

Activations: 0 none, 1 SiLU, 2 sigmoid.
"""

# ruff: noqa: N803, D103 - the compiler's naming: capitals are constants; one line of help is above
# mypy: ignore-errors

import triton
import triton.language as tl


@triton.jit
def activate(v, ACT: tl.constexpr):
    if ACT == 1:
        return v / (1.0 + tl.exp(-v))
    if ACT == 2:
        return 1.0 / (1.0 + tl.exp(-v))
    return v


@triton.jit
def pixels_of(block, rows, height, width, BM: tl.constexpr, TW: tl.constexpr):
    """Return image, y, x and number of the pixels of a block, and which of them exist."""
    if TW == 0:
        pixel = block * BM + tl.arange(0, BM)
        valid = pixel < rows
        x = pixel % width
        t = pixel // width
        y = t % height
        image = t // height
    else:
        TH: tl.constexpr = BM // TW
        across = tl.cdiv(width, TW)
        down = tl.cdiv(height, TH)
        i = tl.arange(0, BM)
        t = block // across
        x = (block % across) * TW + i % TW
        y = (t % down) * TH + i // TW
        image = t // down + tl.zeros((BM,), tl.int32)
        valid = (x < width) & (y < height)
        pixel = (image * height + y) * width + x
    return image, y, x, pixel, valid


@triton.jit
def taps_inside(y0, x0, height, width, valid, KERNEL: tl.constexpr):
    """Return for each pixel a word whose bits say which taps lie inside the image."""
    bits = tl.zeros_like(y0)
    for dy in tl.static_range(KERNEL):
        row = valid & (y0 + dy >= 0) & (y0 + dy < height)
        for dx in tl.static_range(KERNEL):
            inside = row & (x0 + dx >= 0) & (x0 + dx < width)
            bits |= inside.to(tl.int32) << (dy * KERNEL + dx)
    return bits


@triton.jit
def products(acc, x, stride, width, bits, w, columns,
             C: tl.constexpr, N: tl.constexpr, WS: tl.constexpr, KERNEL: tl.constexpr, BM: tl.constexpr,
             BN: tl.constexpr, BK: tl.constexpr, CACHE: tl.constexpr):  # fmt: skip
    """Add the products of all taps of one source: ``x`` are pointers to each pixel's first tap."""
    TAPS: tl.constexpr = KERNEL * KERNEL
    k = tl.arange(0, BK)
    wide = columns[None, :] < WS
    if C % BK == 0 or KERNEL == 1 or BK < C:
        CHUNKS: tl.constexpr = (C + BK - 1) // BK
        for i in range(TAPS * CHUNKS):
            tap = i // CHUNKS
            c = (i % CHUNKS) * BK
            shift = (tap // KERNEL * width + tap % KERNEL) * stride + c
            inside = ((bits >> tap) & 1) != 0
            if C % BK == 0:
                a = tl.load(x[:, None] + (shift + k)[None, :], mask=inside[:, None], other=0.0,
                            cache_modifier=CACHE)  # fmt: skip
            else:
                there = inside[:, None] & ((c + k)[None, :] < C)
                a = tl.load(x[:, None] + (shift + k)[None, :], mask=there, other=0.0, cache_modifier=CACHE)
            at = w + (tap * C + c + k)[:, None] * WS + columns[None, :]
            if C % BK != 0:
                b = tl.load(at, mask=((c + k)[:, None] < C) & wide, other=0.0)
            elif WS % BN != 0:
                b = tl.load(at, mask=wide, other=0.0)
            else:
                b = tl.load(at)
            acc = tl.dot(a, b, acc)
    else:  # several taps in one step
        K: tl.constexpr = TAPS * C
        for i in range((K + BK - 1) // BK):
            row = i * BK + k
            tap = row // C
            shift = (tap // KERNEL * width + tap % KERNEL) * stride + row % C
            inside = ((bits[:, None] >> tl.minimum(tap, 31)[None, :]) & 1) != 0
            a = tl.load(x[:, None] + shift[None, :], mask=inside, other=0.0, cache_modifier=CACHE)
            at = w + row[:, None] * WS + columns[None, :]
            if K % BK != 0:
                b = tl.load(at, mask=(row[:, None] < K) & wide, other=0.0)
            elif WS % BN != 0:
                b = tl.load(at, mask=wide, other=0.0)
            else:
                b = tl.load(at)
            acc = tl.dot(a, b, acc)
    return acc


@triton.jit
def depthwise_products(acc, x, stride, width, bits, tw, tb, w, columns,
                       C: tl.constexpr, WS: tl.constexpr, KERNEL: tl.constexpr, TACT: tl.constexpr,
                       BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """Add the products of what a depthwise convolution of the source gives."""
    k = tl.arange(0, BK)
    for i in range((C + BK - 1) // BK):
        c = i * BK + k
        there = c < C
        d = tl.zeros((BM, BK), tl.float32)
        for tap in tl.static_range(KERNEL * KERNEL):
            shift = (tap // KERNEL * width + tap % KERNEL) * stride
            inside = ((bits >> tap) & 1) != 0
            at = x[:, None] + (shift + c)[None, :]
            if C % BK == 0:
                v = tl.load(at, mask=inside[:, None], other=0.0)
                t = tl.load(tw + tap * C + c)
            else:
                v = tl.load(at, mask=inside[:, None] & there[None, :], other=0.0)
                t = tl.load(tw + tap * C + c, mask=there, other=0.0)
            d += v.to(tl.float32) * t.to(tl.float32)[None, :]
        d += tl.load(tb + c, mask=there, other=0.0)[None, :]
        a = activate(d, TACT).to(tl.float16)
        at = w + c[:, None] * WS + columns[None, :]
        b = tl.load(at, mask=there[:, None] & (columns[None, :] < WS), other=0.0)
        acc = tl.dot(a, b, acc)
    return acc


@triton.jit
def conv(x0, x1, w, b, w2, b2, tw, tb, r, y,
         rows, height, width, in_height, in_width, stride0, stride1, stride_r, stride_y, plane, item, cell,
         C0: tl.constexpr, C1: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
         PAD: tl.constexpr, ZOOM0: tl.constexpr, ZOOM1: tl.constexpr, ACT: tl.constexpr, TACT: tl.constexpr,
         N2: tl.constexpr, ACT2: tl.constexpr, STORE: tl.constexpr, COUNT: tl.constexpr,
         BINS: tl.constexpr, CORNERS: tl.constexpr, SPREAD: tl.constexpr, QUAD: tl.constexpr,
         BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, BN2: tl.constexpr, TW: tl.constexpr,
         CACHE: tl.constexpr):  # fmt: skip
    """Compute a convolution and everything around it; see :class:`yolotrt.backends.fused.steps.Conv`.

    STORE: 0 channels of a map, 1 planes, 2 boxes, 3 spread pixels.
    """
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    block = tl.program_id(0) // BLOCKS
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(block, rows, height, width, BM, TW)
    y0 = oy * STRIDE - PAD
    xx = ox * STRIDE - PAD
    if KERNEL == 1 and PAD == 0:
        bits = valid.to(tl.int32)
    else:
        bits = taps_inside(y0, xx, in_height, in_width, valid, KERNEL)
    if KERNEL == 1 and STRIDE == 1 and PAD == 0 and ZOOM0 == 1:
        first = pixel
    else:
        first = (image * (in_height // ZOOM0) + y0 // ZOOM0) * (in_width // ZOOM0) + xx // ZOOM0
    at0 = x0 + first * stride0
    acc = tl.zeros((BM, BN), tl.float32)
    if tw is not None:
        acc = depthwise_products(acc, at0, stride0, in_width, bits, tw, tb, w, columns,
                                 C0, N, KERNEL, TACT, BM, BN, BK)  # fmt: skip
    else:
        acc = products(acc, at0, stride0, in_width // ZOOM0, bits, w, columns,
                       C0, N, N, KERNEL, BM, BN, BK, CACHE)  # fmt: skip
    if x1 is not None:
        if KERNEL == 1 and STRIDE == 1 and PAD == 0 and ZOOM1 == 1:
            second = pixel
        else:
            second = (image * (in_height // ZOOM1) + y0 // ZOOM1) * (in_width // ZOOM1) + xx // ZOOM1
        acc = products(acc, x1 + second * stride1, stride1, in_width // ZOOM1, bits,
                       w + KERNEL * KERNEL * C0 * N, columns, C1, N, N, KERNEL, BM, BN, BK, CACHE)  # fmt: skip
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
    if r is not None:
        v += tl.load(r + pixel[:, None] * stride_r + columns[None, :], mask=there, other=0.0).to(tl.float32)
    if STORE == 0:
        tl.store(y + pixel[:, None] * stride_y + columns[None, :], v.to(tl.float16), mask=there)
    elif STORE == 1:
        # Pixels along the second axis, so that neighbouring threads store neighbouring pixels.
        if QUAD > 1:
            image = tl.max_constancy(image, QUAD)
            within = tl.max_contiguous(tl.multiple_of(pixel - image * (height * width), QUAD), QUAD)
        else:
            within = oy * width + ox
        to = y + columns[:, None] * plane + (image * item + within)[None, :]
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
        size = cell.to(tl.float32)
        to = y + image * item + oy * width + ox
        if CORNERS:
            tl.store(to, (cx - left) * size, mask=valid)
            tl.store(to + plane, (cy - top) * size, mask=valid)
            tl.store(to + 2 * plane, (cx + right) * size, mask=valid)
            tl.store(to + 3 * plane, (cy + bottom) * size, mask=valid)
        else:
            tl.store(to, (cx + (right - left) * 0.5) * size, mask=valid)
            tl.store(to + plane, (cy + (bottom - top) * 0.5) * size, mask=valid)
            tl.store(to + 2 * plane, (left + right) * size, mask=valid)
            tl.store(to + 3 * plane, (top + bottom) * size, mask=valid)
    else:
        EACH: tl.constexpr = N // (SPREAD * SPREAD)
        part = columns // EACH
        down = (image * height + oy) * SPREAD
        to_row = down[:, None] + (part // SPREAD)[None, :]
        to = (to_row * width + ox[:, None]) * SPREAD + (part % SPREAD)[None, :]
        tl.store(y + to * stride_y + (columns % EACH)[None, :], v.to(tl.float16), mask=there)


@triton.jit
def stem(x, w, b, y, rows, height, width, in_height, in_width, stride_y,
         CHANNELS: tl.constexpr, N: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
         PAD: tl.constexpr, ACT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
         TW: tl.constexpr):  # fmt: skip
    """Compute the first convolution from (batch, channels, height, width) FP16."""
    BLOCKS: tl.constexpr = (N + BN - 1) // BN
    TAPS: tl.constexpr = KERNEL * KERNEL
    columns = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, height, width, BM, TW)
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    bits = taps_inside(y0, x0, in_height, in_width, valid, KERNEL)
    at = x + (image * CHANNELS * in_height + y0) * in_width + x0
    k = tl.arange(0, BK)
    channel = k // TAPS
    tap = k % TAPS
    shift = (channel * in_height + tap // KERNEL) * in_width + tap % KERNEL
    # Pixels along the second axis, so that neighbouring threads load neighbouring pixels.
    inside = (((bits[None, :] >> tap[:, None]) & 1) != 0) & (channel < CHANNELS)[:, None]
    a = tl.load(at[None, :] + shift[:, None], mask=inside, other=0.0)
    rows_there = (k < CHANNELS * TAPS)[:, None]
    m = tl.load(w + k[:, None] * N + columns[None, :], mask=rows_there & (columns < N)[None, :], other=0.0)
    acc = tl.dot(tl.trans(a), m)
    v = activate(acc + tl.load(b + columns, mask=columns < N, other=0.0)[None, :], ACT)
    there = valid[:, None] & (columns[None, :] < N)
    tl.store(y + pixel[:, None] * stride_y + columns[None, :], v.to(tl.float16), mask=there)


@triton.jit
def depthwise(x, tw, tb, r, y, rows, height, width, in_height, in_width, stride_x, stride_r, stride_y,
              C: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
              ACT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, TW: tl.constexpr):  # fmt: skip
    """Compute a depthwise convolution."""
    BLOCKS: tl.constexpr = (C + BN - 1) // BN
    c = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, height, width, BM, TW)
    y0 = oy * STRIDE - PAD
    x0 = ox * STRIDE - PAD
    there = (c < C)[None, :]
    d = tl.zeros((BM, BN), tl.float32)
    for dy in range(KERNEL):
        row = valid & (y0 + dy >= 0) & (y0 + dy < in_height)
        for dx in tl.static_range(KERNEL):
            inside = row & (x0 + dx >= 0) & (x0 + dx < in_width)
            at = x + ((image * in_height + y0 + dy) * in_width + x0 + dx) * stride_x
            v = tl.load(at[:, None] + c[None, :], mask=inside[:, None] & there, other=0.0)
            t = tl.load(tw + (dy * KERNEL + dx) * C + c, mask=c < C, other=0.0)
            d += v.to(tl.float32) * t.to(tl.float32)[None, :]
    v = activate(d + tl.load(tb + c, mask=c < C, other=0.0)[None, :], ACT)
    there = there & valid[:, None]
    if r is not None:
        v += tl.load(r + pixel[:, None] * stride_r + c[None, :], mask=there, other=0.0).to(tl.float32)
    tl.store(y + pixel[:, None] * stride_y + c[None, :], v.to(tl.float16), mask=there)


@triton.jit
def pools(x, y1, y2, y3, rows, height, width, stride_x, stride_1, stride_2, stride_3,
          C: tl.constexpr, KERNEL: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
          TW: tl.constexpr):  # fmt: skip
    """Compute one to three max poolings, each of the one before: windows of one, two and three radii."""
    RADIUS: tl.constexpr = KERNEL // 2
    COUNT: tl.constexpr = 1 if y2 is None else (2 if y3 is None else 3)
    REACH: tl.constexpr = COUNT * RADIUS
    BLOCKS: tl.constexpr = (C + BN - 1) // BN
    c = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, height, width, BM, TW)
    least = float("-inf")
    m1 = tl.full((BM, BN), least, tl.float16)
    m2 = m1
    m3 = m1
    for dy in range(-REACH, REACH + 1):
        row = valid & (oy + dy >= 0) & (oy + dy < height)
        n1 = tl.full((BM, BN), least, tl.float16)
        n2 = n1
        n3 = n1
        for dx in tl.static_range(-REACH, REACH + 1):
            inside = row & (ox + dx >= 0) & (ox + dx < width)
            at = x + ((image * height + oy + dy) * width + ox + dx) * stride_x
            v = tl.load(at[:, None] + c[None, :], mask=inside[:, None] & (c < C)[None, :], other=least)
            if dx >= -RADIUS and dx <= RADIUS:
                n1 = tl.maximum(n1, v)
            if dx >= -2 * RADIUS and dx <= 2 * RADIUS:
                n2 = tl.maximum(n2, v)
            n3 = tl.maximum(n3, v)
        far = tl.abs(dy)
        m1 = tl.maximum(m1, tl.where(far <= RADIUS, n1, least).to(tl.float16))
        m2 = tl.maximum(m2, tl.where(far <= 2 * RADIUS, n2, least).to(tl.float16))
        m3 = tl.maximum(m3, n3)
    there = valid[:, None] & (c < C)[None, :]
    tl.store(y1 + pixel[:, None] * stride_1 + c[None, :], m1, mask=there)
    if y2 is not None:
        tl.store(y2 + pixel[:, None] * stride_2 + c[None, :], m2, mask=there)
    if y3 is not None:
        tl.store(y3 + pixel[:, None] * stride_3 + c[None, :], m3, mask=there)


@triton.jit
def attention(x, tw, tb, y, height, width, stride_x, stride_y,
              HEADS: tl.constexpr, KEY: tl.constexpr, VALUE: tl.constexpr, AREAS: tl.constexpr,
              SCALE: tl.constexpr, KERNEL: tl.constexpr, ACT: tl.constexpr, BM: tl.constexpr,
              BN: tl.constexpr, BKEY: tl.constexpr, BVALUE: tl.constexpr):  # fmt: skip
    """Compute softmax attention over the pixels of an area, and the positional convolution."""
    EACH: tl.constexpr = 2 * KEY + VALUE
    length = height * width // AREAS
    blocks = tl.cdiv(length, BM)
    block = tl.program_id(0) % blocks
    part = tl.program_id(0) // blocks
    head = part % HEADS
    area = part // HEADS  # of all images
    i = block * BM + tl.arange(0, BM)
    j = tl.arange(0, BN)
    ck = tl.arange(0, BKEY)
    cv = tl.arange(0, BVALUE)
    base = x + area * length * stride_x + head * EACH
    q = tl.load(base + i[:, None] * stride_x + ck[None, :],
                mask=(i < length)[:, None] & (ck < KEY)[None, :], other=0.0)  # fmt: skip
    most = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, BVALUE), tl.float32)
    for start in range(0, length, BN):
        there = start + j < length
        at = base + (start + j) * stride_x
        k = tl.load(at[None, :] + (KEY + ck)[:, None], mask=there[None, :] & (ck < KEY)[:, None], other=0.0)
        s = tl.dot(q, k) * SCALE
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
    per_image = height * width
    pixel = area * length + i
    valid = i < length
    image = pixel // per_image
    oy = pixel % per_image // width
    ox = pixel % width
    PAD: tl.constexpr = KERNEL // 2
    channels = head * VALUE + cv
    d = tl.zeros((BM, BVALUE), tl.float32)
    for dy in range(KERNEL):
        iy = oy + dy - PAD
        row = valid & (iy >= 0) & (iy < height)
        for dx in tl.static_range(KERNEL):
            ix = ox + dx - PAD
            inside = row & (ix >= 0) & (ix < width)
            at = x + ((image * height + iy) * width + ix) * stride_x + head * EACH + 2 * KEY
            v = tl.load(at[:, None] + cv[None, :], mask=inside[:, None] & (cv < VALUE)[None, :], other=0.0)
            weight = tl.load(tw + (dy * KERNEL + dx) * HEADS * VALUE + channels, mask=cv < VALUE, other=0.0)
            d += v.to(tl.float32) * weight.to(tl.float32)[None, :]
    acc += activate(d + tl.load(tb + channels, mask=cv < VALUE, other=0.0)[None, :], ACT)
    tl.store(y + pixel[:, None] * stride_y + channels[None, :], acc.to(tl.float16),
             mask=valid[:, None] & (cv < VALUE)[None, :])  # fmt: skip


@triton.jit
def total(x0, x1, x2, y, rows, height, width, stride0, stride1, stride2, stride_y,
          C: tl.constexpr, ZOOM0: tl.constexpr, ZOOM1: tl.constexpr, ZOOM2: tl.constexpr,
          BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """Add up to three maps, each perhaps enlarged."""
    BLOCKS: tl.constexpr = (C + BN - 1) // BN
    c = (tl.program_id(0) % BLOCKS) * BN + tl.arange(0, BN)
    image, oy, ox, pixel, valid = pixels_of(tl.program_id(0) // BLOCKS, rows, height, width, BM, 0)
    there = valid[:, None] & (c < C)[None, :]
    at = (image * (height // ZOOM0) + oy // ZOOM0) * (width // ZOOM0) + ox // ZOOM0
    v = tl.load(x0 + at[:, None] * stride0 + c[None, :], mask=there, other=0.0).to(tl.float32)
    if x1 is not None:
        at = (image * (height // ZOOM1) + oy // ZOOM1) * (width // ZOOM1) + ox // ZOOM1
        v += tl.load(x1 + at[:, None] * stride1 + c[None, :], mask=there, other=0.0).to(tl.float32)
    if x2 is not None:
        at = (image * (height // ZOOM2) + oy // ZOOM2) * (width // ZOOM2) + ox // ZOOM2
        v += tl.load(x2 + at[:, None] * stride2 + c[None, :], mask=there, other=0.0).to(tl.float32)
    tl.store(y + pixel[:, None] * stride_y + c[None, :], v.to(tl.float16), mask=there)


@triton.jit
def best(x, y, count, item, CLASSES: tl.constexpr, BM: tl.constexpr):
    """Write the highest of a row's class scores; rows are planes of FP32, one image after the other."""
    blocks = tl.cdiv(count, BM)
    image = tl.program_id(0) // blocks
    i = (tl.program_id(0) % blocks) * BM + tl.arange(0, BM)
    there = i < count
    most = tl.zeros((BM,), tl.float32)
    for c in range(CLASSES):
        most = tl.maximum(most, tl.load(x + image * item + c * count + i, mask=there, other=0.0))
    tl.store(y + image * count + i, most, mask=there)


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
def ranks_of(score, KEEP: tl.constexpr, BK: tl.constexpr):
    """Return the rank of each of KEEP scores, given in order; of equal ones the first is better."""
    i = tl.arange(0, BK)
    rank = tl.zeros((BK,), tl.int32)
    mine = score
    for j in range(KEEP):
        other = tl.sum(tl.where(i == j, mine, 0), 0)
        rank += ((other > mine) | ((other == mine) & (j < i))).to(tl.int32)
    return rank


@triton.jit
def select(x, scores, scratch, y, count, item, out_item,
           CLASSES: tl.constexpr, COEFFS: tl.constexpr, KEEP: tl.constexpr, BC: tl.constexpr,
           BP: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """Write the best detections of one image: the best rows first, then the best pairs of row and class.

    ``scratch`` holds 2 x BK integers an image.
    """
    image = tl.program_id(0)
    x += image * item
    list_at = scratch + image * 2 * BK
    k = tl.arange(0, BK)
    listed = k < KEEP
    # The best rows, sorted by falling score.
    i = tl.arange(0, BC)
    keys = tl.load(scores + image * count + i, mask=i < count, other=-1.0).to(tl.int32, bitcast=True)
    chosen, place = places_of(keys, KEEP)
    tl.store(list_at + place, i, mask=chosen)
    tl.debug_barrier()
    row = tl.load(list_at + k, mask=listed, other=0)
    score = tl.load(scores + image * count + row, mask=listed, other=-1.0).to(tl.int32, bitcast=True)
    rank = ranks_of(score, KEEP, BK)
    tl.store(list_at + BK + rank, row, mask=listed)
    tl.debug_barrier()
    # The best pairs among them.
    p = tl.arange(0, BP)
    owner = tl.load(list_at + BK + p // CLASSES, mask=p < KEEP * CLASSES, other=0)
    at = x + (4 + p % CLASSES) * count + owner
    pair = tl.load(at, mask=p < KEEP * CLASSES, other=-1.0).to(tl.int32, bitcast=True)
    chosen, place = places_of(pair, KEEP)
    tl.debug_barrier()
    tl.store(list_at + place, p, mask=chosen)
    tl.debug_barrier()
    which = tl.load(list_at + k, mask=listed, other=0)
    row = tl.load(list_at + BK + which // CLASSES, mask=listed, other=0)
    value = tl.load(x + (4 + which % CLASSES) * count + row, mask=listed, other=-1.0)
    rank = ranks_of(value.to(tl.int32, bitcast=True), KEEP, BK)
    to = y + image * out_item + rank * (6 + COEFFS)
    for side in tl.static_range(4):
        tl.store(to + side, tl.load(x + side * count + row, mask=listed, other=0.0), mask=listed)
    tl.store(to + 4, value, mask=listed)
    tl.store(to + 5, (which % CLASSES).to(tl.float32), mask=listed)
    for c in range(COEFFS):
        tl.store(
            to + 6 + c, tl.load(x + (4 + CLASSES + c) * count + row, mask=listed, other=0.0), mask=listed
        )
