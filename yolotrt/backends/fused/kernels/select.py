"""The best detections of an end-to-end network."""

# ruff: noqa: N803, N806 - the compiler's naming: what is known when compiled is in capitals
# mypy: ignore-errors

import triton
import triton.language as tl


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
