"""Which piece of a step one program computes: candidates to be timed, the most plausible first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from yolotrt.backends.fused.frame_stem import FrameStem
from yolotrt.backends.fused.parts import Boxes, Slice, next_power
from yolotrt.backends.fused.steps import (
    Attention,
    Best,
    Conv,
    Depthwise,
    Grow,
    Pools,
    Select,
    Stem,
    Step,
    Sum,
)


@dataclass(frozen=True)
class Tile:
    """The shape of a program's work.

    Attributes:
        bm: Pixels.
        bn: Output channels; of an attention: keys at a time.
        bk: Products summed up at a time.
        tw: Width of a patch of pixels; 0 takes them in a row.
        warps: Groups of 32 threads.
        stages: Loads in flight in a loop.
        pack: Neighbouring pixels that are taken as one with as many times the channels.
        registers: At most so many per thread, so that two programs fit; 0 leaves it to the compiler.
        cache: ``.ca`` keeps what is loaded in the first cache, where neighbouring taps find it.
    """

    bm: int
    bn: int = 16
    bk: int = 16
    tw: int = 0
    warps: int = 4
    stages: int = 1
    cache: str = ""
    pack: int = 1
    registers: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it for a document."""
        return asdict(self)


FULL = 132
"""Programs at which a large GPU is busy."""


def candidates(step: Step, batch: int) -> list[Tile]:
    """Return tiles to try for a step; the first is what is taken without timing."""
    return list(dict.fromkeys(_candidates(step, batch)))


def _candidates(step: Step, batch: int) -> list[Tile]:
    if isinstance(step, Conv):
        return _conv(step, batch)
    if isinstance(step, Grow):
        bn = max(16, next_power(2 * step.weight.shape[1]))
        deep = [n for n in (32, 64, 16) if n <= max(16, next_power(step.source.channels))]
        return [Tile(bm, bn, bk, warps=warps, stages=stages) for bk in deep[:2] for bm, warps, stages in
                ((64, 4, 3), (128, 8, 3), (64, 4, 2), (128, 8, 2), (128, 8, 4), (64, 4, 4))]  # fmt: skip
    if isinstance(step, Stem):
        bn = max(16, next_power(step.dense.outputs))
        bn = min(bn, 64)
        if isinstance(step, FrameStem) and step.kind == "letterbox_yuv":
            # One image a frame, and by far the longest to compile: there is little to gain, and much to wait.
            return [Tile(128, bn, warps=4), Tile(64, bn, warps=4)]
        return [Tile(128, bn, warps=4), Tile(256, bn, warps=4), Tile(256, bn, warps=8), Tile(64, bn, warps=4),
                Tile(128, bn, tw=32, warps=4), Tile(256, bn, tw=64, warps=8), Tile(128, bn, warps=8),
                Tile(64, bn, warps=2)]  # fmt: skip
    if isinstance(step, Depthwise):
        bn = min(64, next_power(step.source.channels))
        return [Tile(32, bn), Tile(64, bn), Tile(16, bn), Tile(64, min(bn, 32)), Tile(32, min(bn, 32), tw=8),
                Tile(64, min(bn, 32), tw=8), Tile(64, min(bn, 16)), Tile(128, min(bn, 16), tw=8),
                Tile(64, min(bn, 16), tw=8)]  # fmt: skip
    if isinstance(step, Pools):
        most = next_power(step.source.channels)
        return [Tile(1, min(most, 16), warps=8), Tile(1, min(most, 16), warps=16),
                Tile(1, min(most, 32), warps=16), Tile(1, min(most, 32), warps=8)]  # fmt: skip
    if isinstance(step, Attention):
        return [Tile(64, 64, stages=2), Tile(64, 32, stages=2), Tile(128, 64, warps=8, stages=2),
                Tile(32, 64, stages=2), Tile(64, 128, stages=2), Tile(128, 64, stages=3)]  # fmt: skip
    if isinstance(step, Sum):
        return [Tile(64, min(64, next_power(step.store.channels)))]
    if isinstance(step, Best):
        return [Tile(256), Tile(128), Tile(512)]
    assert isinstance(step, Select)
    return [Tile(1, warps=16), Tile(1, warps=32), Tile(1, warps=8)]


