"""The object that an application holds, on a processor and on an emulated GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.cuda.emulated_engine import EmulatedEngine
from tests.cuda.emulator import HostDriver, emulated
from yolotrt.arrays import Frame
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import Replicas
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.errors import ImageError, UsageError, YoloTrtError
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.flights import InTurn, Waiting
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.host import HostPipeline
from yolotrt.pipeline.settings import PASS_MODES, PassMode, PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline

DECODE = DecodeSettings(conf=0.55, iou=0.5, max_det=20)


@pytest.fixture
def frame() -> Frame:
    return np.random.default_rng(3).integers(0, 256, (100, 151, 3), np.uint8)


def on_gpu(path: Path) -> EmulatedEngine:
    driver = HostDriver()
    engine = EmulatedEngine(driver, path)
    engine.device = emulated(driver)
    return engine


def on_cpu(path: Path) -> OnnxRuntimeEngine:
    spec = read_spec(load_onnx(path), "tiny")
    return OnnxRuntimeEngine(EngineFile(path, "onnxruntime", "fp32", spec, (), sha256_file(path)))


@pytest.mark.parametrize("mode", PASS_MODES)
def test_an_engine_on_a_gpu_runs_there_and_finds_the_same(
    tiny_onnx: Path, frame: Frame, mode: PassMode
) -> None:
    settings = PipelineSettings(mode, decode=DECODE)
    with (
        TiledPipeline(on_cpu(tiny_onnx), settings) as host,
        TiledPipeline(on_gpu(tiny_onnx), settings) as gpu,
    ):
        assert isinstance(host._runner, HostPipeline)
        assert isinstance(gpu._runner, DevicePipeline)
        assert (gpu.names, gpu.group_bytes) == (host.names, ())
        expected, found = host(frame).detections, gpu(frame).detections
        assert len(gpu.group_bytes) == 1
    assert len(found) == len(expected) > 2
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)


def test_frames_in_rgb_are_turned_round_on_both(tiny_onnx: Path, frame: Frame) -> None:
    turned = np.ascontiguousarray(frame[..., ::-1])
    for engine in (on_cpu(tiny_onnx), on_gpu(tiny_onnx)):
        with TiledPipeline(engine, PipelineSettings(decode=DECODE)) as one:
            expected = one(frame).detections
        with TiledPipeline(engine, PipelineSettings(bgr=False, decode=DECODE)) as other:
            np.testing.assert_array_equal(other(turned).detections.boxes, expected.boxes)


def test_many_frames_come_in_order(tiny_onnx: Path, frame: Frame) -> None:
    frames = [np.roll(frame, 17 * i, axis=1) for i in range(4)]
    for engine, depth in ((on_cpu(tiny_onnx), 1), (on_gpu(tiny_onnx), 2)):
        with TiledPipeline(engine, PipelineSettings(depth=depth, decode=DECODE)) as pipeline:
            expected = [pipeline(f).detections.boxes for f in frames]
            found = [result.detections.boxes for result in pipeline.frames(iter(frames))]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [on_cpu, on_gpu])
def test_results_that_are_not_taken_block_nothing(
    tiny_onnx: Path, frame: Frame, make: Callable[[Path], Any]
) -> None:
    with TiledPipeline(make(tiny_onnx), PipelineSettings(depth=2, decode=DECODE)) as pipeline:
        for _ in pipeline.frames([frame] * 4):
            break
        results, others = pipeline.frames([frame] * 4), pipeline.frames([frame] * 4)
        expected = pipeline(frame).detections.boxes
        for result in (next(results), next(others), next(results), pipeline(frame), *results, *others):
            np.testing.assert_array_equal(result.detections.boxes, expected)
        left = pipeline.frames([frame] * 4)
        next(left)
    with pytest.raises(YoloTrtError, match=r"closed|lost"):
        list(left)
    with pytest.raises(UsageError, match="closed"):
        pipeline(frame)
    pipeline.close()


def test_a_frame_that_is_none_costs_no_other(tiny_onnx: Path, frame: Frame) -> None:
    other = frame[:64, :100]
    with TiledPipeline(on_gpu(tiny_onnx), PipelineSettings(depth=2, decode=DECODE)) as pipeline:
        results = pipeline.frames([frame, frame, "no frame", frame])
        assert len([next(results), next(results)]) == 2
        with pytest.raises(ImageError):
            next(results)
        expected = [pipeline(f).detections.boxes for f in (frame, other, frame)]
        found = [r.detections.boxes for r in pipeline.frames([frame, other, frame])]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_for_a_camera_is_uploaded_from(tiny_onnx: Path, frame: Frame) -> None:
    for engine in (on_cpu(tiny_onnx), on_gpu(tiny_onnx)):
        with TiledPipeline(engine, PipelineSettings(depth=2, decode=DECODE)) as pipeline:
            expected = pipeline(frame).detections.boxes
            for _ in range(3):
                buffer = pipeline.frame_buffer((151, 100))
                buffer[:] = frame
                np.testing.assert_array_equal(pipeline(buffer).detections.boxes, expected)


@pytest.mark.parametrize("dispatch", ["streams", "graph"])
def test_a_processor_has_no_streams(tiny_onnx: Path, dispatch: str) -> None:
    with pytest.raises(UsageError, match="needs an engine on a GPU") as error:
        TiledPipeline(on_cpu(tiny_onnx), PipelineSettings(dispatch=dispatch))
    assert "serial or threads" in (error.value.hint or "")


def test_two_gpus_share_a_frame(tiny_onnx: Path, frame: Frame) -> None:
    driver = HostDriver()
    engines = [EmulatedEngine(driver, tiny_onnx) for _ in range(2)]
    for engine in engines:
        engine.device = emulated(driver)
    settings = PipelineSettings("tiled+global", groups=4, decode=DECODE)
    with TiledPipeline(on_gpu(tiny_onnx), settings) as one:
        expected = one(frame).detections
    both = Replicas(engines)
    with TiledPipeline(both, settings) as two:
        found = two(frame).detections
        assert len(two.group_bytes) == 2
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_engines_on_different_devices_are_refused(tiny_onnx: Path) -> None:
    with pytest.raises(UsageError, match="different devices"):
        TiledPipeline(on_gpu(tiny_onnx), global_engine=on_cpu(tiny_onnx))


def test_pipelines_that_take_turns_count_their_lanes_from_zero(tiny_onnx: Path, frame: Frame) -> None:
    engine = on_gpu(tiny_onnx)
    settings = PipelineSettings("tiled", groups=2, dispatch="streams", decode=DECODE)
    for turns, lanes in ((True, {0, 1}), (False, {0, 1, 2, 3})):
        engine.lanes.clear()
        pipelines = [TiledPipeline(engine, settings, takes_turns=turns) for _ in range(2)]
        found = [pipeline(frame).detections.boxes for pipeline in pipelines]
        np.testing.assert_array_equal(*found)
        assert set(engine.lanes) == lanes
        for pipeline in pipelines:
            pipeline.close()


def test_the_frame_size_that_was_used_longest_ago_makes_room(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostPipeline, "MAX_PLANS", 3)
    pipeline = HostPipeline(on_cpu(tiny_onnx), PipelineSettings("global", decode=DECODE))
    sizes = [(64, 64), (65, 64), (66, 64), (67, 64)]
    for size in sizes[:3]:
        pipeline.prepare(size)
    first = pipeline._plan_for(sizes[0])  # used again: now the second is the oldest
    pipeline.prepare(sizes[3])
    assert list(pipeline._plans) == [sizes[2], sizes[0], sizes[3]]
    assert pipeline._plan_for(sizes[0]) is first
    pipeline.close()
    assert not pipeline._plans


def test_a_result_is_finished_once_however_often_it_is_taken() -> None:
    finished: list[object] = []

    def finish(result: FrameResult) -> FrameResult:
        finished.append(result)
        return result

    pending = InTurn(Waiting(lambda: cast(FrameResult, object())), threading.Lock(), finish)
    assert pending.result() is pending.result()
    assert len(finished) == 1
