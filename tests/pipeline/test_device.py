"""The GPU pipeline on an emulated GPU: results, order of work, resources, faults."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.cuda.emulated_engine import EmulatedEngine
from tests.cuda.emulator import HostDriver, emulated
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.arrays import Frame
from yolotrt.backends.admission import admit
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.cuda.driver import DeviceLost, OutOfDeviceMemory
from yolotrt.errors import ExecutionError, ImageError, UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.packed import PackedMasks
from yolotrt.geometry.tiles import split_groups, tile_grid
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device import staging
from yolotrt.pipeline.device.dispatch import DEVICE_DISPATCH, DeviceDispatch
from yolotrt.pipeline.device.found import FrameFound
from yolotrt.pipeline.device.jobs import FrameJobs, FramePart
from yolotrt.pipeline.device.merge import FOUND
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import Gpu, deal
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.merge import MergeSettings
from yolotrt.pipeline.merge_methods import MergeMethod
from yolotrt.pipeline.settings import GLOBAL_ORDERS, GlobalOrder
from yolotrt.pipeline.tiled import PASS_MODES, PassMode, PipelineSettings, TiledPipeline

DECODE = DecodeSettings(conf=0.55, iou=0.5, max_det=20)


@pytest.fixture(scope="module")
def frame() -> Frame:
    """A frame of 6 tiles whose last column and row are pulled back."""
    return np.random.default_rng(3).integers(0, 256, (100, 151, 3), np.uint8)


@pytest.fixture
def driver() -> HostDriver:
    return HostDriver()


@pytest.fixture
def run(driver: HostDriver, tiny_onnx: Path) -> _Runner:
    return _Runner(driver, tiny_onnx)


class _Runner:
    """Makes pipelines on the emulated GPU."""

    def __init__(self, driver: HostDriver, path: Path) -> None:
        self.driver = driver
        self.engine = EmulatedEngine(driver, path)
        self.device = emulated(driver)

    def pipeline(self, **settings: object) -> DevicePipeline:
        return DevicePipeline(
            [Gpu(self.device, self.engine)],
            PipelineSettings(**{"mode": "tiled", "decode": DECODE, **settings}),  # type: ignore[arg-type]
        )


def on_cpu(path: Path, frame: Frame, mode: PassMode) -> FrameResult:
    engine = OnnxRuntimeEngine(admit(path, trust=True))
    with TiledPipeline(engine, PipelineSettings(mode, decode=DECODE)) as pipeline:
        return pipeline(frame)


def assert_same(a: Detections, b: Detections, *, exactly: bool = False) -> None:
    assert len(a) == len(b) > 2
    np.testing.assert_array_equal(a.classes, b.classes)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=0 if exactly else 1e-3)
    np.testing.assert_allclose(a.scores, b.scores, atol=0 if exactly else 1e-5)
    for one, other in zip(a.masks or (), b.masks or (), strict=True):
        assert (one.x, one.y, one.bits.shape) == (other.x, other.y, other.bits.shape)
        allowed = 0 if exactly else max(2, one.bits.size // 200)
        assert np.count_nonzero(one.bits != other.bits) <= allowed


def assert_same_passes(a: FrameResult, b: FrameResult) -> None:
    assert len(a.tiles) == len(b.tiles)
    for one, other in zip(a.tiles, b.tiles, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
    assert (a.global_pass is None) == (b.global_pass is None)
    if a.global_pass is not None and b.global_pass is not None:
        assert_same(a.global_pass, b.global_pass)


@pytest.mark.parametrize("mode", PASS_MODES)
def test_finds_what_the_cpu_finds(run: _Runner, tiny_onnx: Path, frame: Frame, mode: PassMode) -> None:
    expected = on_cpu(tiny_onnx, frame, mode)
    with run.pipeline(mode=mode, groups=3 if mode != "global" else 1) as pipeline:
        found = pipeline(frame)
        pipeline(np.zeros_like(frame))  # what was found does not depend on the GPU's memory
    assert (found.trace.seconds("merge") is None) == ("tiled" in mode)  # the host merges nothing
    assert_same(found.detections, expected.detections)
    assert_same_passes(found, expected)


@pytest.mark.parametrize("order", GLOBAL_ORDERS)
@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
def test_every_dispatch_finds_the_same_in_the_same_order(
    run: _Runner, frame: Frame, dispatch: DeviceDispatch, order: GlobalOrder
) -> None:
    with run.pipeline(mode="tiled+global", dispatch="serial") as pipeline:
        expected = pipeline(frame).detections
    with run.pipeline(
        mode="tiled+global", groups=5, dispatch=dispatch, global_order=order, measure=True
    ) as pipeline:
        result = pipeline(frame)
    assert_same(result.detections, expected, exactly=True)
    assert run.driver.races() == []
    stages = result.trace.stages()
    for stage in ("upload", "prepare_batch", "enqueue", "decode", "tiles", "global", "end_to_end"):
        assert stages[f"device_{stage}"]
    spans = [s for s in result.trace.spans if s.stage == "enqueue" and s.on == "device"]
    assert sorted(s.group for s in spans if s.group is not None) == list(range(5))


@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
def test_depth_two_keeps_the_order_of_frames(run: _Runner, frame: Frame, dispatch: DeviceDispatch) -> None:
    frames = [np.roll(frame, 17 * i, axis=1) for i in range(5)]
    with run.pipeline(groups=2, dispatch=dispatch) as pipeline:
        expected = [pipeline(f).detections for f in frames]
    with run.pipeline(groups=2, dispatch=dispatch, depth=2) as pipeline:
        results = [r.detections for r in pipeline.frames(frames)]
    for found, wanted in zip(results, expected, strict=True):
        assert_same(found, wanted, exactly=True)
    assert run.driver.races() == []


def test_depth_two_uploads_the_next_frame_beside_the_computation(run: _Runner, frame: Frame) -> None:
    with run.pipeline(groups=2, depth=2) as pipeline:
        list(pipeline.frames([frame] * 2))
        run.driver.forget()
        list(pipeline.frames([frame] * 2))
    operations = run.driver.operations
    uploads = [i for i, op in enumerate(operations) if op.name == "copy"]
    decoded = [i for i, op in enumerate(operations) if op.name == "draw_masks"]
    assert not run.driver.comes_after(uploads[1], decoded[0])
    assert run.driver.comes_after(decoded[1], decoded[0])


def test_each_group_waits_for_the_prepared_tiles_and_decoding_for_each_group(
    run: _Runner, frame: Frame
) -> None:
    with run.pipeline(groups=4, dispatch="graph") as pipeline:
        pipeline(frame)
        run.driver.forget()
        pipeline(frame)
    names = run.driver.names()
    groups = [i for i, name in enumerate(names) if name == "infer"]
    assert len(groups) == 4
    assert names.count("copy") == 1  # the frame goes up once, and nothing is copied down
    cuts, searches = (
        [i for i, n in enumerate(names) if n == name] for name in ("cut_tiles", "find_candidates")
    )
    for group, cut, search in zip(groups, cuts, searches, strict=True):
        assert run.driver.comes_after(group, cut)
        assert run.driver.comes_after(search, group)
        assert run.driver.comes_after(names.index("draw_masks"), search)
    assert not any(run.driver.comes_after(b, a) for a, b in pairwise(groups))  # side by side


def test_graphs_are_one_for_each_group_for_the_global_pass_for_masks_and_for_merging(
    run: _Runner, frame: Frame
) -> None:
    with run.pipeline(groups=4, dispatch="graph", mode="tiled+global") as pipeline:
        pipeline(frame)
        run.driver.calls.clear()
        pipeline(frame)
        assert run.driver.calls == ["launch_graph"] * 7


@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
def test_a_group_begins_when_its_rows_are_there(
    run: _Runner, frame: Frame, dispatch: DeviceDispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_COPY_ALONE", 0)
    with run.pipeline(groups=2, dispatch=dispatch, mode="tiled+global") as pipeline:
        pipeline._staging.threads = 1  # so that bands arrive one by one
        pipeline(frame)
        run.driver.forget()
        pipeline(frame)
    names = run.driver.names()
    copies = [i for i, name in enumerate(names) if name == "copy"]
    first, second = (i for i, name in enumerate(names) if name == "cut_tiles")
    fit = names.index("letterbox")
    assert run.driver.comes_after(first, copies[0])
    assert not run.driver.comes_after(first, copies[-1])
    assert run.driver.comes_after(second, copies[-1])
    assert run.driver.comes_after(fit, copies[-1])


@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
@pytest.mark.parametrize("depth", [1, 2])
def test_an_engine_that_reads_frames_finds_the_same(
    driver: HostDriver, tiny_onnx: Path, frame: Frame, dispatch: DeviceDispatch, depth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nothing is prepared for it, and tiles begin before the others of their group have arrived."""
    run = _Runner(driver, tiny_onnx)
    settings = {"groups": 1, "dispatch": dispatch, "mode": "tiled+global", "bgr": False}
    frames = [np.roll(frame, 17 * i, axis=1) for i in range(3)]
    with run.pipeline(**settings) as pipeline:
        expected = [pipeline(f) for f in frames]
    run.engine.reads_frames = True
    monkeypatch.setattr(staging, "_COPY_ALONE", 0)
    with run.pipeline(**settings, depth=depth, measure=True) as pipeline:
        pipeline._staging.threads = 1  # so that bands arrive one by one
        found = list(pipeline.frames(frames))
        assert run.driver.races() == []
        run.driver.forget()
        pipeline(frame)
        names = run.driver.names()
    for one, other in zip(found, expected, strict=True):
        assert_same(one.detections, other.detections, exactly=True)
        assert one.trace.seconds("prepare_batch", on="device") is None
    assert "cut_tiles" not in names
    assert "letterbox" not in names
    if dispatch != "threads":  # whose jobs are whole groups
        copies, begins = ([i for i, n in enumerate(names) if n == name] for name in ("copy", "begin"))
        assert not run.driver.comes_after(begins[0], copies[-1])
        assert len(begins) == 3, "two rows of tiles, and the global pass"
    assert run.device.live == {}


