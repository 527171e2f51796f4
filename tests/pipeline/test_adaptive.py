"""Tiles chosen frame by frame, on a processor and on an emulated GPU, against looking at all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.pipeline.test_tiled import DECODE, on_cpu, on_gpu
from yolotrt.arrays import Frame
from yolotrt.bench.settings import SweepSettings
from yolotrt.errors import UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.thumbnail import brightness, cells_of
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.adaptive import AdaptivePipeline
from yolotrt.pipeline.choosing import NOTHING, Chooser, Finds, Reason
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.motion import Motion, MotionWatch
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice, regions_file
from yolotrt.pipeline.tiled import TiledPipeline

GRID = tile_grid((640, 384), (128, 128), 0.25)


def ground(seed: int = 0, wh: tuple[int, int] = GRID.frame_wh) -> Frame:
    coarse = np.random.default_rng(seed).integers(60, 180, (wh[1] // 16, wh[0] // 16, 3), np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


def noisy(frame: Frame, seed: int, strength: int = 4) -> Frame:
    noise = np.random.default_rng((9, seed)).integers(-strength, strength + 1, frame.shape)
    return np.clip(frame.astype(int) + noise, 0, 255).astype(np.uint8)


def with_square(frame: Frame, x: int, y: int, side: int = 20) -> Frame:
    frame = frame.copy()
    frame[max(y, 0) : y + side, max(x, 0) : x + side] = (20, 20, 240)
    return frame


def tiles_at(x: float, y: float) -> set[int]:
    return {
        i for i, (left, top) in enumerate(GRID.origins) if left <= x < left + 128 and top <= y < top + 128
    }


def watched(frames: list[Frame]) -> list[tuple[set[int], bool]]:
    """Return the tiles that changed and whether the camera moved, where changed tiles are looked at."""
    watch, found = MotionWatch(GRID), []
    for frame in frames:
        seen = watch.look(brightness(frame))
        looked = np.flatnonzero(seen.changed | seen.blind | seen.camera).tolist()
        watch.looked_at(looked)
        found.append((set(np.flatnonzero(seen.changed).tolist()), seen.camera))
    return found


def test_an_object_changes_the_tiles_that_show_it_and_noise_and_light_change_none() -> None:
    still = ground()
    frames = [noisy(still, k) for k in range(12)]
    darker = [noisy((still * (1 - 0.02 * k)).astype(np.uint8), 50 + k) for k in range(10)]
    entering = with_square((still * 0.82).astype(np.uint8), -8, 200)
    streak = noisy(with_square((still * 0.82).astype(np.uint8), 300, 100), 98)
    seen = watched([*frames, *darker, streak, *(noisy(entering, 99 + k) for k in range(2))])
    assert seen[0][0] == set(range(len(GRID.origins)))
    assert not any(changed or camera for changed, camera in seen[1:-1]), "nor what shows for one frame"
    assert seen[-1] == (tiles_at(4, 210), False), "the second frame that shows it is the first that tells"


def test_what_creeps_adds_up() -> None:
    frames = [with_square(ground(), 200 + k, 150) for k in range(12)]
    looks = [changed for changed, _ in watched(frames)[1:]]
    assert 1 < sum(bool(changed) for changed in looks) < 11
    assert set().union(*looks) <= tiles_at(210, 160) | tiles_at(202, 160)


def test_a_camera_that_moves_makes_all_tiles_due() -> None:
    wide = cv2.GaussianBlur(ground(1, (800, 384)), (0, 0), 2)
    seen = watched([np.ascontiguousarray(wide[:, k * 2 : k * 2 + 640]) for k in range(4)])
    assert [bool(camera) for _, camera in seen] in ([False, True, True, True], [False, True, False, True])


def test_restless_ground_is_blind_and_looked_at() -> None:
    still, watch = ground(), MotionWatch(GRID)
    for k in range(25):
        frame = still.copy()
        frame[100:228, 200:328] = ground(100 + k, (128, 128))
        seen = watch.look(brightness(frame))
        watch.looked_at(np.flatnonzero(seen.changed).tolist())
    assert set(np.flatnonzero(seen.blind).tolist()) >= tiles_at(264, 164)
    assert not seen.blind[len(GRID.origins) - 1]


def test_cells_of_tiles_cover_what_they_show() -> None:
    small = np.zeros((-(-100 // 8), -(-151 // 8)))
    for rows, columns in cells_of(tile_grid((151, 100), (64, 64), 0.2)):
        assert small[rows, columns].shape >= (8, 8)
        small[rows, columns] += 1
    assert small.min() >= 1


@pytest.mark.parametrize("refresh", [1, 4, 15])
def test_every_tile_is_looked_at_within_the_bound(refresh: int) -> None:
    chooser, watch = Chooser(GRID, Adaptive(refresh), lambda wish: wish), MotionWatch(GRID)
    rng, last = np.random.default_rng(refresh), dict[int, int]()
    count = len(GRID.origins)
    still = brightness(ground())
    for frame in range(3 * refresh + 20):
        small = still.copy()
        if frame % 3 == 2:  # other reasons come between
            rows, columns = cells_of(GRID)[int(rng.integers(count))]
            small[rows, columns] = rng.integers(0, 255)
        chosen = chooser.choose(watch.look(small))
        assert chosen.waited <= refresh or not frame
        watch.looked_at(list(chosen.reasons))
        chooser.looked(list(chosen.reasons), NOTHING)
        for tile in chosen.reasons:
            last[tile] = frame
        assert max(frame - last[tile] for tile in range(count)) < refresh
    assert len(last) == count


def box(x: float, score: float = 0.9, label: int = 0) -> Detections:
    boxes = np.array([[x, 10, x + 30, 40]], np.float32)
    return Detections(boxes, np.array([score], np.float32), np.array([label]), None)


def test_a_tile_whose_objects_move_and_news_of_the_global_pass_are_looked_at() -> None:
    count = len(GRID.origins)
    chooser, nothing = Chooser(GRID, Adaptive(1000), lambda wish: wish), Detections.empty(masks=False)
    still = Motion(np.zeros(count, np.bool_), np.zeros(count, np.bool_), camera=False)

    def chosen(seen: Detections) -> dict[int, Reason]:
        chooser.global_found(Finds.of([0], [seen]))
        return chooser.choose(still).reasons

    assert list(chosen(nothing).values()) == ["first"] * count
    chooser.looked(range(count), NOTHING)
    second = chosen(nothing)
    assert list(second.values()) == ["refresh"]
    (tile,) = second
    chooser.looked([tile], Finds.of([tile], [box(50)]))  # nothing was there before
    assert chosen(nothing)[tile] == "unsettled"
    chooser.looked([tile], Finds.of([tile], [box(52)]))
    news = box(300, score=0.3)
    fourth = chosen(news)
    assert tile not in fourth
    assert {t for t, why in fourth.items() if why == "global"} == tiles_at(301, 20) | tiles_at(329, 20)
    assert "global" not in chosen(news).values()


@pytest.mark.parametrize("make", [on_cpu, on_gpu])
def test_a_still_scene_costs_few_tiles_and_gives_the_same(
    tiny_onnx: Path, make: Callable[[Path], Any]
) -> None:
    plain = PipelineSettings(decode=DECODE)
    adaptive = replace(plain, tiles=TileChoice.parse("adaptive:6"))
    still = ground(3, (304, 208))
    frames = [still, still, *[with_square(still, 100, 90, 40)] * 3]
    with TiledPipeline(make(tiny_onnx), plain) as full, TiledPipeline(make(tiny_onnx), adaptive) as some:
        for number, frame in enumerate(frames):
            expected, result = full(frame), some(frame)
            if number != 2:  # what is new shows in the next frame
                assert_same(result.detections, expected.detections)
            assert result.looked is not None
            ran = len(result.looked.chosen.reasons)
            if number:
                assert 0 < ran < result.looked.chosen.tiles / 2
                assert result.looked.carried.any()
                assert not result.looked.carried.all()
                assert set(result.trace.stages()) >= {"decide", "tiles", "global", "merge", "end_to_end"}
            else:
                assert result.looked.chosen.all
                assert not result.looked.carried.any()


def assert_same(found: Detections, expected: Detections) -> None:
    assert len(found) == len(expected) > 2
    order, other = (np.lexsort(d.boxes.round(1).T) for d in (found, expected))
    np.testing.assert_allclose(found.boxes[order], expected.boxes[other], atol=2e-2)
    assert found.masks is not None
    assert [found.masks[i].area for i in order] == [expected.masks[i].area for i in other]  # type: ignore[index]


def test_a_frame_in_the_buffer_is_seen_before_the_next_one_is_written_there(tiny_onnx: Path) -> None:
    settings = PipelineSettings("tiled", tiles=TileChoice.parse("adaptive"), decode=DECODE)
    with TiledPipeline(on_gpu(tiny_onnx), settings) as pipeline:
        expected, pending = pipeline(ground(1, (160, 112))).detections, []
        for seed in (1, 2):
            buffer = pipeline.frame_buffer((160, 112))
            buffer[:] = ground(seed, (160, 112))
            pending.append(pipeline.submit(buffer))
        assert_same(pending[0].result().detections, expected)


def test_cameras_are_told_apart_and_a_new_size_begins_anew(tiny_onnx: Path) -> None:
    settings = PipelineSettings("tiled", tiles=TileChoice.parse("adaptive"), decode=DECODE)
    one, other = ground(1, (304, 208)), ground(2, (304, 208))

    def ran(result: FrameResult) -> bool:
        assert result.looked is not None
        return result.looked.chosen.all

    with TiledPipeline(on_cpu(tiny_onnx), settings) as pipeline:
        looks = [pipeline(f, stream=s) for f, s in ((one, 1), (other, 2), (one, 1), (other, 2))]
        assert [ran(look) for look in looks] == [True, True, False, False]
        assert ran(pipeline(one[:192], stream=1))
        assert ran(pipeline(one[:40], stream=1)), "tiles that are larger than the frame: all of them"


def test_regions_leave_out_tiles_in_every_mode(tiny_onnx: Path, tmp_path: Path) -> None:
    lane = tmp_path / "lane,left.json"
    lane.write_text("[[[0, 0], [100, 0], [100, 60]]]")
    still = ground(4, (304, 208))
    assert TileChoice.parse(f"roi:{lane},adaptive:7").words == "adaptive:7,roi:lane,left.json"
    assert regions_file(f"roi:{lane},adaptive") == regions_file(f"adaptive,roi:{lane}") == lane
    for text in (f"roi:{lane}", f"adaptive,roi:{lane}"):
        settings = PipelineSettings("tiled", tiles=TileChoice.parse(text), decode=DECODE)
        for make in (on_cpu, on_gpu):
            with TiledPipeline(make(tiny_onnx), settings) as pipeline:
                first, second = pipeline(still), pipeline(still)
            assert len(first.tiles) == len(settings.grid((304, 208), (64, 64)).origins) == 3
            assert (first.detections.boxes[:, 0] < 168).all()
            assert_same(second.detections, first.detections)


def test_tiles_are_filled_up_to_what_few_batches_take(tiny_onnx: Path) -> None:
    file = replace(on_cpu(tiny_onnx).file, batches=(1, 4, 8))
    settings = PipelineSettings(tiles=TileChoice.parse("adaptive"))

    def counts(settings: PipelineSettings) -> list[int]:
        return AdaptivePipeline(None, file, settings, on_gpu=True)._runnable(32)[:14]  # type: ignore[arg-type]

    assert counts(settings) == [1, 1, 2, 4, 4, 5, 8, 8, 8, 9, 10, 12, 12, 13]
    assert counts(replace(settings, groups=2))[:6] == [1, 1, 2, 3, 4, 8]


def test_what_makes_no_sense_is_refused() -> None:
    adaptive = TileChoice.parse("adaptive:30")
    assert (adaptive.words, TileChoice.parse("all").words) == ("adaptive:30", "all")
    for text in ("some", "adaptive:0", "adaptive:x", "roi:", "all:3", ""):
        with pytest.raises(UsageError, match=r"--tiles|makes no sense"):
            TileChoice.parse(text)
    with pytest.raises(UsageError, match="means nothing without tiles"):
        PipelineSettings("global", tiles=adaptive)
    with pytest.raises(UsageError, match="means nothing without tiles"):
        SweepSettings(("global",), tiles=adaptive)
    with pytest.raises(UsageError, match="two cannot be in flight"):
        PipelineSettings(depth=2, tiles=adaptive)


def test_masks_that_need_more_room_make_all_tiles_run(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolotrt.pipeline.device.passes.WORD", 100_000)  # room for nearly nothing
    plain = PipelineSettings(decode=DECODE)
    still = np.full((208, 304, 3), 90, np.uint8)
    busy = with_square(still, 100, 90, 40)
    with (
        TiledPipeline(on_gpu(tiny_onnx), replace(plain, tiles=TileChoice.parse("adaptive"))) as some,
        TiledPipeline(on_cpu(tiny_onnx), plain) as full,
    ):
        results = [some(frame) for frame in (still, still, busy, busy)]
        assert_same(results[-1].detections, full(busy).detections)
    assert [one.looked is not None and one.looked.chosen.all for one in results] == [True, False, True, False]
