"""The first convolution from a frame of bytes, against the host's tiles and letterbox."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.fused.interpreted import Interpreted
from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.reference import Reference
from tests.backends.fused.test_kernels import dense
from tests.backends.fused.test_planner import computed, planned
from tests.cuda.emulator import emulated
from tests.cuda.gpu_work import prepared_yuv
from tests.data.yuv_frames import COLOURS, bgr, noise, soft
from yolotrt.backends.fused import arena
from yolotrt.backends.fused.frame_stem import FrameStem, SampleFrame, every_step, frame_stems, steps_ahead
from yolotrt.backends.fused.parts import Kept, Map, Rounding, Slice
from yolotrt.backends.fused.steps import Network, Stem, Sum
from yolotrt.backends.fused.tiles import Tile
from yolotrt.data.colours import Colours
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.device.sources import chroma_table_of, table_of

pytest.importorskip("triton")

SIDE = 16
AXES = ("across", "down")


def network_of(outputs: int = 24, *, int8: bool = False) -> Network:
    """Return a network of a first convolution alone, whose result may be INT8."""
    stem = Stem(
        name="stem", nodes=(), height=SIDE, width=SIDE, channels=3, kernel=3, stride=2, pad=1,
        dense=dense(27, outputs), store=Slice(0, 8, outputs),
    )  # fmt: skip
    maps = [Map("y", SIDE // 2, SIDE // 2, outputs + 16, 1 if int8 else 2)]
    if int8:
        stem.rounding = Rounding(store=Kept(np.full(outputs, 0.02, np.float32), (0, 0), (0, outputs)))
    made = Network(maps, [stem], "images", (SIDE, SIDE), ("head", (1,)), ("protos", (1,)))
    arena.place(made)
    return made


def picture(wh: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(sum(wh)).integers(0, 256, (wh[1], wh[0], 3), np.uint8)


def compare(
    network: Network, kind: str, images: np.ndarray, found: Interpreted, tile: Tile, atol: float = 4e-3
) -> None:
    """Compare what the step made of a frame with what the first convolution makes of prepared images."""
    batch = len(images)
    wanted = Reference(network, batch)
    rgb = images[..., ::-1] if found.given["frame_bgr"] else images
    wanted.images[:] = rgb.transpose(0, 3, 1, 2).astype(np.float32) / 255
    wanted.do(network.steps[0])
    (step,) = [s for s in frame_stems(network) if s.kind == kind]
    found.do(step, tile)
    there = Reference(network, batch)
    there.arena[:] = found.arena[: len(there.arena)]
    part = network.steps[0].store  # type: ignore[attr-defined]
    np.testing.assert_allclose(there.read(part), wanted.read(part), rtol=4e-3, atol=atol)
    beside = there.map(0)[..., : part.first]
    assert np.isnan(beside).all(), "it wrote where other channels are"


TILES = [Tile(32, 16), Tile(16, 32, tw=4)]


@pytest.mark.parametrize(
    ("wh", "bgr", "tile"),
    [((37, 29), True, TILES[0]), ((20, 29), False, TILES[1]), ((11, 40), True, TILES[1]),
     ((5, 3), False, TILES[0])],
    ids=str,
)  # fmt: skip
def test_tiles_are_read_from_the_frame(wh: tuple[int, int], bgr: bool, tile: Tile) -> None:
    frame, grid, network = picture(wh), tile_grid(wh, (SIDE, SIDE)), network_of()
    found = Interpreted(network, len(grid.origins))
    found.frame = {"frame": frame, "origins": np.array(grid.origins, np.int32)}
    found.given = {"frame_width": wh[0], "frame_height": wh[1], "frame_bgr": int(bgr)}
    compare(network, "tiles", np.stack(grid.cut(frame)), found, tile)


@pytest.mark.parametrize(
    ("wh", "bgr"),
    [((37, 29), True), ((16, 16), False), ((11, 40), False), ((5, 3), True), ((160, 90), True)],
    ids=str,
)
def test_the_letterboxed_frame_is_read_from_the_frame(wh: tuple[int, int], bgr: bool) -> None:
    frame, box, network = picture(wh), Letterbox.fit(wh, (SIDE, SIDE)), network_of(8)
    found = Interpreted(network, 1)
    found.frame = {"frame": frame, "across": table_of(box, 0), "down": table_of(box, 1)}
    found.given = {"frame_width": wh[0], "frame_height": wh[1], "frame_bgr": int(bgr)}
    compare(network, "letterbox", box.apply(frame)[None], found, TILES[0])


@pytest.mark.parametrize(
    ("wh", "colours"), list(zip([(6, 4), (6, 4), (22, 18), (6, 4)], COLOURS, strict=True)), ids=str
)
def test_frames_of_decoders_are_read(wh: tuple[int, int], colours: Colours) -> None:
    samples, network, grid = noise(wh, colours), network_of(), tile_grid(wh, (SIDE, SIDE))
    given = {"frame_width": wh[0], "frame_height": wh[1], "frame_wide": int(colours.bits > 8), "frame_bgr": 1}
    found = Interpreted(network, len(grid.origins))
    memory = {"frame": samples.view(np.uint8), "colours": colours.table()}
    found.given = given | {"site_x": colours.site[0], "site_y": colours.site[1]}
    found.frame = memory | {"origins": np.array(grid.origins, np.int32)}
    compare(network, "tiles_yuv", np.stack(grid.cut(bgr(samples, colours))), found, TILES[wh[0] % 4 // 2])
    box, network = Letterbox.fit(wh, (SIDE, SIDE)), network_of(8)
    found = Interpreted(network, 1)
    even = soft(wh, colours)
    found.given, found.frame = given, memory | {"frame": even.view(np.uint8)}
    found.frame |= {f"{name}_chroma": chroma_table_of(box, i, colours.site) for i, name in enumerate(AXES)}
    found.frame |= {name: table_of(box, i) for i, name in enumerate(AXES)}
    image = prepared_yuv(emulated(), even, colours, box)[0].transpose(1, 2, 0)[..., ::-1]
    levels = np.rint(image * 255).astype(np.uint8)
    compare(network, "letterbox_yuv", levels[None], found, TILES[0], atol=2e-2)


def test_what_is_read_from_a_frame_becomes_int8() -> None:
    frame, grid, network = picture((37, 29)), tile_grid((37, 29), (SIDE, SIDE)), network_of(int8=True)
    found, wanted = Interpreted(network, len(grid.origins)), Reference(network, len(grid.origins))
    found.frame = {"frame": frame, "origins": np.array(grid.origins, np.int32)}
    found.given = {"frame_width": 37, "frame_height": 29, "frame_bgr": 1}
    images = np.stack(grid.cut(frame))[..., ::-1]
    wanted.images[:] = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    wanted.do(network.steps[0])
    found.do(frame_stems(network)[0], TILES[0])
    right = wanted.read(Slice(0, 8, 24))
    wanted.arena[:] = found.arena[: len(wanted.arena)]
    assert np.abs(wanted.read(Slice(0, 8, 24)) - right).max() <= 1
    assert len(np.unique(right)) > 20


def test_a_network_computes_from_a_frame_what_onnx_runtime_does_from_tiles() -> None:
    shape = Shape(size=32, classes=2, coeffs=3, bins=1)
    model = yolo(shape)
    network = planned(model)
    frame, grid = picture((50, 32)), tile_grid((50, 32), (32, 32))
    images = np.stack(grid.cut(frame))[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    found = Interpreted(network, len(images))
    found.frame = {"frame": frame, "origins": np.array(grid.origins, np.int32)}
    found.given = {"frame_width": 50, "frame_height": 32, "frame_bgr": 1}
    stem = frame_stems(network)[0]
    for step in network.steps:
        found.do(stem if isinstance(step, Stem) else step)
    for a, b in zip((found.head, found.protos), computed(model, images), strict=True):
        assert np.abs(a - b).max() <= 1e-2 * np.abs(b).max()


def test_other_first_convolutions_read_prepared_input_only() -> None:
    network = network_of()
    assert [type(s) for s in every_step(network)] == [Stem, *[FrameStem] * 4]
    network.steps[0].kernel = 5  # type: ignore[attr-defined]
    assert every_step(network) == network.steps


@pytest.mark.parametrize(("nbytes_per_value", "ahead"), [(2, 1), (1, 0)])
def test_images_begin_alone_only_where_each_one_is_aligned(nbytes_per_value: int, ahead: int) -> None:
    network = network_of(8)
    last = Sum(name="sum", nodes=(), sources=(Slice(0, 0, 8),), height=1, width=1, store=Slice(1, 0, 8))
    network.steps.append(last)
    network.maps = [Map("y", 3, 3, 8, nbytes_per_value), Map("z", 1, 1, 8)]
    assert steps_ahead(network) == ahead


def test_the_frame_that_kernels_are_timed_on_holds_every_image() -> None:
    sample = SampleFrame.of(network_of(), 40)
    height, width, _ = sample.pixels.shape
    assert sample.origins.min() >= 0
    assert (sample.origins + SIDE <= (width, height)).all()
    for table, size in ((sample.across, width), (sample.down, height)):
        assert table[:, :2].min() >= 0
        assert table[:, :2].max() < size
