"""Every kernel through Triton's interpreter, against NumPy, on sizes that divide by nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends.fused.interpreted import Interpreted
from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.reference import Reference
from tests.backends.fused.test_planner import planned
from yolotrt.backends.fused import arena
from yolotrt.backends.fused.parts import Boxes, Dense, Map, Planes, Slice, Spread, Taps
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
from yolotrt.backends.fused.tiles import Tile, candidates

pytest.importorskip("triton")  # behind the import that makes it interpret

HEIGHT, WIDTH, BATCH = 5, 9, 2
RNG = np.random.default_rng(0)


def dense(rows: int, outputs: int, act: str = "silu") -> Dense:
    weight = RNG.normal(0, 1.5 / np.sqrt(rows), (rows, outputs)).astype(np.float16)
    return Dense(weight, RNG.normal(0, 0.3, outputs).astype(np.float32), act)  # type: ignore[arg-type]


def taps(channels: int, kernel: int, stride: int = 1, act: str = "silu") -> Taps:
    weight = RNG.normal(0, 1 / kernel, (kernel * kernel, channels)).astype(np.float16)
    bias = RNG.normal(0, 0.3, channels).astype(np.float32)
    return Taps(weight, bias, act, kernel, stride, kernel // 2)  # type: ignore[arg-type]


def agree(step: Step, maps: list[Map], tile: Tile | None = None, *, rows: int = 1) -> None:
    """Run a step on random maps, in both ways, and compare everything that it may have written."""
    network = Network(
        maps, [step], "images", (2 * HEIGHT, 2 * WIDTH), ("head", (rows, 99)), ("protos", (5, 63))
    )
    live = [Sum(name="", nodes=(), sources=(Slice(i, 0, 8),), height=1, width=1, store=Slice(i, 0, 8))
            for i in range(len(maps))]  # fmt: skip
    network.steps = [*live, step, *live]  # so that all maps live at once
    arena.place(network)
    wanted, found = Reference(network, BATCH), Interpreted(network, BATCH)
    for i, m in enumerate(maps):
        values = RNG.normal(0, 1, wanted.map(i).shape)
        wanted.map(i)[:] = np.abs(values) if m.nbytes_per_value == 4 else values
    wanted.images[:] = RNG.random(wanted.images.shape)
    found.images = wanted.images.copy()
    found.arena[: len(wanted.arena)] = wanted.arena
    wanted.do(step)
    found.do(step, tile)
    scratch = (
        step.scratch if isinstance(step, Select) else step.scratch.map if isinstance(step, Pools) else -1
    )
    there = Reference(network, BATCH)
    there.arena[:] = found.arena[: len(there.arena)]
    for i in range(len(maps)):
        if i != scratch:
            np.testing.assert_allclose(there.map(i), wanted.map(i), rtol=4e-3, atol=4e-3)
    np.testing.assert_allclose(found.head, wanted.head, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.protos, wanted.protos, rtol=4e-3, atol=4e-3)


def conv(
    channels: tuple[int, ...] = (16,), outputs: int = 24, kernel: int = 1, stride: int = 1,
    zooms: tuple[int, ...] = (1, 1), point: int = 0, residual: bool = False, act: str = "silu",
    gain: bool = False,
) -> tuple[Conv, list[Map]]:  # fmt: skip
    """Return a convolution on slices of larger maps, and the maps: sources, result, residual."""
    height, width = HEIGHT - HEIGHT % max(zooms), WIDTH - WIDTH % max(zooms)
    maps = [Map("x", height // z, width // z, c + 16) for c, z in zip(channels, zooms, strict=False)]
    sources = tuple(Slice(i, 8, c, zooms[i]) for i, c in enumerate(channels))
    last = dense(outputs, point, act) if point else None
    step = Conv(
        name="conv", nodes=(), sources=sources, height=height, width=width, kernel=kernel, stride=stride,
        pad=kernel // 2, dense=dense(sum(channels) * kernel**2, outputs, act), point=last,
        store=Slice(len(maps), 8, point or outputs),
        residual=Slice(len(maps) + 1, 16, point or outputs) if residual else None,
    )  # fmt: skip
    if gain:
        factors = RNG.normal(0, 1, step.last.outputs).astype(np.float32)
        name = "point" if point else "dense"
        setattr(step, name, replace(step.last, gain=factors))
    width, height = step.out_wh
    maps += [
        Map("y", height, width, (point or outputs) + 16),
        Map("r", height, width, (point or outputs) + 24),
    ]
    return step, maps


TILES = [Tile(32, 32, 64), Tile(64, 16, 16), Tile(32, 16, 32, tw=4, cache=".ca")]


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 3},
        {"kernel": 3, "stride": 2, "channels": (8,)},
        {"kernel": 5, "channels": (8,), "act": "none"},
        {"channels": (40,), "outputs": 16, "residual": True, "gain": True},
        {"channels": (16,), "zooms": (4, 1), "residual": True},
        {"kernel": 3, "channels": (24,), "outputs": 8, "residual": True, "act": "none"},
        {"channels": (24, 16), "zooms": (2, 1)},
        {"kernel": 3, "channels": (16, 8), "outputs": 16},
    ],
    ids=str,
)  # fmt: skip
def test_convolutions(options: dict, tile: Tile) -> None:
    agree(*conv(**options), tile)


@pytest.mark.parametrize(
    ("pack", "options"),
    [
        (3, {"channels": (8,), "outputs": 16, "residual": True, "gain": True}),
        (3, {"channels": (16,), "outputs": 8}),
        (2, {"channels": (24,), "outputs": 8, "zooms": (2, 1), "stride": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("tile", [Tile(16, 64, 64), Tile(16, 32, 16, tw=4)], ids=str)
def test_neighbouring_pixels_as_one(pack: int, options: dict, tile: Tile) -> None:
    step, maps = conv(kernel=3, **(options | {"zooms": (1, 1)}))
    if options.get("stride") == 2:  # six pixels wide become three; take eight, which become four
        step.width = step.sources and 8
        maps[0].width = 8
        maps[1].width = maps[2].width = 4
    agree(step, maps, replace(tile, pack=pack))


@pytest.mark.parametrize("residual", [False, True])
def test_a_convolution_of_single_pixels_behind_another(residual: bool) -> None:
    agree(*conv(kernel=3, point=40, outputs=24, residual=residual, gain=residual), Tile(32, 32, 32))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("tile", [Tile(16, 16, 16), Tile(16, 16, 16, tw=4)], ids=str)
def test_planes(half: bool, tile: Tile) -> None:
    step, maps = conv(outputs=16, act="sigmoid")
    target = "protos" if half else "head"
    planes = 5 if half else 1
    count = 5 if half else 1
    step.store = Planes(target, 0, 63 if half else 99, 0 if half else 30, planes, count, half)  # type: ignore[arg-type]
    agree(step, maps, tile)


def test_planes_of_many_pixels_at_once() -> None:
    """Where the number of pixels allows it, several are stored at a time."""
    step, maps = conv(outputs=16, zooms=(2, 2))
    step.store = Planes(2, 1, 48, 0, 4, 3, False)
    maps[2] = Map("rows", 4, 48, 1, 4)
    agree(step, maps, Tile(16, 16, 16))


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("bins", [1, 4, 16])
def test_boxes(bins: int, corners: bool) -> None:
    step, maps = conv(outputs=max(8, 4 * bins), act="none")
    step.store = Boxes(Planes("head", 0, 99, 20, 4, 4, False), bins, 16.0, corners)
    agree(step, maps, Tile(16, max(16, 4 * bins), 16), rows=4)


def test_spread_pixels() -> None:
    step, maps = conv(outputs=32, act="none")
    step.store = Spread(Slice(1, 8, 8), 2)
    maps[1] = Map("y", 2 * HEIGHT, 2 * WIDTH, 24)
    agree(step, maps, Tile(16, 16, 16))


def border_bias(channels: int) -> np.ndarray:
    """Return biases by place and missing taps; all places have the same where nothing is missing."""
    bias = RNG.normal(0, 1, (2, 2, 2, 2, channels))
    bias[:, :, 0, 0] = bias[0, 0, 0, 0]
    return bias.reshape(16, channels).astype(np.float32)


@pytest.mark.parametrize("size", [(3, 5), (4, 8)])
@pytest.mark.parametrize("tile", [Tile(16, 64, 16), Tile(32, 64, 64)], ids=str)
def test_enlarged_prototypes(tile: Tile, size: tuple[int, int]) -> None:
    height, width = size
    weight = RNG.normal(0, 0.3, (16 * 24, 32)).astype(np.float16)
    step = Grow(
        name="grow", nodes=(), source=Slice(0, 8, 24), height=height, width=width, weight=weight,
        bias=border_bias(32), act="silu", point=dense(32, 8),
        store=Planes(1, 1, 4 * height * width, 0, 7, 5, True),
    )  # fmt: skip
    agree(step, [Map("x", height, width, 40), Map("y", 7, 4 * height * width, 1)], tile)


@pytest.mark.parametrize("tile", [Tile(16, 16), Tile(32, 16, tw=8), Tile(16, 32)], ids=str)
def test_the_first_convolution(tile: Tile) -> None:
    step = Stem(
        name="stem", nodes=(), height=2 * HEIGHT, width=2 * WIDTH, channels=3, kernel=3, stride=2, pad=1,
        dense=dense(27, 24), store=Slice(0, 8, 24),
    )  # fmt: skip
    agree(step, [Map("y", HEIGHT, WIDTH, 40)], tile)


@pytest.mark.parametrize(
    ("kernel", "stride", "tile"),
    [(3, 1, Tile(32, 16)), (3, 2, Tile(32, 32, tw=8)), (3, 1, Tile(32, 32, tw=8)), (7, 1, Tile(64, 32))],
    ids=str,
)
def test_depthwise_convolutions(kernel: int, stride: int, tile: Tile) -> None:
    step = Depthwise(
        name="depthwise", nodes=(), source=Slice(0, 8, 24), height=HEIGHT, width=WIDTH,
        taps=taps(24, kernel, stride), store=Slice(1, 16, 24), residual=Slice(2, 0, 24),
    )  # fmt: skip
    width, height = step.out_wh
    maps = [Map("x", HEIGHT, WIDTH, 40), Map("y", height, width, 48), Map("r", height, width, 24)]
    agree(step, maps, tile)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_poolings(count: int) -> None:
    step = Pools(
        name="pools", nodes=(), source=Slice(0, 0, 24), height=HEIGHT, width=WIDTH, kernel=5,
        stores=tuple(Slice(0, 24 * (i + 1), 24) for i in range(count)), scratch=Slice(1, 0, 72),
    )  # fmt: skip
    agree(step, [Map("x", HEIGHT, WIDTH, 96), Map("rows", HEIGHT, WIDTH, 72)], Tile(1, 16))


@pytest.mark.parametrize(("areas", "kernel"), [(1, 3), (3, 7)])
def test_attention(areas: int, kernel: int) -> None:
    height = 6
    step = Attention(
        name="attention", nodes=(), source=Slice(0, 8, 96), height=height, width=WIDTH, heads=2, key=8,
        value=32, areas=areas, scale=8**-0.5, taps=taps(64, kernel, act="none"), store=Slice(1, 8, 64),
    )  # fmt: skip
    agree(step, [Map("x", height, WIDTH, 112), Map("y", height, WIDTH, 80)], Tile(32, 32))


@pytest.mark.parametrize("zooms", [(1,), (2, 1), (1, 2, 4)])
def test_sums(zooms: tuple[int, ...]) -> None:
    sources = tuple(Slice(i, 8, 24, z) for i, z in enumerate(zooms))
    maps = [*(Map("x", 8 // z, 12 // z, 40) for z in zooms), Map("y", 8, 12, 32)]
    step = Sum(name="sum", nodes=(), sources=sources, height=8, width=12, store=Slice(len(zooms), 8, 24))
    agree(step, maps, Tile(16, 16))


def test_the_best_score_of_each_row() -> None:
    step = Best(name="best", nodes=(), rows=0, store=1, count=21, first=4, classes=3)
    agree(step, [Map("rows", 9, 21, 1, 4), Map("best", 1, 21, 1, 4)], Tile(16))


@pytest.mark.parametrize("equal", [False, True])
def test_the_best_detections(equal: bool) -> None:
    """Also where many scores are equal: the first are taken then, as ONNX says."""
    count, keep = 40, 17
    step = Select(
        name="select", nodes=(), rows=0, best=1, scratch=2, count=count, classes=3, coeffs=2, keep=keep
    )
    maps = [Map("rows", 9, count, 1, 4), Map("best", 1, count, 1, 4), Map("scratch", 3, 32, 1, 4)]
    network = Network(maps, [step], "images", (32, 32), ("head", (keep, 8)), ("protos", (1,)))
    network.offsets = [0, 4096, 8192]
    network.arena_nbytes = 12288
    wanted, found = Reference(network, BATCH), Interpreted(network, BATCH)
    rows = wanted.map(0)
    rows[:] = RNG.random(rows.shape)
    if equal:
        rows[:, 4:7] = np.round(rows[:, 4:7] * 3) / 3
    wanted.map(1)[:, 0, :, 0] = rows[:, 4:7, :, 0].max(1)
    found.arena[: len(wanted.arena)] = wanted.arena
    wanted.do(step)
    found.do(step)
    np.testing.assert_array_equal(found.head, wanted.head)


def test_a_whole_network() -> None:
    """With the tiles that are taken where nothing can be timed, on memory full of NaN."""
    shape = Shape(classes=5, coeffs=3, bins=1, keep=0)
    network = planned(yolo(shape))
    images = RNG.random((1, 3, shape.size, shape.size), np.float32)
    wanted = Reference(network, 1).run(images)
    found = Interpreted(network, 1).run(images)
    for a, b in zip(found, wanted, strict=True):
        assert np.abs(a - b).max() <= 1e-2 * np.abs(b).max()


def test_tiles_are_plausible_for_every_step_and_batch() -> None:
    for step in planned(yolo(Shape(keep=20))).steps:
        for batch in (1, 32):
            tiles = candidates(step, batch)
            assert tiles
            assert len(tiles) == len(set(tiles)) <= 24
            assert all(t.bm & (t.bm - 1) == 0 and t.warps in (1, 2, 4, 8, 16, 32) for t in tiles)
    assert replace(tiles[0], warps=8).warps == 8
