"""Rounding to INT8, and results that are stored as that."""

# ruff: noqa: N803, SIM108 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl

from yolotrt.backends.fused.kernels.shared import COMPILED


@triton.jit
def rounded(v):
    """Return FP32 values rounded to the nearest of -128 to 127, halves to even: 4 in 6 instructions."""
    if COMPILED:
        return tl.inline_asm_elementwise(
            "{ .reg .s32 a, b, c, d; .reg .b32 high;"
            " cvt.rni.s32.f32 a, $1; cvt.rni.s32.f32 b, $2; cvt.rni.s32.f32 c, $3; cvt.rni.s32.f32 d, $4;"
            " cvt.pack.sat.s8.s32.b32 high, d, c, 0; cvt.pack.sat.s8.s32.b32 $0, b, a, high; }",
            "=r,f,f,f,f",
            [v],
            dtype=tl.int8,
            is_pure=True,
            pack=4,
        )
    v = tl.minimum(tl.maximum(v, -128.0), 127.0)
    return ((v + 12582912.0) - 12582912.0).to(tl.int8)  # FP32 has no room for halves up there


@triton.jit
def narrowed(v, kind: tl.constexpr):
    """Return FP32 values as INT8, or in another type of one byte that a pointer may have: FP8."""
    return rounded(v) if kind == tl.int8 else v.to(kind)


@triton.jit
def put(y, y8, steps, v, at, at8, columns, there, N: tl.constexpr, FIRST: tl.constexpr, END: tl.constexpr,
        FIRST_8: tl.constexpr, END_8: tl.constexpr):  # fmt: skip
    """Store some columns as FP16, and some as INT8 in the steps of each; an end of 0 is all of them."""
    if y is not None:
        if END > 0:
            mask = there & ((columns >= FIRST) & (columns < END))[None, :]
        else:
            mask = there
        tl.store(y + at, v.to(tl.float16), mask=mask)
    if y8 is not None:
        inverse = tl.load(steps + columns, mask=columns < N, other=0.0)
        if END_8 > 0:
            mask = there & ((columns >= FIRST_8) & (columns < END_8))[None, :]
        else:
            mask = there
        tl.store(y8 + at8, narrowed(v * inverse[None, :], y8.dtype.element_ty), mask=mask)