def test_global_runs_beside_the_tiles_or_after_them(run: _Runner, frame: Frame) -> None:
    for order, beside in (("concurrent", True), ("after", False)):
        with run.pipeline(mode="tiled+global", groups=2, global_order=order) as pipeline:
            pipeline(frame)
            run.driver.forget()
            pipeline(frame)
        names = run.driver.names()
        assert run.driver.comes_after(names.index("letterbox"), names.index("infer")) != beside


def test_the_race_finder_finds_races(run: _Runner, frame: Frame) -> None:
    with run.pipeline(groups=2, dispatch="streams") as pipeline:
        pipeline(frame)
        for op in run.driver.operations:
            if op.name == "infer":
                op.after.clear()  # as if nobody had waited
    assert ("cut_tiles", "infer") in run.driver.races()


@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
def test_everything_is_freed(run: _Runner, frame: Frame, dispatch: DeviceDispatch) -> None:
    with run.pipeline(mode="tiled+global", groups=3, dispatch=dispatch, measure=True) as pipeline:
        pipeline(frame)
        held = run.device.live
        for _ in range(3):
            pipeline(frame)
        assert run.device.live == held
        pipeline(frame[:90])  # another size replaces the plan
        assert run.device.live["buffer"] == held["buffer"]
    assert run.device.live == {}
    run.device.close()
    assert not run.driver._modules
    assert run.driver.calls[-1] == "release"


