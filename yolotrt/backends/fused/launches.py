"""How a step is started: its kernel, what is known when compiled, and arguments for any batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yolotrt.backends.fused.steps import (
    Act,
    Attention,
    Best,
    Boxes,
    Conv,
    Depthwise,
    Network,
    Planes,
    Pools,
    Select,
    Slice,
    Stem,
    Step,
    Sum,
    next_power,
)
from yolotrt.backends.fused.tiles import Tile

Space = Literal["arena", "weights", "input", "head", "protos"]
Element = Literal["fp16", "fp32", "i32"]

ACTS: dict[Act, int] = {"none": 0, "silu": 1, "sigmoid": 2}

WEIGHT_ALIGN = 256


@dataclass(frozen=True)
class Address:
    """A pointer.

    Attributes:
        space: Which memory.
        element: What it points to.
        per_image: Bytes from the beginning of the space, times the batch.
        fixed: Bytes on top of that.
    """

    space: Space
    element: Element
    per_image: int
    fixed: int


@dataclass(frozen=True)
class Count:
    """An integer: ``per_image`` times the batch, plus ``fixed``."""

    per_image: int
    fixed: int


Arg = Address | Count | None


@dataclass(frozen=True)
class Launch:
    """A kernel with everything that it needs for any batch size.

    Attributes:
        step: Name of the step.
        kernel: Name of the function in :mod:`.kernels`.
        args: In the function's order; None is left out by the compiler.
        constants: What is known when compiled.
        work: Pixels (or patches, or images) per image that are dealt out to programs.
        each: Of them per program.
        times: Programs for each.
        warps: Groups of 32 threads per program.
        stages: Loads in flight in a loop.
    """

    step: str
    kernel: str
    args: dict[str, Arg]
    constants: dict[str, Any]
    work: int
    each: int
    times: int
    warps: int
    stages: int

    def programs(self, batch: int) -> int:
        """Return the number of programs for a batch."""
        return -(-self.work * batch // self.each) * self.times


class Weights:
    """All constants of a network in one block of memory."""

    def __init__(self) -> None:
        self._at: dict[bytes, int] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, array: npt.NDArray[Any]) -> Address:
        """Return where an array lies; equal arrays lie there once."""
        data = np.ascontiguousarray(array).tobytes()
        element: Element = "fp16" if array.dtype == np.float16 else "fp32"
        if data not in self._at:
            self._at[data] = self._size
            padded = data + bytes(-len(data) % WEIGHT_ALIGN)
            self._parts.append(padded)
            self._size += len(padded)
        return Address("weights", element, 0, self._at[data])

    def data(self) -> bytes:
        """Return the block."""
        return b"".join(self._parts)


class Launcher:
    """Writes steps of one network as launches.

    Args:
        network: The network, placed in its arena.
        weights: Filled with the constants of every step that is written.
    """

    def __init__(self, network: Network, weights: Weights) -> None:
        self._network, self._weights = network, weights

    def launch(self, step: Step, tile: Tile) -> Launch:
        """Return how a step is started with a tile."""
        kinds: dict[type[Step], Any] = {
            Stem: self._stem, Conv: self._conv, Depthwise: self._depthwise, Pools: self._pools,
            Attention: self._attention, Sum: self._sum, Best: self._best, Select: self._select,
        }  # fmt: skip
        made: Launch = kinds[type(step)](step, tile)
        return made

    def _at(self, part: Slice | None) -> Address | None:
        if part is None:
            return None
        return Address("arena", "fp16", self._network.offsets[part.map], 2 * part.first)

    def _stride(self, part: Slice | None) -> Count:
        return Count(0, self._network.maps[part.map].channels if part else 0)

    def _plane(self, planes: Planes) -> tuple[Address, Count, Count]:
        """Return where planes begin, the values in a plane, and those in an image."""
        element: Element = "fp16" if planes.half else "fp32"
        first = (planes.first * planes.plane + planes.offset) * (2 if planes.half else 4)
        if isinstance(planes.target, int):
            at = Address("arena", element, self._network.offsets[planes.target], first)
        else:
            at = Address(planes.target, element, 0, first)
        return at, Count(0, planes.plane), Count(0, planes.plane * planes.planes)

    def _grid(self, width: int, height: int, tile: Tile) -> tuple[int, int]:
        """Return work per image and work per program."""
        if not tile.tw:
            return width * height, tile.bm
        across, down = -(-width // tile.tw), -(-height // (tile.bm // tile.tw))
        return across * down, 1

    def _stem(self, step: Stem, tile: Tile) -> Launch:
        width, height = (
            (n + 2 * step.pad - step.kernel) // step.stride + 1 for n in (step.width, step.height)
        )
        work, each = self._grid(width, height, tile)
        outputs = step.dense.outputs
        args: dict[str, Arg] = {
            "x": Address("input", "fp16", 0, 0),
            "w": self._weights.add(step.dense.weight),
            "b": self._weights.add(step.dense.bias),
            "y": self._at(step.store),
            "rows": Count(width * height, 0), "height": Count(0, height), "width": Count(0, width),
            "in_height": Count(0, step.height), "in_width": Count(0, step.width),
            "stride_y": self._stride(step.store),
        }  # fmt: skip
        constants = {
            "CHANNELS": step.channels, "N": outputs, "KERNEL": step.kernel, "STRIDE": step.stride,
            "PAD": step.pad, "ACT": ACTS[step.dense.act], "BM": tile.bm, "BN": tile.bn,
            "BK": max(16, next_power(step.channels * step.kernel**2)), "TW": tile.tw,
        }  # fmt: skip
        return Launch(step.name, "stem", args, constants, work, each, -(-outputs // tile.bn), tile.warps, 1)

    def _conv(self, step: Conv, tile: Tile) -> Launch:
        width, height = step.out_wh
        work, each = self._grid(width, height, tile)
        source, other = step.sources[0], step.sources[1] if len(step.sources) > 1 else None
        point, taps, store = step.point, step.taps, step.store
        spatial = taps or step
        target: Address | None
        plane = item = Count(0, 0)
        kind, stride_y, count, bins, cell, corners, spread, quad = 0, Count(0, 0), 0, 0, 0, 0, 0, 1
        if isinstance(store, Slice):
            target, stride_y = self._at(store), self._stride(store)
        elif isinstance(store, Planes):
            kind, count = 1, store.count
            target, plane, item = self._plane(store)
            quad = _together(width * height, store, tile)
        elif isinstance(store, Boxes):
            kind, bins, cell, corners = 2, store.bins, int(store.stride), int(store.corners)
            target, plane, item = self._plane(store.planes)
        else:
            kind, spread = 3, store.size
            target, stride_y = self._at(store.target), self._stride(store.target)
        args: dict[str, Arg] = {
            "x0": self._at(source), "x1": self._at(other),
            "w": self._weights.add(step.dense.weight), "b": self._weights.add(step.dense.bias),
            "w2": self._weights.add(point.weight) if point else None,
            "b2": self._weights.add(point.bias) if point else None,
            "tw": self._weights.add(taps.weight) if taps else None,
            "tb": self._weights.add(taps.bias) if taps else None,
            "r": self._at(step.residual), "y": target,
            "rows": Count(width * height, 0), "height": Count(0, height), "width": Count(0, width),
            "in_height": Count(0, step.height), "in_width": Count(0, step.width),
            "stride0": self._stride(source), "stride1": self._stride(other),
            "stride_r": self._stride(step.residual), "stride_y": stride_y,
            "plane": plane, "item": item, "cell": Count(0, cell),
        }  # fmt: skip
        outputs = step.dense.outputs
        constants = {
            "C0": source.channels, "C1": other.channels if other else 0, "N": outputs,
            "KERNEL": spatial.kernel, "STRIDE": spatial.stride, "PAD": spatial.pad,
            "ZOOM0": source.zoom, "ZOOM1": other.zoom if other else 1,
            "ACT": ACTS[step.dense.act], "TACT": ACTS[taps.act] if taps else 0,
            "N2": point.outputs if point else 0, "ACT2": ACTS[point.act] if point else 0,
            "STORE": kind, "COUNT": count, "BINS": bins, "CORNERS": corners, "SPREAD": spread, "QUAD": quad,
            "BM": tile.bm, "BN": tile.bn, "BK": tile.bk,
            "BN2": max(16, next_power(point.outputs)) if point else 0, "TW": tile.tw, "CACHE": tile.cache,
        }  # fmt: skip
        blocks = -(-outputs // tile.bn)
        return Launch(step.name, "conv", args, constants, work, each, blocks, tile.warps, tile.stages)

    def _depthwise(self, step: Depthwise, tile: Tile) -> Launch:
        width, height = step.out_wh
        work, each = self._grid(width, height, tile)
        channels, taps = step.source.channels, step.taps
        args: dict[str, Arg] = {
            "x": self._at(step.source), "tw": self._weights.add(taps.weight),
            "tb": self._weights.add(taps.bias), "r": self._at(step.residual), "y": self._at(step.store),
            "rows": Count(width * height, 0), "height": Count(0, height), "width": Count(0, width),
            "in_height": Count(0, step.height), "in_width": Count(0, step.width),
            "stride_x": self._stride(step.source), "stride_r": self._stride(step.residual),
            "stride_y": self._stride(step.store),
        }  # fmt: skip
        constants = {
            "C": channels, "KERNEL": taps.kernel, "STRIDE": taps.stride, "PAD": taps.pad,
            "ACT": ACTS[taps.act], "BM": tile.bm, "BN": tile.bn, "TW": tile.tw,
        }  # fmt: skip
        blocks = -(-channels // tile.bn)
        return Launch(step.name, "depthwise", args, constants, work, each, blocks, tile.warps, 1)

    def _pools(self, step: Pools, tile: Tile) -> Launch:
        work, each = self._grid(step.width, step.height, tile)
        stores = [*step.stores, None, None][:3]
        args: dict[str, Arg] = {
            "x": self._at(step.source), **{f"y{i + 1}": self._at(s) for i, s in enumerate(stores)},
            "rows": Count(step.width * step.height, 0), "height": Count(0, step.height),
            "width": Count(0, step.width), "stride_x": self._stride(step.source),
            **{f"stride_{i + 1}": self._stride(s) for i, s in enumerate(stores)},
        }  # fmt: skip
        channels = step.source.channels
        constants = {"C": channels, "KERNEL": step.kernel, "BM": tile.bm, "BN": tile.bn, "TW": tile.tw}
        blocks = -(-channels // tile.bn)
        return Launch(step.name, "pools", args, constants, work, each, blocks, tile.warps, 1)

    def _attention(self, step: Attention, tile: Tile) -> Launch:
        taps = step.taps
        args: dict[str, Arg] = {
            "x": self._at(step.source), "tw": self._weights.add(taps.weight),
            "tb": self._weights.add(taps.bias), "y": self._at(step.store), "height": Count(0, step.height),
            "width": Count(0, step.width), "stride_x": self._stride(step.source),
            "stride_y": self._stride(step.store),
        }  # fmt: skip
        constants = {
            "HEADS": step.heads, "KEY": step.key, "VALUE": step.value, "AREAS": step.areas,
            "SCALE": step.scale, "KERNEL": taps.kernel, "ACT": ACTS[taps.act], "BM": tile.bm, "BN": tile.bn,
            "BKEY": max(16, next_power(step.key)), "BVALUE": max(16, next_power(step.value)),
        }  # fmt: skip
        blocks = -(-step.width * step.height // step.areas // tile.bm)
        times = step.heads * step.areas * blocks
        return Launch(step.name, "attention", args, constants, 1, 1, times, tile.warps, tile.stages)

    def _sum(self, step: Sum, tile: Tile) -> Launch:
        sources = [*step.sources, None, None][:3]
        args: dict[str, Arg] = {
            **{f"x{i}": self._at(s) for i, s in enumerate(sources)}, "y": self._at(step.store),
            "rows": Count(step.width * step.height, 0), "height": Count(0, step.height),
            "width": Count(0, step.width), **{f"stride{i}": self._stride(s) for i, s in enumerate(sources)},
            "stride_y": self._stride(step.store),
        }  # fmt: skip
        zooms = {f"ZOOM{i}": s.zoom if s else 1 for i, s in enumerate(sources)}
        channels = step.store.channels
        constants = {"C": channels, **zooms, "BM": tile.bm, "BN": tile.bn}
        blocks = -(-channels // tile.bn)
        work = step.width * step.height
        return Launch(step.name, "total", args, constants, work, tile.bm, blocks, tile.warps, 1)

    def _best(self, step: Best, tile: Tile) -> Launch:
        offsets = self._network.offsets
        rows = self._network.maps[step.rows]
        args: dict[str, Arg] = {
            "x": Address("arena", "fp32", offsets[step.rows], 4 * step.first * step.count),
            "y": Address("arena", "fp32", offsets[step.store], 0),
            "count": Count(0, step.count), "item": Count(0, rows.nbytes // 4),
        }  # fmt: skip
        constants = {"CLASSES": step.classes, "BM": tile.bm}
        return Launch(step.name, "best", args, constants, 1, 1, -(-step.count // tile.bm), tile.warps, 1)

    def _select(self, step: Select, tile: Tile) -> Launch:
        offsets = self._network.offsets
        args: dict[str, Arg] = {
            "x": Address("arena", "fp32", offsets[step.rows], 0),
            "scores": Address("arena", "fp32", offsets[step.best], 0),
            "scratch": Address("arena", "i32", offsets[step.scratch], 0),
            "y": Address("head", "fp32", 0, 0),
            "count": Count(0, step.count), "item": Count(0, self._network.maps[step.rows].nbytes // 4),
            "out_item": Count(0, step.keep * (6 + step.coeffs)),
        }  # fmt: skip
        constants = {
            "CLASSES": step.classes, "COEFFS": step.coeffs, "KEEP": step.keep,
            "BC": next_power(step.count), "BP": next_power(step.keep * step.classes),
            "BK": next_power(step.keep),
        }  # fmt: skip
        return Launch(step.name, "select", args, constants, 1, 1, 1, tile.warps, 1)


def _together(pixels: int, planes: Planes, tile: Tile) -> int:
    """Return how many neighbouring pixels one store may take: they are of one image and lie together."""
    most = 8 if planes.half else 4
    fits = not tile.tw and pixels % most == 0 and planes.plane % most == 0 and planes.offset % most == 0
    return most if fits else 1
