"""Frames of several cameras in one batch of the (emulated) GPU find what they find alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda.emulator import HostDriver
from tests.data.yuv_frames import COLOURS, noise
from tests.pipeline.test_device import _Runner, assert_same
from tests.pipeline.test_device_yuv import WH, uploaded
from tests.pipeline.test_tiled import DECODE, on_cpu, on_gpu
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.frame_pool import FramePool
from yolotrt.pipeline.device import passes
from yolotrt.pipeline.device.passes import DevicePass
from yolotrt.pipeline.device.together import _sizes
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline


def pictures(count: int, wh: tuple[int, int] = (100, 80)) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (wh[1], wh[0], 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize(("dispatch", "reads"), [("serial", False), ("graph", True)])
def test_pictures(tiny_onnx: Path, dispatch: str, reads: bool) -> None:
    run = _Runner(HostDriver(), tiny_onnx)
    run.engine.reads_frames = reads
    frames = pictures(3)
    with run.pipeline(mode="global", dispatch=dispatch) as pipeline:
        alone = [pipeline(frame).detections for frame in frames]
        assert sum(map(len, alone)) > 6
        run.driver.forget()
        for _ in range(2):
            found = pipeline.together(frames)
            for one, right in zip(found, alone, strict=True):
                assert_same(one.detections, right)
                assert_same(one.global_pass, right)
        assert found[0].seconds > 0
        assert list(pipeline._shared._made) == [3]
        assert run.driver.races() == []
        assert len(pipeline.together([frames[0], pictures(1, (90, 60))[0], frames[1]])) == 3, "of two sizes"
        waiting = pipeline.submit(frames[2])
        assert len(pipeline.together(frames[:2])) == 2
        assert_same(waiting.result().detections, alone[2])
    assert run.device.live == {}


def test_frames_that_a_decoder_left_on_the_gpu(tiny_onnx: Path) -> None:
    run, colours = _Runner(HostDriver(), tiny_onnx), COLOURS[0]
    pool = FramePool(run.device, WH, colours)
    frames = [uploaded(pool, np.roll(noise(WH, colours), 8 * i, axis=1)) for i in range(2)]
    for reads in (False, True):
        run.engine.reads_frames = run.engine.reads_yuv = reads
        with run.pipeline(mode="global") as pipeline:
            alone = [pipeline(frame).detections for frame in frames]
            for one, right in zip(pipeline.together(frames), alone, strict=True):
                assert_same(one.detections, right)
    assert run.driver.races() == []
    del frames
    pool.close()
    assert run.device.live == {}


def test_without_memory_for_a_batch_frames_run_in_smaller_ones(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, frames = _Runner(HostDriver(), tiny_onnx), pictures(3)
    begin = DevicePass.warm_up

    def full(self: DevicePass, *given: Any) -> None:
        begin(self, *given)
        if len(self._batches[0][0]) > 1:
            raise OutOfDeviceMemory("The GPU is full.")

    monkeypatch.setattr(DevicePass, "warm_up", full)
    with run.pipeline(mode="global") as pipeline:
        alone = [pipeline(frame).detections for frame in frames]
        for one, right in zip(pipeline.together(frames), alone, strict=True):
            assert_same(one.detections, right)
        assert pipeline.most_together == 1
    assert run.device.live == {}


def test_masks_that_need_more_room_get_it(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, frames = _Runner(HostDriver(), tiny_onnx), pictures(2)
    with run.pipeline(mode="global") as pipeline:
        alone = [pipeline(frame).detections for frame in frames]
    monkeypatch.setattr(passes, "WORD", 1 << 14)  # so that little room is made
    with run.pipeline(mode="global") as pipeline:
        for one, right in zip(pipeline.together(frames), alone, strict=True):
            assert_same(one.detections, right)
    assert run.device.live == {}


def test_batches_are_those_that_the_engine_takes_and_tiles_fill_their_own(tiny_onnx: Path) -> None:
    engine = on_gpu(tiny_onnx)
    engine.file = replace(engine.file, batches=(1, 2, 8))
    frames = [(frame, place) for place, frame in enumerate(pictures(5))]
    with TiledPipeline(engine, PipelineSettings("global", decode=DECODE, depth=2)) as pipeline:
        assert pipeline.most_together == 8
        alone = [pipeline(frame).detections for frame, _ in frames]
        for one, right in zip(pipeline.together(frames), alone, strict=True):
            assert_same(one.detections, right)
        assert pipeline._on_gpus is not None
        assert list(pipeline._on_gpus._shared._made) == [2]
    assert _sizes(()) == _sizes(range(1, 33)) == [32, 16, 8, 4, 3, 2]
    assert _sizes((1, 6)) == [6]
    with TiledPipeline(engine, PipelineSettings(decode=DECODE)) as tiled:
        assert tiled.most_together == 1
    with TiledPipeline(on_cpu(tiny_onnx), PipelineSettings("global", decode=DECODE)) as host:
        assert host.most_together == 1
        assert len(host.together(frames[:2])) == 2