def test_masks_that_need_more_room_get_it(
    run: _Runner, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run.pipeline(groups=2) as pipeline:
        expected = pipeline(frame).detections
    monkeypatch.setattr("yolotrt.pipeline.device.passes.WORD", 100_000)  # room for nearly nothing
    with run.pipeline(groups=2) as pipeline:
        assert_same(pipeline(frame).detections, expected, exactly=True)
        live = run.device.live
        assert_same(pipeline(frame).detections, expected, exactly=True)
        assert run.device.live == live
    assert run.device.live == {}


def test_a_frame_buffer_is_not_copied(run: _Runner, frame: Frame) -> None:
    with run.pipeline(groups=2) as pipeline:
        expected = pipeline(frame).detections
        buffer = pipeline.frame_buffer((frame.shape[1], frame.shape[0]))
        buffer[:] = frame
        assert_same(pipeline(buffer).detections, expected, exactly=True)


@pytest.mark.parametrize("wh", [(40, 30), (65, 64), (64, 64), (129, 30), (1, 1)])
def test_any_frame_size(run: _Runner, tiny_onnx: Path, wh: tuple[int, int]) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (wh[1], wh[0], 3), np.uint8)
    with run.pipeline(mode="tiled") as pipeline:
        found = pipeline(picture).detections
    expected = on_cpu(tiny_onnx, picture, "tiled").detections
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)


