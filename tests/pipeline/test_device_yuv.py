"""Frames that a decoder left on the (emulated) GPU give what their pictures give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cuda.emulator import HostDriver
from tests.data.yuv_frames import COLOURS, bgr, noise
from tests.pipeline.test_device import _Runner, assert_same
from yolotrt.cuda.frame_pool import FramePool
from yolotrt.data.colours import Colours
from yolotrt.data.yuv import YuvFrame
from yolotrt.pipeline.tile_choice import TileChoice

WH = (150, 100)


def uploaded(pool: FramePool, samples: np.ndarray) -> YuvFrame:
    frame = pool.take()
    with pool._device.scope() as scope:
        source, stream = scope.pinned(samples.nbytes), scope.stream()
        source.array[: samples.nbytes] = samples.reshape(-1).view(np.uint8)
        stream.copy(frame.address, source.address, samples.nbytes)
        stream.synchronize()
    return frame


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("colours", [COLOURS[0], COLOURS[2]], ids=["nv12", "p010"])
def test_a_frame_on_the_gpu_finds_what_its_picture_does(
    tiny_onnx: Path, colours: Colours, depth: int
) -> None:
    driver = HostDriver()
    run = _Runner(driver, tiny_onnx)
    frames = [np.roll(noise(WH, colours), 8 * i, axis=1) for i in range(3)]
    with run.pipeline(groups=2) as pipeline:
        expected = [pipeline(bgr(samples, colours)).detections for samples in frames]
    pool = FramePool(run.device, WH, colours)
    before = run.device.live
    driver.forget()
    with run.pipeline(groups=2, mode="tiled+global", depth=depth) as both:
        list(both.frames(uploaded(pool, samples) for samples in frames))
        assert driver.races() == []
        assert "letterbox" not in driver.names()
        assert "letterbox_yuv" in driver.names()
    with run.pipeline(groups=2, depth=depth) as pipeline:
        found = [r.detections for r in pipeline.frames(uploaded(pool, samples) for samples in frames)]
    for one, other in zip(found, expected, strict=True):  # of which a level may be rounded the other way
        assert len(one) == len(other) > 2
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
    assert pool._free, "memory comes back"
    assert len(pool._free) <= depth + 2
    assert before.get("buffer", 0) <= run.device.live.get("buffer", 0) <= depth + 2
    pool.close()
    assert run.device.live == {}


def test_an_engine_reads_such_frames_itself_if_it_can(tiny_onnx: Path) -> None:
    run, colours = _Runner(HostDriver(), tiny_onnx), COLOURS[0]
    samples = noise(WH, colours)
    with run.pipeline(mode="tiled+global") as pipeline:
        frame = uploaded(pool := FramePool(run.device, WH, colours), samples)
        expected = pipeline(frame).detections
    run.engine.reads_frames = run.engine.reads_yuv = True
    run.driver.forget()
    with run.pipeline(mode="tiled+global") as pipeline:
        assert_same(pipeline(frame).detections, expected, exactly=True)
    assert not {"cut_tiles_yuv", "letterbox_yuv"} & set(run.driver.names())
    assert run.driver.races() == []
    del frame
    pool.close()


def test_memory_outlives_its_pool_and_pictures_are_made_when_asked_for(tiny_onnx: Path) -> None:
    run, colours = _Runner(HostDriver(), tiny_onnx), COLOURS[0]
    samples = np.full((WH[1] * 3 // 2, WH[0]), 128, np.uint8)
    pool = FramePool(run.device, WH, colours)
    frame = uploaded(pool, samples)
    pool.close()
    assert frame.shape == (100, 150, 3)
    assert np.abs(frame.bgr.astype(int) - bgr(samples, colours)).max() <= 3
    assert run.device.live == {"buffer": 1}
    del frame
    assert run.device.live == {}


def test_a_region_that_begins_below_the_top_is_read_as_well(tiny_onnx: Path, tmp_path: Path) -> None:
    lane = tmp_path / "lane.json"
    lane.write_text('{"size": [150, 100], "polygons": [[[10, 92], [140, 92], [140, 98], [10, 98]]]}')
    run, colours = _Runner(HostDriver(), tiny_onnx), COLOURS[0]
    samples = noise(WH, colours)
    with run.pipeline(mode="tiled", tiles=TileChoice.parse(f"roi:{lane}")) as pipeline:
        expected = pipeline(bgr(samples, colours)).detections
        frame = uploaded(pool := FramePool(run.device, WH, colours), samples)
        found = pipeline(frame).detections
    assert len(found) == len(expected) > 1
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
    del frame
    pool.close()
