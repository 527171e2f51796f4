"""INT8: every fusion through Triton's interpreter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.backends.fused.interpreted import Interpreted
from tests.backends.fused.reference import Reference
from tests.backends.fused.test_kernels import BATCH, HEIGHT, RNG, WIDTH, conv, taps
from yolotrt.backends.fused import arena
from yolotrt.backends.fused.parts import Boxes, Dense, Kept, Map, Planes, Rounding, Slice
from yolotrt.backends.fused.steps import Conv, Depthwise, Network, Stem, Step, Sum
from yolotrt.backends.fused.tiles import Tile

pytest.importorskip("triton")


def within_a_step(step: Step, maps: list[Map], tile: Tile, rows: int = 1) -> None:
    """Run a step on random maps, in both ways: integers may differ by one where FP32 rounds otherwise."""
    network = Network(
        maps, [step], "images", (2 * HEIGHT, 2 * WIDTH), ("head", (rows, 99)), ("protos", (5, 63))
    )
    live = [Sum(name="", nodes=(), sources=(Slice(i, 0, 8),), height=1, width=1, store=Slice(i, 0, 8))
            for i in range(len(maps))]  # fmt: skip
    network.steps = [*live, step, *live]  # so that all maps live at once
    arena.place(network)
    wanted, found = Reference(network, BATCH), Interpreted(network, BATCH)
    for i, m in enumerate(maps):
        there = wanted.map(i)
        whole = m.nbytes_per_value == 1
        there[:] = RNG.integers(-128, 128, there.shape) if whole else RNG.normal(0, 1, there.shape)
    wanted.images[:] = RNG.random(wanted.images.shape)
    found.images = wanted.images.copy()
    found.arena[: len(wanted.arena)] = wanted.arena
    before = [wanted.map(i).copy() for i in range(len(maps))]
    wanted.do(step)
    found.do(step, tile)
    there = Reference(network, BATCH)
    there.arena[:] = found.arena[: len(there.arena)]
    changed = 0
    for i, m in enumerate(maps):
        a, b = there.map(i).astype(np.float32), wanted.map(i).astype(np.float32)
        changed += int((b != before[i]).sum())
        if m.nbytes_per_value == 1:
            assert np.abs(a - b).max() <= 1
            assert (a != b).mean() < 0.01
        else:
            np.testing.assert_allclose(a, b, rtol=4e-3, atol=4e-3)
    assert changed or rows > 1 or np.isfinite(found.head).any() or np.isfinite(found.protos).any()
    np.testing.assert_allclose(found.head, wanted.head, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.protos, wanted.protos, rtol=4e-3, atol=4e-3)


def whole(dense: Dense) -> Dense:
    """Return weights as INT8."""
    values = RNG.integers(-127, 128, dense.weight.shape).astype(np.int8)
    return Dense(values, dense.bias, dense.act)


def counts(channels: int, products: int) -> np.ndarray:
    """Return what 1 counts for, so that sums come out between -3 and 3 or so."""
    return (RNG.uniform(0.5, 2, channels) / (74 * 74 * np.sqrt(products))).astype(np.float32)


def kept(outputs: int, form: str, spans: tuple = ()) -> Kept:
    """Return how a result is kept: all of it as INT8 and perhaps as FP16, or the given channels."""
    steps = RNG.uniform(0.01, 0.03, outputs).astype(np.float32)
    half = (0, outputs) if form == "both" else (0, 0)
    return Kept(steps, *(spans or (half, (0, outputs))))


def conv8(
    *, point8: bool = False, form: str = "int8", residual8: bool = True, spans: tuple = (), **options: Any
) -> Any:
    """Return a convolution of INT8 and its maps; ``form`` says how its result is kept."""
    step, maps = conv(**options)
    for i in range(len(step.sources)):
        maps[i].nbytes_per_value = 1
    outputs = step.last.outputs
    between = counts(step.point.outputs, step.dense.outputs) if step.point and point8 else None
    step.rounding = Rounding(
        products=counts(step.dense.outputs, len(step.dense.weight)), point=between,
        inner=0.02 if point8 else 0.0, residual=0.01 if step.residual and residual8 else 0.0,
        store=kept(outputs, form, spans) if form != "fp16" else None,
    )  # fmt: skip
    step.dense = whole(step.dense)
    if step.point and point8:
        step.point = whole(step.point)
    y, r = maps[-2:]
    r.nbytes_per_value = 1 if residual8 else 2
    y.nbytes_per_value = 1 if form == "int8" else 2
    if form == "both":
        step.also = Slice(len(maps), 16, outputs)
        maps.append(Map("y8", y.height, y.width, outputs + 16, 1))
    return step, maps


TILES = [Tile(32, 32, 64), Tile(64, 16, 32), Tile(32, 16, 32, tw=4, cache=".ca")]


@pytest.mark.parametrize(
    ("tile", "options"),
    [
        (TILES[0], {"kernel": 3}),
        (TILES[1], {"kernel": 3, "stride": 2, "channels": (8,), "form": "both"}),
        (TILES[2], {"kernel": 5, "channels": (8,), "act": "none", "form": "fp16"}),
        (TILES[1], {"channels": (40,), "outputs": 16, "residual": True}),
        (TILES[2], {"kernel": 3, "channels": (24,), "outputs": 8, "residual": True, "residual8": False}),
        (TILES[0], {"channels": (24, 16), "zooms": (2, 1), "form": "both"}),
        (TILES[1], {"channels": (16,), "outputs": 40, "form": "both", "spans": ((16, 40), (0, 24))}),
        (TILES[2], {"kernel": 3, "channels": (16, 8), "outputs": 16}),
        (TILES[0], {"kernel": 3, "point": 40, "point8": True, "residual": True, "form": "both"}),
        (TILES[0], {"kernel": 3, "point": 40, "residual": True}),
        (Tile(16, 64, 64, pack=3), {"kernel": 3, "channels": (8,), "outputs": 16, "residual": True}),
        (Tile(16, 32, 32, tw=4, pack=3), {"kernel": 3, "channels": (16,), "outputs": 8, "form": "both"}),
    ],
    ids=str,
)
def test_convolutions(tile: Tile, options: dict) -> None:
    within_a_step(*conv8(**options), tile)


@pytest.mark.parametrize("point8", [False, True])
def test_ends_of_the_network(point8: bool) -> None:
    step, maps = conv8(kernel=3, channels=(16,), outputs=32, point=16, point8=point8, form="fp16", act="none")
    step.store = Boxes(Planes("head", 0, 99, 20, 4, 4, False), 4, 16.0, False)
    within_a_step(step, maps, Tile(16, 32, 32), rows=4)
    step.store = Planes("protos", 0, 63, 0, 5, 5, True)
    within_a_step(step, maps, Tile(16, 32, 32, tw=4))


@pytest.mark.parametrize("form", ["int8", "both"])
def test_fp16_layers_write_int8(form: str) -> None:
    rounding = Rounding(store=kept(24, form))
    maps = [Map("x", HEIGHT, WIDTH, 24), Map("y", HEIGHT, WIDTH, 40, 1 if form == "int8" else 2),
            Map("y8", HEIGHT, WIDTH, 24, 1)]  # fmt: skip
    also = Slice(2, 0, 24) if form == "both" else None
    depthwise = Depthwise(
        name="depthwise", nodes=(), source=Slice(0, 0, 24), height=HEIGHT, width=WIDTH, taps=taps(24, 3),
        store=Slice(1, 16, 24), also=also, rounding=rounding,
    )  # fmt: skip
    within_a_step(depthwise, maps, Tile(32, 16))
    dense = Dense(RNG.normal(0, 0.3, (27, 24)).astype(np.float16), np.zeros(24, np.float32), "silu")
    stem = Stem(
        name="stem", nodes=(), height=2 * HEIGHT, width=2 * WIDTH, channels=3, kernel=3, stride=2, pad=1,
        dense=dense, store=Slice(1, 8, 24), also=also, rounding=rounding,
    )  # fmt: skip
    within_a_step(stem, maps, Tile(16, 16))
    step, maps = conv(outputs=24)
    step.rounding = rounding
    maps[1].nbytes_per_value = 1 if form == "int8" else 2
    if form == "both":
        step.also = Slice(3, 0, 24)
        maps.append(replace(maps[1], name="y8", channels=24, nbytes_per_value=1))
    assert isinstance(step, Conv)
    within_a_step(step, maps, Tile(32, 16, 32))
