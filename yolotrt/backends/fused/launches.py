"""How a step is started: its kernel, what is known when compiled, and arguments for any batch size."""

from __future__ import annotations

from typing import Any

from yolotrt.backends.fused.arguments import Address, Arg, Count, Element, KernelLaunch, WeightsBlob
from yolotrt.backends.fused.frame_stem import FrameStem, frame_arguments
from yolotrt.backends.fused.grow import paired
from yolotrt.backends.fused.launch_integers import (
    ACTS,
    act_of,
    counted,
    is_int8,
    only_int8,
    spans_of,
    stored_int8,
    weights_of,
)
from yolotrt.backends.fused.parts import Boxes, Planes, Slice, Spread, next_power
from yolotrt.backends.fused.steps import (
    Attention,
    Best,
    Conv,
    Depthwise,
    Grow,
    Network,
    Pools,
    Select,
    Stem,
    Step,
    Sum,
)
from yolotrt.backends.fused.stored_weights import packed
from yolotrt.backends.fused.tiles import Tile


class Launcher:
    """Writes steps of one network as launches.

    Args:
        network: The network, placed in its arena.
        weights: Filled with the constants of every step that is written.
    """

    def __init__(self, network: Network, weights: WeightsBlob) -> None:
        self._network, self._weights = network, weights

    def launch(self, step: Step, tile: Tile) -> KernelLaunch:
        """Return how a step is started with a tile."""
        kinds: dict[type[Step], Any] = {
            Stem: self._stem, Conv: self._conv, Grow: self._grow, Depthwise: self._depthwise,
            Pools: self._pools,
            Attention: self._attention, Sum: self._sum, Best: self._best, Select: self._select,
            FrameStem: self._frame_stem,
        }  # fmt: skip
        made: KernelLaunch = kinds[type(step)](step, tile)
        return made

    def _at(self, part: Slice | None) -> Address | None:
        if part is None:
            return None
        whole, m = is_int8(self._network, part), self._network.maps[part.map]
        first = part.first * m.nbytes_per_value
        return Address("arena", "i8" if whole else "fp16", self._network.offsets[part.map], first, m.nbytes)

    def _pitch(self, part: Slice | None) -> int:
        """Return the number of values from one pixel to the next."""
        return self._network.maps[part.map].channels if part else 0

    def _plane(self, planes: Planes) -> Address:
        """Return where planes begin."""
        element: Element = "fp16" if planes.half else "fp32"
        first = (planes.first * planes.plane + planes.offset) * (2 if planes.half else 4)
        if isinstance(planes.target, int):
            return Address("arena", element, self._network.offsets[planes.target], first)
        return Address(planes.target, element, 0, first)

    def _store(self, step: Conv, tile: Tile) -> tuple[Address | None, dict[str, Any]]:
        """Return where a convolution's result goes, and what the kernel knows about that."""
        store = step.store
        known = dict.fromkeys(
            ("STEP_Y", "STORE", "PLANE", "ITEM", "COUNT", "BINS", "CELL", "CORNERS", "SPREAD"), 0
        ) | {"QUAD": 1}
        if isinstance(store, Slice):
            if is_int8(self._network, store):
                return None, known
            return self._at(store), known | {"STEP_Y": self._pitch(store)}
        if isinstance(store, Spread):
            size = {"STORE": 3, "SPREAD": store.size, "STEP_Y": self._pitch(store.target)}
            return self._at(store.target), known | size
        planes = store.planes if isinstance(store, Boxes) else store
        known |= {"PLANE": planes.plane, "ITEM": planes.plane * planes.planes, "COUNT": planes.count}
        if isinstance(store, Boxes):
            known |= {"BINS": store.bins, "CELL": int(store.stride), "CORNERS": int(store.corners)}
            return self._plane(planes), known | {"STORE": 2}
        width, height = step.out_wh
        return self._plane(planes), known | {"STORE": 1, "QUAD": _together(width * height, planes, tile)}

    def _stem(self, step: Stem, tile: Tile) -> KernelLaunch:
        width, height = step.out_wh
        outputs, rounded = step.dense.outputs, only_int8(self._network, step)
        also, known = stored_int8(self._network, step, self._weights)
        args: dict[str, Arg] = {
            "x": Address("input", "fp16", 0, 0), "w": self._weights.add(step.dense.weight),
            "b": self._weights.add(step.dense.bias), "y": None if rounded else self._at(step.store),
            "rows": Count(width * height, 0), **also,
        }  # fmt: skip
        constants = known | {
            "HEIGHT": height, "WIDTH": width, "IN_HEIGHT": step.height, "IN_WIDTH": step.width,
            "STEP_Y": self._pitch(step.store), "CHANNELS": step.channels, "N": outputs, "KERNEL": step.kernel,
            "STRIDE": step.stride, "PAD": step.pad, "ACT": act_of(step.dense.act, self._network),
            "BM": tile.bm, "BN": tile.bn, "TW": tile.tw,
        }  # fmt: skip
        return _launch(step, "stem", args, constants, (width, height), outputs, tile)

    def _frame_stem(self, step: FrameStem, tile: Tile) -> KernelLaunch:
        act, pitch = act_of(step.dense.act, self._network), self._pitch(step.store)
        store = None if only_int8(self._network, step) else self._at(step.store)
        kernel, args, known = frame_arguments(step, store, pitch, act, self._weights)
        also, more = stored_int8(self._network, step, self._weights)
        constants = known | more | {"BM": tile.bm, "BN": tile.bn, "TW": tile.tw}
        return _launch(step, kernel, args | also, constants, step.out_wh, step.dense.outputs, tile)

    def _conv(self, step: Conv, tile: Tile) -> KernelLaunch:
        width, height = step.out_wh
        pack = tile.pack
        width //= pack
        source, other = step.sources[0], step.sources[1] if len(step.sources) > 1 else None
        point, dense = step.point, packed(step, pack)
        target, known = self._store(step, tile)
        also, more = stored_int8(self._network, step, self._weights, pack)
        weights, behind = weights_of(dense, self._weights), weights_of(point, self._weights)
        args: dict[str, Arg] = {
            "x0": self._at(source), "x1": self._at(other), "w": weights.address,
            "b": self._weights.add(dense.bias), "w2": behind.address,
            "b2": self._weights.add(point.bias) if point else None, "r": self._at(step.residual),
            "y": target, "rows": Count(width * height, 0), **also,
            **counted(step, self._weights, pack),
        }  # fmt: skip
        constants = known | more | spans_of(step, pack) | {
            "WK": weights.by_product, "WN": weights.by_output, "WK2": behind.by_product,
            "WN2": behind.by_output,
            "HEIGHT": height, "WIDTH": width, "IN_HEIGHT": step.height, "IN_WIDTH": step.width,
            "STEP0": self._pitch(source), "STEP1": self._pitch(other), "STEP_R": self._pitch(step.residual),
            "C0": source.channels, "C1": other.channels if other else 0, "N": dense.outputs,
            "KERNEL": step.kernel, "STRIDE": step.stride, "PAD": step.pad,
            "ZOOM0": source.zoom, "ZOOM1": other.zoom if other else 1,
            "ACT": act_of(dense.act, self._network), "N2": point.outputs if point else 0,
            "ACT2": act_of(point.act, self._network) if point else 0,
            "PACK": pack, "BM": tile.bm, "BN": tile.bn, "BK": tile.bk,
            "BN2": max(16, next_power(point.outputs)) if point else 0, "TW": tile.tw, "CACHE": tile.cache,
        }  # fmt: skip
        return _launch(step, "conv", args, constants, (width, height), dense.outputs, tile)

    def _grow(self, step: Grow, tile: Tile) -> KernelLaunch:
        store, pair = step.store, paired(step)
        outputs, planes = pair.dense.outputs, pair.point.outputs
        args: dict[str, Arg] = {
            "x": self._at(step.source), "w": self._weights.add(pair.dense.weight),
            "b": self._weights.add(pair.dense.bias), "edges": self._weights.add(pair.edges),
            "w2": self._weights.add(pair.point.weight), "b2": self._weights.add(pair.point.bias),
            "y": self._plane(store), "rows": Count(step.width * step.height, 0),
        }  # fmt: skip
        constants = {
            "HEIGHT": step.height, "WIDTH": step.width, "STEP": self._pitch(step.source),
            "C": step.source.channels, "N": outputs, "ACT": act_of(step.act, self._network), "N2": planes,
            "ACT2": ACTS[step.point.act], "ITEM": store.plane * store.planes, "COUNT": store.count,
            "QUAD": 8 if step.width % 4 == 0 and store.plane % 8 == 0 else 1, "BM": tile.bm, "BN": tile.bn,
            "BK": tile.bk, "BN2": max(16, next_power(planes)),
        }  # fmt: skip
        work = step.width * step.height
        return KernelLaunch(
            step.name, "grow", args, constants, work, tile.bm, 2, tile.warps, tile.stages, tile.registers
        )

    def _depthwise(self, step: Depthwise, tile: Tile) -> KernelLaunch:
        width, height = step.out_wh
        taps, rounded = step.taps, only_int8(self._network, step)
        also, known = stored_int8(self._network, step, self._weights)
        args: dict[str, Arg] = {
            "x": self._at(step.source), "tw": self._weights.add(taps.weight),
            "tb": self._weights.add(taps.bias), "r": self._at(step.residual),
            "y": None if rounded else self._at(step.store), "rows": Count(width * height, 0), **also,
        }  # fmt: skip
        constants = known | {
            "HEIGHT": height, "WIDTH": width, "IN_HEIGHT": step.height, "IN_WIDTH": step.width,
            "STEP": self._pitch(step.source), "STEP_R": self._pitch(step.residual),
            "STEP_Y": self._pitch(step.store), "C": step.source.channels, "KERNEL": taps.kernel,
            "STRIDE": taps.stride, "PAD": taps.pad, "ACT": act_of(taps.act, self._network), "BM": tile.bm,
            "BN": tile.bn, "TW": tile.tw,
        }  # fmt: skip
        return _launch(step, "depthwise", args, constants, (width, height), step.source.channels, tile)

    def _pools(self, step: Pools, tile: Tile) -> KernelLaunch:
        stores = [*step.stores, None, None][:3]
        args: dict[str, Arg] = {
            "x": self._at(step.source), **{f"y{i + 1}": self._at(s) for i, s in enumerate(stores)},
            "scratch": self._at(step.scratch),
        }  # fmt: skip
        constants = {
            "HEIGHT": step.height, "WIDTH": step.width, "STEP": self._pitch(step.source),
            **{f"STEP_{i + 1}": self._pitch(s) for i, s in enumerate(stores)},
            "C": step.source.channels, "KERNEL": step.kernel, "BM": next_power(step.height * step.width),
            "BN": tile.bn,
        }  # fmt: skip
        return _images(step, "pools", args, constants, -(-step.source.channels // tile.bn), tile)

    def _attention(self, step: Attention, tile: Tile) -> KernelLaunch:
        taps = step.taps
        args: dict[str, Arg] = {
            "x": self._at(step.source), "tw": self._weights.add(taps.weight),
            "tb": self._weights.add(taps.bias), "y": self._at(step.store),
        }  # fmt: skip
        constants = {
            "HEIGHT": step.height, "WIDTH": step.width, "STEP": self._pitch(step.source),
            "STEP_Y": self._pitch(step.store), "HEADS": step.heads, "KEY": step.key, "VALUE": step.value,
            "AREAS": step.areas, "SCALE": step.scale, "KERNEL": taps.kernel, "ACT": ACTS[taps.act],
            "BM": tile.bm, "BN": tile.bn, "BKEY": max(16, next_power(step.key)),
            "BVALUE": max(16, next_power(step.value)),
        }  # fmt: skip
        blocks = -(-(step.width * step.height // step.areas) // tile.bm)
        return _images(step, "attention", args, constants, step.heads * step.areas * blocks, tile)

    def _sum(self, step: Sum, tile: Tile) -> KernelLaunch:
        sources = [*step.sources, None, None][:3]
        args: dict[str, Arg] = {
            **{f"x{i}": self._at(s) for i, s in enumerate(sources)}, "y": self._at(step.store),
            "rows": Count(step.width * step.height, 0),
        }  # fmt: skip
        constants = {
            "HEIGHT": step.height, "WIDTH": step.width,
            **{f"STEP{i}": self._pitch(s) for i, s in enumerate(sources)}, "STEP_Y": self._pitch(step.store),
            "C": step.store.channels, **{f"ZOOM{i}": s.zoom if s else 1 for i, s in enumerate(sources)},
            "BM": tile.bm, "BN": tile.bn,
        }  # fmt: skip
        size = (step.width, step.height)
        return _launch(step, "total", args, constants, size, step.store.channels, tile)

    def _best(self, step: Best, tile: Tile) -> KernelLaunch:
        offsets = self._network.offsets
        args: dict[str, Arg] = {
            "x": Address("arena", "fp32", offsets[step.rows], 4 * step.first * step.count),
            "y": Address("arena", "fp32", offsets[step.store], 0),
        }
        item = self._network.maps[step.rows].nbytes // 4
        constants = {"ROWS": step.count, "ITEM": item, "CLASSES": step.classes, "BM": tile.bm}
        return _images(step, "best", args, constants, -(-step.count // tile.bm), tile)

    def _select(self, step: Select, tile: Tile) -> KernelLaunch:
        offsets = self._network.offsets
        args: dict[str, Arg] = {
            "x": Address("arena", "fp32", offsets[step.rows], 0),
            "scores": Address("arena", "fp32", offsets[step.best], 0),
            "scratch": Address("arena", "i32", offsets[step.scratch], 0),
            "y": Address("head", "fp32", 0, 0),
        }
        constants = {
            "ROWS": step.count, "ITEM": self._network.maps[step.rows].nbytes // 4, "CLASSES": step.classes,
            "COEFFS": step.coeffs, "KEEP": step.keep, "BC": next_power(step.count),
            "BP": next_power(step.keep * step.classes), "BK": next_power(step.keep),
            "BCOEFFS": next_power(step.coeffs),
        }  # fmt: skip
        return _images(step, "select", args, constants, 1, tile)


def _launch(
    step: Step,
    kernel: str,
    args: dict[str, Arg],
    constants: dict[str, Any],
    size: tuple[int, int],
    outputs: int,
    tile: Tile,
) -> KernelLaunch:
    """Return the launch of a kernel that deals out pixels and output channels."""
    width, height = size
    work, each = width * height, tile.bm
    if tile.tw:
        work, each = -(-width // tile.tw) * -(-height // (tile.bm // tile.tw)), 1
    times = -(-outputs // tile.bn)
    return KernelLaunch(
        step.name, kernel, args, constants, work, each, times, tile.warps, tile.stages, tile.registers
    )


def _images(
    step: Step, kernel: str, args: dict[str, Arg], constants: dict[str, Any], programs: int, tile: Tile
) -> KernelLaunch:
    """Return the launch of a kernel that deals out images, each to some programs."""
    return KernelLaunch(
        step.name, kernel, args, constants, 1, 1, programs, tile.warps, tile.stages, tile.registers
    )


def _together(pixels: int, planes: Planes, tile: Tile) -> int:
    """Return how many neighbouring pixels one store may take: they are of one image and lie together."""
    most = 8 if planes.half else 4
    fits = not tile.tw and pixels % most == 0 and planes.plane % most == 0 and planes.offset % most == 0
    return most if fits else 1
