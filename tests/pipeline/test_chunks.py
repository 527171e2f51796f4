"""Batches of a bounded size: which they are, and that nothing else changes by them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cuda.emulated_engine import EmulatedEngine
from tests.cuda.emulator import HostDriver, emulated
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.arrays import Frame
from yolotrt.backends.admission import admit
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.errors import UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline import chunks
from yolotrt.pipeline.chunks import MOST_AT_ONCE, in_batches
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device.dispatch import DEVICE_DISPATCH, DeviceDispatch
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.dispatch import DISPATCH_MODES, DispatchMode
from yolotrt.pipeline.settings import PASS_MODES, PassMode, PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline

DECODE = DecodeSettings(conf=0.55, iou=0.5, max_det=20)


class _Counting(OnnxRuntimeEngine):
    """Notes the batches that contexts are made for."""

    def __init__(self, path: Path, batches: tuple[int, ...] = ()) -> None:
        super().__init__(replace(admit(path, trust=True), batches=batches))
        self.asked: list[int] = []

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Any:
        self.asked.append(batch)
        return super().new_context(batch, lane=lane, threads=threads)


@pytest.fixture
def frame() -> Frame:
    """A frame of 6 tiles."""
    return np.random.default_rng(3).integers(0, 256, (100, 151, 3), np.uint8)


def assert_equal(one: Detections, other: Detections) -> None:
    assert len(one) == len(other) > 2
    for a, b in ((one.boxes, other.boxes), (one.scores, other.scores), (one.classes, other.classes)):
        np.testing.assert_array_equal(a, b)
    for mask, twin in zip(one.masks or (), other.masks or (), strict=True):
        assert (mask.x, mask.y) == (twin.x, twin.y)
        np.testing.assert_array_equal(mask.bits, twin.bits)


@pytest.mark.parametrize(
    ("tiles", "batches", "fixed", "sizes"),
    [
        (32, (), None, [32]),  # a 4K frame is one batch, as ever
        (33, (), None, [16, 17]),
        (96, (), None, [32, 32, 32]),
        (96, (1, 4, 8), None, [8] * 12),
        (44, (1, 4, 8, 32), None, [32, 8, 4]),
        (96, tuple(range(1, 65)), None, [48, 48]),
        (96, (96,), None, [96]),
        (6, (1, 4, 8, 16, 32), None, [4, 1, 1]),  # a frame of 1280x720
        (3, (4, 8), None, [3]),  # smaller than all profiles: the engine says so, and which to build
        (70, (32,), None, [32, 32, 6]),
        (5, (), 1, [1] * 5),
        (6, (), 3, [3, 3]),
    ],
)
def test_batches_are_what_the_engine_takes(
    tiny_onnx: Path, tiles: int, batches: tuple[int, ...], fixed: int | None, sizes: list[int]
) -> None:
    file = admit(tiny_onnx, trust=True)
    file = replace(file, batches=batches, spec=replace(file.spec, batch=fixed))
    found = in_batches(range(5, 5 + tiles), file)
    assert [len(batch) for batch in found] == sizes
    assert [i for batch in found for i in batch] == list(range(5, 5 + tiles))


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 4096))
def test_no_batch_of_an_engine_that_takes_any_is_too_large(tiny_onnx: Path, tiles: int) -> None:
    sizes = [len(batch) for batch in in_batches(range(tiles), admit(tiny_onnx, trust=True))]
    assert max(sizes) <= MOST_AT_ONCE
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == tiles


def test_a_large_frame_never_asks_for_more(tiny_onnx: Path) -> None:
    engine = _Counting(tiny_onnx)
    frame = np.random.default_rng(1).integers(0, 256, (500, 700, 3), np.uint8)
    with TiledPipeline(engine, PipelineSettings("tiled", decode=DECODE)) as pipeline:
        assert len(pipeline(frame).tiles) == 140
    assert max(engine.asked) == 28  # 5 batches of one size, on one context
    assert engine.asked == [28]
    assert len(engine._lanes[1, 0].images) == 28


@pytest.mark.parametrize("dispatch", DISPATCH_MODES)
@pytest.mark.parametrize("mode", ["tiled", "tiled+global"])
def test_the_host_finds_the_same_to_the_bit(
    tiny_onnx: Path, frame: Frame, dispatch: DispatchMode, mode: PassMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PipelineSettings(mode, dispatch=dispatch, cpu_threads=2, decode=DECODE)
    with TiledPipeline(_Counting(tiny_onnx), replace(settings, groups=6)) as pipeline:
        expected = pipeline(frame)
    monkeypatch.setattr(chunks, "MOST_AT_ONCE", 1)
    for groups in (1, 2, 4):
        engine = _Counting(tiny_onnx)
        with TiledPipeline(engine, replace(settings, groups=groups)) as pipeline:
            found = pipeline(frame)
        assert set(engine.asked) == {1}
        assert_equal(found.detections, expected.detections)
        for one, other in zip(found.tiles, expected.tiles, strict=True):
            np.testing.assert_array_equal(one.boxes, other.boxes)
        spans = [s for s in found.trace.spans if s.stage == "enqueue" and s.scope == "tiles"]
        assert sorted({s.group for s in spans if s.group is not None}) == list(range(groups))


@pytest.mark.parametrize("mode", ["tiled", "tiled+global"])
@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
def test_the_gpu_finds_the_same_to_the_bit_and_groups_stay_groups(
    tiny_onnx: Path, frame: Frame, dispatch: DeviceDispatch, mode: PassMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PipelineSettings(mode, dispatch=dispatch, decode=DECODE, depth=2, measure=True)

    def run(groups: int) -> tuple[list[Detections], HostDriver, EmulatedEngine, list[int]]:
        driver = HostDriver()
        engine, device = EmulatedEngine(driver, tiny_onnx), emulated(driver)
        frames = [frame, np.roll(frame, 17, axis=1), frame]
        with DevicePipeline([Gpu(device, engine)], replace(settings, groups=groups)) as pipeline:
            results = list(pipeline.frames(frames))
        assert device.live == {}
        assert driver.races() == []
        spans = results[0].trace.spans
        groups_seen = [s.group for s in spans if s.stage == "enqueue" and s.on == "device"]
        return [r.detections for r in results], driver, engine, [g for g in groups_seen if g is not None]

    expected, *_ = run(6)
    monkeypatch.setattr(chunks, "MOST_AT_ONCE", 1)
    for groups in (1, 2, 4):
        found, driver, engine, seen = run(groups)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
        assert sorted(seen) == list(range(groups))
        # A lane for each group, and one for the global pass: batches of a group share their memory.
        lanes = 1 if dispatch == "serial" else groups
        assert len(set(engine.lanes)) == lanes + ("global" in mode)
        assert driver.names().count("infer") % 6 == 0 or "global" in mode


def test_a_frame_for_the_global_pass_alone_may_have_any_size(tiny_onnx: Path) -> None:
    frame = np.zeros((2500, 2500, 3), np.uint8)
    driver = HostDriver()
    on_gpu = EmulatedEngine(driver, tiny_onnx)
    on_gpu.device = emulated(driver)
    for engine in (_Counting(tiny_onnx), on_gpu):
        with TiledPipeline(engine, PipelineSettings("global", decode=DECODE)) as pipeline:
            assert not pipeline(frame).tiles
        for mode in PASS_MODES[::2]:
            with (
                TiledPipeline(engine, PipelineSettings(mode, overlap=0.5, decode=DECODE)) as pipeline,
                pytest.raises(UsageError, match=r"6,084 tiles .* more than the 4,096"),
            ):
                pipeline(frame)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_an_overlap_that_is_none_is_refused_before_anything_is_loaded(overlap: float) -> None:
    with pytest.raises(UsageError, match="overlap"):
        TiledPipeline.open("there-is-no-such.engine", overlap=overlap)


def test_the_size_that_was_used_longest_ago_is_forgotten_first(tiny_onnx: Path) -> None:
    engine = _Counting(tiny_onnx)

    def look(*sides: int) -> int:
        """Return how many contexts were made for frames of these sides."""
        before = len(engine.asked)
        for side in sides:
            pipeline(np.zeros((side, side, 3), np.uint8))
        return len(engine.asked) - before

    with TiledPipeline(engine, PipelineSettings("tiled", decode=DECODE)) as pipeline:
        assert look(*range(10, 18)) == 8
        assert look(10) == 0
        assert look(20) == 1  # the ninth: 11 has to go, not 10, which was made first but used since
        assert look(10, *range(12, 18), 20) == 0
        assert look(11) == 1


def test_the_second_batch_of_a_size_takes_no_memory_besides_the_first(tmp_path: Path) -> None:
    """ONNX Runtime plans one block after the first batch; what the first took must not stay as well."""
    write_tiny_yolo(tmp_path / "n.onnx", 320)
    code = """
import sys
from pathlib import Path
from yolotrt.backends.onnxruntime import cpu as backend
from yolotrt.backends.admission import admit
from yolotrt.machine.memory import _high_water
if sys.argv[1] == "keep":
    import onnxruntime
    backend._shrinking = onnxruntime.RunOptions
engine = backend.OnnxRuntimeEngine(admit(Path("n.onnx"), trust=True))
context = engine.new_context(32)
before = _high_water()
first = [v.copy() for v in context.run()]
again = context.run()
assert all((a == b).all() for a, b in zip(first, again))
print(_high_water() - before)
"""
    took = {
        way: int(
            subprocess.run(
                [sys.executable, "-c", code, way], cwd=tmp_path, capture_output=True, text=True, check=True
            ).stdout
        )
        for way in ("keep", "give back")
    }
    assert took["give back"] < 0.8 * took["keep"], took
