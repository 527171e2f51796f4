#!/usr/bin/env bash
# triton 3.9.0, tl.sum compiled for CUDA. Needs no GPU: the PTX is read.
#
# The guess: tl.sum keeps its running sum wide enough. It turns int8 into 32 bits by itself, tl.dot of
# float16 adds in float32, and so does the sum of a float16 tensor in PyTorch. Storing the result as float32
# seems to ask for the same.
# What it does: float16 is added in float16, every addition of the tree, and only the finished sum is made
# float32. 1,024 values of 100 give infinity (float16 ends at 65,504), and other sums lose digits. Only
# integers are widened. dtype=tl.float32 adds in float32 and loads the same 16 bits.
# Why it matters: a kernel of one's own for a YOLO sums pixels (0 to 255), the area of a mask or the bottom
# of a softmax in float16. Small test inputs stay in range, a full tile does not.
#
# Seen (additions of values in the PTX for the sum of 1,024):
#   int8                    sm_80 11 s32             sm_89 11 s32             sm_90 11 s32
#   float16                 sm_80 7 f16 + 7 f16x2    sm_89 7 f16 + 7 f16x2    sm_90 7 f16 + 4 f16x2
#   float16, dtype=float32  sm_80 14 f32             sm_89 14 f32             sm_90 14 f32
#   as stated: float16 is summed in float16 unless dtype says otherwise
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --only-binary :all: triton==3.9.0

cat > "$work/total.py" <<'PY'
import re
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

VALUES, FEW, TARGETS = 1024, 4, (80, 89, 90)


@triton.jit
def total(values, result, N: tl.constexpr, IN_FLOAT32: tl.constexpr):
    v = tl.load(values + tl.arange(0, N))
    if IN_FLOAT32:
        tl.store(result, tl.sum(v, 0, dtype=tl.float32))
    else:
        tl.store(result, tl.sum(v, 0))


def ptx(dtype: str, in_float32: bool, capability: int) -> str:
    signature = {"values": f"*{dtype}", "result": "*fp32", "N": "constexpr", "IN_FLOAT32": "constexpr"}
    aligned = [["tt.divisibility", 16]]
    source = ASTSource(
        total, signature, constexprs={(2,): VALUES, (3,): in_float32}, attrs={(0,): aligned, (1,): aligned}
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["ptx"]


def additions(text: str) -> dict[str, int]:
    """Count the additions by type; up to a few in 32-bit integers are of addresses."""
    found = re.findall(r"\badd(?:\.r[nz])?(?:\.ftz)?\.(f16|f16x2|f32|s32)\b", text)
    return {kind: found.count(kind) for kind in sorted(set(found)) if found.count(kind) >= FEW}


ways = {"int8": ("i8", False), "float16": ("fp16", False), "float16, dtype=float32": ("fp16", True)}
seen = {}
for label, (dtype, in_float32) in ways.items():
    seen[label] = [additions(ptx(dtype, in_float32, capability)) for capability in TARGETS]
    words = (" + ".join(f"{count} {kind}" for kind, count in counts.items()) for counts in seen[label])
    columns = "   ".join(f"sm_{target} {word:<16}" for target, word in zip(TARGETS, words, strict=True))
    print(f"{label:<23} {columns}".rstrip())
if any(set(counts) != {"s32"} for counts in seen["int8"]):
    sys.exit("not as stated: int8 is no longer summed in 32 bits")
if any(set(counts) != {"f32"} for counts in seen["float16, dtype=float32"]):
    sys.exit("not as stated: dtype=float32 no longer gives a sum in float32")
if any("f16" not in counts or "f32" in counts for counts in seen["float16"]):
    sys.exit("not as stated: float16 is no longer summed in float16 alone")
print("as stated: float16 is summed in float16 unless dtype says otherwise")
PY
TRITON_DEFAULT_FP_FUSION=1 TRITON_CACHE_DIR="$work/cache" "$work/venv/bin/python" "$work/total.py"