def several(path: Path, count: int, **world: bool) -> tuple[list[HostDriver], list[Gpu]]:
    """Return the GPUs of one machine."""
    drivers = [HostDriver(0, **world)]  # type: ignore[arg-type]
    drivers += [HostDriver(i, beside=drivers[0], **world) for i in range(1, count)]  # type: ignore[arg-type]
    return drivers, [Gpu(emulated(driver), EmulatedEngine(driver, path)) for driver in drivers]


@pytest.mark.parametrize(
    ("devices", "dispatch", "depth", "mode", "peers"),
    [
        (2, "graph", 1, "tiled+global", True),
        (2, "graph", 2, "tiled", False),
        (2, "serial", 2, "tiled+global", True),
        (3, "threads", 1, "tiled", True),
        (4, "streams", 2, "tiled+global", False),
        (5, "graph", 2, "tiled+global", True),
    ],
)
def test_several_gpus_find_the_same_and_one_of_them_merges(
    tiny_onnx: Path, frame: Frame, devices: int, dispatch: DeviceDispatch, depth: int, mode: PassMode,
    peers: bool,
) -> None:  # fmt: skip
    """Also from a frame that is not copied first, and however results come to the one that merges."""
    settings = PipelineSettings(mode, 4, dispatch, depth=depth, decode=DECODE, measure=True)
    frames = [np.roll(frame, 17 * i, axis=1) for i in range(3)]
    drivers, gpus = several(tiny_onnx, devices, peers=peers)
    with DevicePipeline(gpus[:1], settings) as pipeline:
        expected = [pipeline(f) for f in frames]
    for gpu in gpus:
        gpu.engine.reads_frames = devices == 2  # type: ignore[misc]
    with DevicePipeline(gpus, settings) as pipeline:
        found = list(pipeline.frames(frames))
        home = len(pipeline.workers) - 1
        buffer = pipeline.frame_buffer(frame.shape[1::-1])
        buffer[:] = frames[1]
        assert_same(pipeline(buffer).detections, expected[1].detections, exactly=True)
        assert drivers[home].reached == list(range(home)) * peers
    assert drivers[0].races() == []
    for one, other in zip(found, expected, strict=True):
        assert one.trace.seconds("merge") is None  # the host merges nothing
        assert one.trace.seconds("merge", on="device") is not None
        assert_same(one.detections, other.detections, exactly=True)
        assert_same_passes(one, other)
    assert [gpu.device.live for gpu in gpus] == [{}] * devices