def neighbours(step: Step, tile: Tile) -> list[Tile]:
    """Return tiles close to the best so far, which is the first."""
    if not isinstance(step, Conv):
        return [tile]
    found = [tile, replace(tile, warps=12 - tile.warps, registers=0)]
    found += [replace(tile, stages=n) for n in (2, 4, 5) if n != tile.stages]
    if tile.warps == 8:
        found.append(replace(tile, registers=128 - tile.registers))
    if step.kernel > 1 and tile.pack == 1:
        wide = 16 if tile.bm >= 128 else 8
        found += [replace(tile, tw=0 if tile.tw else wide, cache=tile.cache)]
        found += [replace(tile, tw=tile.tw or wide, cache="" if tile.cache else ".ca")]
    if tile.bk >= 64:
        found.append(replace(tile, bk=tile.bk // 2, stages=4))
    return found


MOST = 12
"""Candidates of a step."""

MOST_IN_HALF = 128 * 128
"""Sums of a program that fit into half of the registers of 256 threads; more would go to memory and back."""


def _conv(step: Conv, batch: int) -> list[Tile]:
    width, height = step.out_wh
    pixels = width * height * batch
    outputs = step.dense.outputs
    least = 32 if step.rounding.point is not None else 16  # INT8 products are summed up 32 at a time
    whole = max(least, next_power(outputs))
    if step.point or isinstance(step.store, Boxes):
        widths = [whole]  # everything that the next layer reads has to be at hand
    else:
        widths = [n for n in (256, 128, 64, 32, 16) if n <= whole and n >= min(whole, 32)]
    channels = min(s.channels for s in step.sources)
    found: list[Tile] = []
    for bn in widths:
        for bm in (128, 64, 256):
            if bm * bn > 128 * 256:
                continue
            programs = -(-pixels // bm) * -(-outputs // bn)
            if bm > 64 and programs < FULL // 2:
                continue
            warps = 8 if bm * bn >= 128 * 128 else 4
            for bk in _depths(step, channels):
                limit = 128 if warps == 8 and bm * bn <= MOST_IN_HALF else 0
                found.append(Tile(bm, bn, bk, warps=warps, stages=3, registers=limit))
                if step.kernel > 1 and width >= 40:
                    wide = 16 if bm >= 128 else 8
                    found.append(Tile(bm, bn, bk, tw=wide, warps=warps, stages=3, cache=".ca"))
    found = sorted(found, key=lambda t: _cost(t, step, pixels, outputs))[:MOST]
    return found + _packed(step) + _large(step, pixels, widths[0])


def _large(step: Conv, pixels: int, wide: int) -> list[Tile]:
    """Return tiles that read less, for layers whose INT8 products take less time than what they read."""
    if step.rounding.products is None or step.kernel == 1 or pixels < 256 * FULL * 2:
        return []
    bn = min(wide, 128)
    return [Tile(256, bn, 64, warps=8, stages=3), Tile(256, bn, 128, warps=8, stages=3),
            Tile(128, bn, 128, warps=8, stages=3), Tile(128, bn, 128, warps=4, stages=3)]  # fmt: skip


def _packed(step: Conv) -> list[Tile]:
    """Return tiles that take neighbouring pixels as one, for layers with few channels."""
    outputs, channels = step.dense.outputs, step.sources[0].channels
    plain = step.kernel == 3 and not step.point and isinstance(step.store, Slice) and len(step.sources) == 1
    if not plain or channels > 64 or outputs > 64:
        return []
    width, found = step.out_wh[0], []
    for pack in (2, 4, 8):
        across = step.stride * (pack - 1) + step.kernel
        if width % pack == 0 and pack * outputs <= 128 and step.kernel * across < 31:
            bn = max(16, next_power(pack * outputs))
            found += [Tile(bm, bn, bk, stages=3, pack=pack) for bm in (128, 64) for bk in (32, 64)]
    return found


def _depths(step: Conv, channels: int) -> list[int]:
    """Return how many products to sum up at a time."""
    least = 16 if step.rounding.products is None else 32
    most = max(least, next_power(channels * step.kernel**2))
    fitting = [n for n in (64, 32, 128) if n <= most]
    if step.kernel > 1 and least <= channels < 64 and channels & -channels == channels:
        fitting.append(channels)
    return list(dict.fromkeys(fitting)) or [16]


def _cost(tile: Tile, step: Conv, pixels: int, outputs: int) -> float:
    """Return a rough number of how much a tile wastes: the heuristic where nothing can be timed."""
    blocks = -(-outputs // tile.bn)
    programs = -(-pixels // tile.bm) * blocks
    waste = blocks * tile.bn / outputs
    idle = max(1.0, FULL / programs)
    rereading = 1 + 0.15 * (blocks - 1)
    small = 1.25 if tile.bm * tile.bn < 64 * 64 else 1.0
    large = 1.3 if tile.bm == 256 else 1.0
    deep = 1.1 if tile.bk not in (32, 64) else 1.0
    loads = 1.05 if tile.stages != 3 else 1.0
    patch = 1.02 if tile.tw else 1.0
    # Without the newest tensor cores, so many sums of INT8 products hardly leave registers for anything else.
    crowded = 1.3 if step.rounding.products is not None and tile.bm * tile.bn > MOST_IN_HALF else 1.0
    return waste * idle * rereading * small * large * deep * loads * patch * crowded
