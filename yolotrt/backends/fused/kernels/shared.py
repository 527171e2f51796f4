"""What several kernels do: activations, and which pixels a program works on."""

# ruff: noqa: D103, N803, N806 - the compiler's naming: what is known when compiled is in capitals
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
def silu_of_one(v):
    """Return SiLU with one instruction of the special unit: off by 0.0003 of the value, too much for FP16."""
    half = v * 0.5
    if COMPILED:
        t = tl.inline_asm_elementwise(
            "tanh.approx.f32 $0, $1;", "=f,f", [half], dtype=tl.float32, is_pure=True, pack=1
        )
        return half * t + half
    return v / (1.0 + tl.exp(-v))


@triton.jit
def activate(v, ACT: tl.constexpr):
    if ACT == 3:
        return silu_of_one(v)
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
def row(one: tl.constexpr, at, known, NUMBER: tl.constexpr, STEP: tl.constexpr):
    """Return (pixels, 2, 2, ...) values: reshaped, rows of 32 / STEP of them, NUMBER, NUMBER + STEP, ...

    Args:
        one: Returns the value of one number for each pixel.
        at: What it is given: where pixels are.
        known: And what is known when compiled.
        NUMBER: The first number.
        STEP: From one number to the next; 1 from the caller.
    """
    if STEP == 32:
        values = one(at, known, NUMBER)
    else:  # not behind a return: what is behind one is compiled as well, and this without end
        values = tl.join(row(one, at, known, NUMBER, 2 * STEP), row(one, at, known, NUMBER + STEP, 2 * STEP))
    return values