def test_several_gpus_give_masks_the_room_that_they_need(
    tiny_onnx: Path, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.roll(frame, 17 * i, axis=1) for i in range(3)]
    settings = PipelineSettings("tiled+global", 2, depth=2, decode=DECODE)
    drivers, gpus = several(tiny_onnx, 2)
    with DevicePipeline(gpus[:1], settings) as pipeline:
        expected = [pipeline(f).detections for f in frames]
    monkeypatch.setattr("yolotrt.pipeline.device.passes.WORD", 100_000)  # room for nearly nothing
    with DevicePipeline(gpus, settings) as pipeline:
        found = [r.detections for r in pipeline.frames(frames)]
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, exactly=True)
    assert drivers[0].races() == []
    assert [gpu.device.live for gpu in gpus] == [{}] * 2


def test_several_gpus_leave_merging_to_the_host_where_they_cannot_wait_for_each_other(
    tiny_onnx: Path, frame: Frame
) -> None:
    _, gpus = several(tiny_onnx, 2)
    settings = PipelineSettings("tiled+global", 2, decode=DECODE)
    with DevicePipeline(gpus, settings) as pipeline:
        expected = pipeline(frame).detections
    for gpu in gpus:
        gpu.device.waits_across = False
    with DevicePipeline(gpus, settings) as pipeline:
        result = pipeline(frame)
    assert result.trace.seconds("merge") is not None
    assert_same(result.detections, expected, exactly=True)


