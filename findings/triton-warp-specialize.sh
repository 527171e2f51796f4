#!/usr/bin/env bash
# triton 3.9.0, tl.range(..., num_stages=3, warp_specialize=True) compiled for sm_80. Needs no GPU.
#
# The guess: warp_specialize is a hint. It is said to work on Blackwell only, so elsewhere it is ignored and
# the loop is pipelined as num_stages asks.
# What it does: for Ampere it silently undoes the pipeline. Without it the loop copies its tiles ahead with
# cp.async into several buffers of shared memory. With it there is not one cp.async left, the shared memory
# shrinks to a single buffer, and each multiplication waits for plain loads. num_stages is still there and
# means nothing; nothing is said.
# Why it matters: one kernel source for a YOLO (an im2col convolution, a 1x1 convolution) serves several GPU
# generations. The switch that helps the newest one takes the latency hiding from the RTX 30 series and the
# A100, with right results, so only a profile would tell.
#
# Seen (64 x 64 tile of a float16 matrix product, 3 stages, pointers and row length divisible by 16):
#   sm_80, warp_specialize=False   12 cp.async, 0 plain loads, 16384 bytes shared, 16 mma
#   sm_80, warp_specialize=True     0 cp.async, 4 plain loads,  8192 bytes shared, 16 mma
#   sm_86, warp_specialize=False   12 cp.async, 0 plain loads, 16384 bytes shared, 16 mma
#   sm_86, warp_specialize=True     0 cp.async, 4 plain loads,  8192 bytes shared, 16 mma
#   warnings that speak of specialisation: none
#   as stated: the switch takes the pipeline away
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --only-binary :all: triton==3.9.0

cat > "$work/pipeline.py" <<'PY'
import re
import sys
import warnings

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def product(left, right, result, depth, SIDE: tl.constexpr, STEP: tl.constexpr, SPECIALIZE: tl.constexpr):
    """One SIDE x SIDE tile of left [SIDE, depth] times right [depth, SIDE]."""
    side = tl.arange(0, SIDE)
    step = tl.arange(0, STEP)
    total = tl.zeros((SIDE, SIDE), tl.float32)
    for start in tl.range(0, depth, STEP, num_stages=3, warp_specialize=SPECIALIZE):
        at = start + step
        rows = tl.load(left + side[:, None] * depth + at[None, :])
        columns = tl.load(right + at[:, None] * SIDE + side[None, :])
        total = tl.dot(rows, columns, total)
    tl.store(result + side[:, None] * SIDE + side[None, :], total)


def compiled(capability: int, specialize: bool) -> tuple[int, int, int, int]:
    """Return the numbers of cp.async, plain loads, bytes of shared memory and mma."""
    pointers = {"left": "*fp16", "right": "*fp16", "result": "*fp32", "depth": "i32"}
    signature = {**pointers, "SIDE": "constexpr", "STEP": "constexpr", "SPECIALIZE": "constexpr"}
    attributes = {(i,): [["tt.divisibility", 16]] for i in range(len(pointers))}
    source = ASTSource(
        product, signature, constexprs={(4,): 64, (5,): 32, (6,): specialize}, attrs=attributes
    )
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    ptx = kernel.asm["ptx"]
    copies, loads, products = (
        len(re.findall(pattern, ptx))
        for pattern in (r"\bcp\.async\.c[ag]\b", r"\bld\.global\b", r"\bmma\.sync\b")
    )
    print(
        f"sm_{capability}, warp_specialize={specialize!s:<5}  {copies:>3} cp.async, {loads} plain loads, "
        f"{kernel.metadata.shared:>5} bytes shared, {products} mma",
        flush=True,
    )
    return copies, loads, kernel.metadata.shared, products


with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    pairs = [(compiled(sm, False), compiled(sm, True)) for sm in (80, 86)]
about_it = [str(w.message) for w in heard if "speciali" in str(w.message).lower()]
print("warnings that speak of specialisation:", about_it or "none")
for plain, specialized in pairs:
    if not (plain[0] > 0 and plain[1] == 0 and plain[3] == specialized[3]):
        sys.exit("not as stated: the loop is not pipelined without the switch either")
    if specialized[0] or specialized[2] >= plain[2] or about_it:
        sys.exit("not as stated: the pipeline stays, or a warning tells of its loss")
print("as stated: the switch takes the pipeline away")
PY
TRITON_DEFAULT_FP_FUSION=1 TRITON_CACHE_DIR="$work/cache" "$work/venv/bin/python" "$work/pipeline.py"
