"""Kernels that choose tiles: what they compute, against their references and against the host."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.host_kernels import CompiledDriver, compiler
from yolotrt.arrays import Frame
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import Argument
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.thumbnail import brightness
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.choosing import SAME_PLACE, TOLD, UNSURE, Chooser, Finds
from yolotrt.pipeline.device.chosen import TileTable, fetch_rows, fetch_tiles, spread
from yolotrt.pipeline.device.motion import DeviceMotion, Rows
from yolotrt.pipeline.device.results import CANDIDATE, Records
from yolotrt.pipeline.device.share import FrameBuffer
from yolotrt.pipeline.motion import Motion, MotionWatch
from yolotrt.pipeline.tile_choice import Adaptive

GRID = tile_grid((336, 192), (96, 96), 0.25)
LIMIT = 6
"""Most detections of an image."""

needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs g++")


def scenes() -> list[Frame]:
    """Noise, light that falls, an object that comes and stays, and restless ground in the end."""
    rng = np.random.default_rng(5)
    ground = np.kron(rng.integers(60, 180, (12, 21, 3)), np.ones((16, 16, 1)))
    frames = []
    for k in range(14):
        frame = ground * (1 - 0.02 * min(k, 5)) + rng.integers(-4, 5, ground.shape)
        if k > 6:
            frame[50:70, 200 : 220 + k] = (20, 20, 240)
        if k > 10:
            frame[100:180, 10:120] = rng.integers(0, 255, (80, 110, 3))
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def watched(device: Device, rows: Rows, frames: list[Frame]) -> tuple[list[Motion], list[np.ndarray]]:
    """Return what a GPU tells of frames, whose changed tiles are looked at, and its numbers."""
    motions, numbers = [], []
    device.bind()
    with device.scope() as scope:
        stream, buffer = scope.stream(), FrameBuffer(scope, GRID.frame_wh)
        watch = DeviceMotion(device, scope, GRID, buffer.device.address, rows)
        for number, frame in enumerate(frames):
            buffer.array[:] = frame
            if rows.all:
                buffer.upload(stream)
            else:
                fetch_rows(device, buffer, rows.every, rows.first, rows.count)(stream)
            watch.look(stream)
            motions.append(watch.wait())
            numbers.append(watch._signs.array.view(np.float32).reshape(-1, 8).copy())
            watch.learn(stream)
            stream.synchronize()
            numbers[-1][:, 2] = watch._peaks.array.view(np.float32)
            looked = np.flatnonzero(motions[-1].changed | (number == 0))
            if len(looked):
                table = TileTable.make(scope, len(looked))
                table.say(looked.tolist(), np.array(GRID.origins, np.int32))
                table.upload(stream)
                watch.remember(table.tiles, len(looked))(stream)
            stream.synchronize()
    return motions, numbers


@pytest.mark.parametrize("rows", [Rows(2, 0, 1), Rows(6, 2, 2)], ids=str)
def test_a_gpu_tells_what_the_host_tells(rows: Rows) -> None:
    frames = scenes()
    watch, expected = MotionWatch(GRID), []
    for frame in frames:
        expected.append(watch.look(brightness(frame)))
        watch.looked_at(np.flatnonzero(expected[-1].changed).tolist())
    found, _ = watched(emulated(), rows, frames)
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert np.count_nonzero(ours.changed != theirs.changed) <= 1, "a cell at its threshold"
        assert ours.camera == theirs.camera
    assert any(motion.changed.any() for motion in found[1:])
    assert not any(motion.changed.any() for motion in found[1:7])


@needs_compiler
def test_the_kernels_count_what_their_references_count() -> None:
    frames, rows = scenes()[6:12], Rows(6, 2, 2)
    motions, numbers = watched(emulated(CompiledDriver()), rows, frames)
    expected, references = watched(emulated(), rows, frames)
    for ours, theirs, motion, other in zip(
        numbers[1:], references[1:], motions[1:], expected[1:], strict=True
    ):
        assert np.abs(ours[:, :2] - theirs[:, :2]).max() <= 1
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-3, atol=0.02)
        scale = np.abs(theirs[:, 3:]).max(axis=0) + 1
        assert (np.abs(ours[:, 3:] - theirs[:, 3:]) <= 2e-3 * scale).all()
        np.testing.assert_array_equal(motion.changed, other.changed)


def check_what_travels(device: Device) -> None:
    """Rows and tiles of a frame come to the GPU, and nothing else; what tiles give goes to their places."""
    wh, tiles = (96, 50), tile_grid((96, 50), (32, 32), 0.3)
    picture = np.random.default_rng(1).integers(1, 256, (50, 96, 3), np.uint8)
    device.bind()
    with device.scope() as scope:
        stream, frame, back = scope.stream(), FrameBuffer(scope, wh), scope.pinned(picture.nbytes)
        frame.array[:] = picture

        def arrived() -> Frame:
            stream.copy(back.address, frame.device.address, picture.nbytes)
            stream.clear(frame.device)
            stream.synchronize()
            return back.array.reshape(picture.shape).copy()

        arrived()
        fetch_rows(device, frame, 6, 2, 2)(stream)
        there = np.isin(np.arange(50) % 6, (2, 3))
        np.testing.assert_array_equal(arrived(), picture * there[:, None, None])
        chosen = [1, len(tiles.origins) - 1]
        table = TileTable.make(scope, 2)
        table.say(chosen, np.array(tiles.origins, np.int32))
        table.upload(stream)
        fetch_tiles(device, frame, tiles, table, 6, 2, 2)(stream)
        found = arrived()
        for tile in chosen:
            x, y = tiles.origins[tile]
            part = slice(y, y + 32), slice(x, x + 32)
            np.testing.assert_array_equal(found[part], (picture * ~there[:, None, None])[part])
        assert (found == picture).all(axis=2).mean() < 0.5
        for nbytes in (12, 32):  # not a multiple of what is copied at once, and one
            given = scope.constant(np.arange(2 * nbytes, dtype=np.uint8))
            every = scope.constant(np.full((len(tiles.origins), nbytes), 255, np.uint8))
            spread(device, given.address, every.address, nbytes, table)(stream)
            stream.copy(back.address, every.address, every.nbytes)
            stream.synchronize()
            there = back.array[: every.nbytes].reshape(-1, nbytes)
            np.testing.assert_array_equal(there[chosen], np.arange(2 * nbytes).reshape(2, nbytes))
            assert np.count_nonzero((there != 255).any(axis=1)) == 2


def told_by(device: Device, looks: list[tuple[Records, np.ndarray]], limit: int) -> list[int]:
    """Return the tiles that a GPU finds unsettled between two looks, or with news of the global pass."""
    tiles = len(GRID.origins)
    device.bind()
    with device.scope() as scope:
        flags, stream = scope.pinned(4 * tiles), scope.stream()
        given = [
            ("pointer", scope.constant(part).address) for kept, counts in looks for part in (kept, counts)
        ]
        if len(looks[0][1]) == tiles:
            name, more = "settle", [("int", limit), ("float", TOLD), ("float", SAME_PLACE)]
        else:
            at, (wide, high) = scope.constant(np.array(GRID.origins, np.int32)).address, GRID.content_wh
            name, more = "news_of", [("pointer", at), ("int", wide), ("int", high)]
            more += [("float", UNSURE), ("float", SAME_PLACE)]
        arguments: list[Argument] = [*given, *more, ("pointer", flags.address)]  # type: ignore[list-item]
        launch = device.launch(
            "chosen", name, grid=(tiles, 1, 1), block=(64, 1, 1), arguments=arguments, defines={}
        )
        launch(stream)
        stream.synchronize()
        return np.flatnonzero(flags.array.view(np.int32)).tolist()


def two_looks() -> list[list[tuple[Records, np.ndarray]]]:
    """Return two looks at all tiles, and two of the global pass."""
    rng = np.random.default_rng(3)
    return [
        [drafts(rng, images, LIMIT, size) for _ in range(2)]
        for images, size in ((len(GRID.origins), 90), (1, 300))
    ]


@needs_compiler
def test_only_what_is_looked_at_travels() -> None:
    for device in (emulated(), emulated(CompiledDriver())):
        check_what_travels(device)


@needs_compiler
def test_what_came_went_or_moved_is_told_alike_and_is_what_the_host_says() -> None:
    tiles = len(GRID.origins)
    for looks in two_looks():
        told = [told_by(device, looks, LIMIT) for device in (emulated(), emulated(CompiledDriver()))]
        chooser = Chooser(GRID, Adaptive(1000), lambda wish: wish)
        chooser.told(range(tiles), ())
        whole = len(looks[0][1]) == 1
        for kept, counts in reversed(looks):  # now is the first
            if whole:
                chooser.global_found(look(kept, counts, LIMIT))
            else:
                chooser.looked(range(tiles), look(kept, counts, LIMIT))
        host = chooser._news if whole else chooser._unsettled
        assert told[0] == told[1] == sorted(host)
        assert 0 < len(told[0]) < tiles


def drafts(rng: np.random.Generator, images: int, limit: int, size: int) -> tuple[Records, np.ndarray]:
    """Return detections of images: some are where those of another draft are, some are elsewhere."""
    kept = np.zeros((images, limit), CANDIDATE)
    steady = np.random.default_rng(1).uniform(0, size - 30, (images, limit, 2))
    moved = rng.random((images, limit, 1)) < 0.3
    kept["box"][..., :2] = np.where(moved, rng.uniform(0, size - 30, steady.shape), steady)
    kept["box"][..., 2:] = kept["box"][..., :2] + 25
    kept["score"] = rng.uniform(0.3, 0.8, (images, limit))
    return kept, np.full(images, limit if images == 1 else 1, np.int32)


def look(kept: Records, counts: np.ndarray, limit: int) -> Finds:
    found = [kept[k, : int(count)] for k, count in enumerate(counts)]
    tile = np.repeat(np.arange(len(found)), counts)
    all_of_them = np.concatenate(found)
    return Finds(tile, all_of_them["box"], all_of_them["score"], all_of_them["label"].astype(np.int64))


def test_rows_of_a_letterbox_are_those_that_it_reads() -> None:
    for wh, small, rows in (
        ((3840, 2160), 640, Rows(6, 2, 2)), ((1920, 1080), 320, Rows(6, 2, 2)),
        ((1920, 1080), 640, Rows(3, 1, 1)),
        ((1280, 720), 640, Rows()), ((1000, 700), 640, Rows()),
    ):  # fmt: skip
        assert Rows.looked_at(Letterbox.fit(wh, (small, small))) == rows
    assert Rows.looked_at(None) == Rows(2, 0, 1)