@pytest.mark.parametrize("groups", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_groups_are_dealt_out_once_and_in_order(groups: int, devices: int) -> None:
    ranges = [range(4 * i, 4 * i + 4) for i in range(groups)]
    for runs_global in (False, True):
        shares = deal(ranges, devices, runs_global=runs_global)
        assert [g for share in shares for g in share.groups] == ranges
        assert [share.first_group for share in shares] == [
            sum(len(s.groups) for s in shares[:i]) for i in range(len(shares))
        ]
        assert [share.runs_global for share in shares] == [False] * (len(shares) - runs_global) + [
            True
        ] * runs_global
        sizes = [len(share.groups) for share in shares if share.groups]
        assert runs_global or not sizes or max(sizes) - min(sizes) <= 1


def test_the_gpu_with_the_global_pass_gets_fewer_tiles_where_groups_are_small() -> None:
    def tiles(groups: int, devices: int) -> list[int]:
        return [len(s.tiles) for s in deal(split_groups(32, groups), devices, runs_global=True)]

    assert tiles(2, 2) == [16, 16]
    assert tiles(8, 2) == [20, 12]
    assert tiles(8, 8) == [8, 4, 4, 4, 4, 4, 4, 0]
    assert tiles(16, 4) == [10, 10, 8, 4]


def test_a_gpu_is_sent_what_its_tiles_read_before_what_only_the_global_pass_reads() -> None:
    def steps(parts: Sequence[tuple[int, int]], rows: range) -> list[tuple[range, list[int]]]:
        made = tuple(FramePart(0, end, lambda _: None, top) for top, end in parts)
        sent = FrameJobs(made, lambda _: None, None, rows).steps
        return [(step.rows, [number for number, _ in step.ready]) for step in sent]

    whole = range(100)
    below = [(40, 70), (40, 100), (40, 100)]
    assert steps(below, range(40, 100)) == [(range(40, 70), [0]), (range(70, 100), [1, 2])]
    assert steps([*below, (0, 100)], whole) == [
        (range(40, 70), [0]), (range(70, 100), [1, 2]), (range(40), [3]),
    ]  # fmt: skip
    assert steps([(0, 60), (0, 100)], whole) == [(range(60), [0]), (range(60, 100), [1])]
    assert steps([], whole) == [(whole, [])]


def test_pipelines_on_one_engine_have_lanes_of_their_own(run: _Runner, frame: Frame) -> None:
    with run.pipeline(groups=2, mode="tiled+global") as one, run.pipeline(groups=3) as other:
        one(frame)
        other(frame)
        assert sorted(run.engine.lanes) == list(range(6))
    with run.pipeline(groups=2) as again:
        again(frame)
    assert run.engine.lanes[6:] == [0, 1]


def test_says_how_many_groups_fit(tiny_onnx: Path, frame: Frame) -> None:
    driver = HostDriver(memory_limit=3_400_000)
    engine = EmulatedEngine(driver, tiny_onnx, context_bytes=1_100_000)
    device = emulated(driver)
    with DevicePipeline([Gpu(device, engine)], PipelineSettings(groups=4, decode=DECODE)) as pipeline:
        with pytest.raises(OutOfDeviceMemory, match=r"Only 2 of 4 groups fit .*takes about 1 MiB") as error:
            pipeline(frame)
        assert error.value.hint is not None
        assert "--groups 2" in error.value.hint
        assert device.live == {}


@pytest.mark.parametrize("operation", ["cut_tiles", "infer", "copy", "synchronize", "free"])
def test_a_lost_gpu_is_one_error_and_nothing_stays(run: _Runner, frame: Frame, operation: str) -> None:
    pipeline = run.pipeline(groups=2, dispatch="threads")
    pipeline(frame)
    run.driver.fails_at = operation
    if operation == "free":
        pipeline.close()
    else:
        with pytest.raises(DeviceLost):
            pipeline(frame)
    assert run.device.live == {}
    pipeline.close()
    run.device.close()


def test_a_broken_engine_is_named(run: _Runner, frame: Frame) -> None:
    with run.pipeline(groups=2) as pipeline:
        pipeline(frame)
        worker = pipeline.workers[0]
        header = worker.slots[0].tiles.results.header  # type: ignore[union-attr]
        worker.submit(0)
        worker.wait(0)
        header.array[8] = 1
        with pytest.raises(ExecutionError, match="NaN"):
            worker.read(0)


def test_the_host_merges_what_the_gpu_had_no_room_to_merge(run: _Runner, frame: Frame) -> None:
    with run.pipeline(mode="tiled+global", groups=2) as pipeline:
        expected = pipeline(frame)
        worker = pipeline.workers[0]
        merge = worker.slots[0].merge
        assert merge is not None
        pipeline.submit(frame)
        merge.found.array.view(FOUND)["overflow"] = 1
        found = FrameFound([worker.read(0)])
        assert found.merged is None
        grid = tile_grid((frame.shape[1], frame.shape[0]), (64, 64))
        assert_same(found.merge(grid, MergeSettings(), conf=DECODE.conf), expected.detections, exactly=True)


def test_masks_leave_in_the_memory_that_the_gpu_wrote(run: _Runner, frame: Frame) -> None:
    frames = [np.roll(frame[:64, :100], 17 * i, axis=1) for i in range(7)]
    with run.pipeline(mode="tiled+global", depth=2) as pipeline:
        wanted = [pipeline(f).detections for f in frames]
        wanted = [replace(w, masks=PackedMasks.of(w.masks or ())) for w in wanted]
        gc.collect()
        blocks = len(run.driver.locked)
        kept = [r.detections for r in pipeline.frames(frames)]  # more of them than there may be blocks
        assert len(run.driver.locked) == blocks <= 6
        assert len({id(k.masks.bits) for k in kept if isinstance(k.masks, PackedMasks)}) == len(frames)
    assert run.driver.locked == {}
    for found, expected in zip(kept, wanted, strict=True):  # which stay what they are
        assert_same(found, expected, exactly=True)


@pytest.mark.parametrize("method", ["nmm", "nms"])
def test_other_methods_are_merged_by_the_host(
    run: _Runner, tiny_onnx: Path, frame: Frame, method: MergeMethod
) -> None:
    settings = MergeSettings(method)
    engine = OnnxRuntimeEngine(admit(tiny_onnx, trust=True))
    with TiledPipeline(engine, PipelineSettings("tiled", decode=DECODE, merge=settings)) as pipeline:
        expected = pipeline(frame).detections
    with run.pipeline(mode="tiled", merge=settings) as pipeline:
        assert_same(pipeline(frame).detections, expected)
        assert "keep_objects" not in run.driver.names()


@pytest.mark.parametrize("dispatch", DEVICE_DISPATCH)
def test_a_large_frame_goes_up_in_bands_as_they_are_copied(
    run: _Runner, frame: Frame, dispatch: DeviceDispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.roll(frame, 17 * i, axis=1) for i in range(3)]
    with run.pipeline(groups=2, dispatch=dispatch) as pipeline:
        expected = [pipeline(f).detections for f in frames]
    monkeypatch.setattr(staging, "_COPY_ALONE", 0)
    with run.pipeline(groups=2, dispatch=dispatch) as pipeline:
        pipeline._staging.threads = 3
        pipeline(frame)
        run.driver.forget()
        found = [pipeline(f).detections for f in frames]
        copied = [op.reads[0] for op in run.driver.operations if op.name == "copy"]
        buffer = pipeline.frame_buffer(frame.shape[1::-1])
        buffer[:] = frames[0]
        run.driver.forget()
        assert_same(pipeline(buffer).detections, expected[0], exactly=True)
        assert run.driver.names().count("copy") == len(pipeline._plan.bounds)  # type: ignore[union-attr]
    assert len(copied) >= 3
    assert sum(end - begin for begin, end in copied) == 3 * frame.nbytes
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, exactly=True)
    assert run.driver.races() == []


def test_graphs_are_refused_with_a_hint_where_there_are_none(tiny_onnx: Path, frame: Frame) -> None:
    driver = HostDriver(captures=False)
    engine = EmulatedEngine(driver, tiny_onnx)
    device = emulated(driver)
    with (
        DevicePipeline([Gpu(device, engine)], PipelineSettings(dispatch="graph", decode=DECODE)) as pipeline,
        pytest.raises(UsageError, match="graphs are not available") as error,
    ):
        pipeline(frame)
    assert "--dispatch streams" in (error.value.hint or "")
    assert device.live == {}
    with DevicePipeline([Gpu(device, engine)], PipelineSettings(decode=DECODE)) as pipeline:
        assert len(pipeline(frame).detections) > 2  # left to itself, it does without


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        "picture.jpg",
    ],
)
def test_refuses_what_is_no_frame(run: _Runner, frame: object) -> None:
    with run.pipeline() as pipeline, pytest.raises(ImageError):
        pipeline(frame)
    assert run.device.live == {}


def test_another_engine_may_run_the_global_pass(run: _Runner, tmp_path: Path, frame: Frame) -> None:
    other = EmulatedEngine(run.driver, write_tiny_yolo(tmp_path / "whole.onnx", 96, seed=4))
    settings = PipelineSettings(mode="tiled+global", groups=2, decode=DECODE)
    with DevicePipeline([Gpu(run.device, run.engine, other)], settings) as pipeline:
        both = pipeline(frame).detections
    with DevicePipeline([Gpu(run.device, other)], replace(settings, mode="global")) as pipeline:
        whole = pipeline(frame).detections
    with run.pipeline(mode="tiled", groups=2) as pipeline:
        tiles = pipeline(frame).detections
    assert len(whole) > 0
    assert max(both.scores) == max(*whole.scores, *tiles.scores)
    assert run.driver.races() == []


def test_refuses_settings_that_make_no_sense() -> None:
    for settings in ({"depth": 3}, {"dispatch": "fast"}, {"mode": "both"}, {"global_order": "before"}):
        with pytest.raises(UsageError):
            PipelineSettings(**settings)  # type: ignore[arg-type]


def test_refuses_several_classes_per_box(run: _Runner, frame: Frame) -> None:
    settings = PipelineSettings(decode=DecodeSettings(multi_label=True))
    with (
        DevicePipeline([Gpu(run.device, run.engine)], settings) as pipeline,
        pytest.raises(UsageError, match="several classes"),
    ):
        pipeline(frame)
    assert run.device.live == {}
