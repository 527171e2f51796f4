from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.data.test_feed import Script
from tests.pipeline.test_tiled import DECODE, on_gpu
from yolotrt.backends.onnxruntime.fixed import fixed_batch
from yolotrt.bench.lanes import lanes_of
from yolotrt.bench.run_file import DOCUMENT, RunReport
from yolotrt.bench.sustain import Sustained, resident_mib, sustain
from yolotrt.data.feed import Feed
from yolotrt.data.feeds import Feeds
from yolotrt.data.queued import Queued
from yolotrt.errors import ArtifactError, ExecutionError, ImageError, UsageError
from yolotrt.pipeline.flights import Pending
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.report.sustain_tables import sustain_line, sustain_table
from yolotrt.workflow.build import BuildRequest, build_engine


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sustain")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


@pytest.fixture
def pipeline(engine: Path) -> Iterator[TiledPipeline]:
    with TiledPipeline.open(engine, groups=4) as opened:
        yield opened


def _frames(*sizes: tuple[int, int]) -> list[object]:
    return [np.zeros((height, width, 3), np.uint8) for width, height in sizes]


def test_every_frame_of_a_blocking_source_comes_out(pipeline: TiledPipeline) -> None:
    feed = Feed(Script(_frames(*[(128, 128)] * 12)), policy="block").start()
    run = sustain(pipeline, feed)
    feed.close()
    assert (run.counts.read, run.processed, run.counts.dropped, run.failed) == (12, 12, 0, 0)
    assert run.latency is not None
    assert run.age is not None
    assert run.age.p50 >= run.latency.p50 > 0
    json.dumps(DOCUMENT.to_json(RunReport(**vars(run))), allow_nan=False)
    assert sustain_table(run, "x").row_count == 14
    assert "out 12" in sustain_line(run)


def test_frames_of_another_size_go_on_those_with_fewer_tiles_than_groups_too(pipeline: TiledPipeline) -> None:
    frames = _frames((128, 128), (192, 128), (32, 32), (128, 128))
    feed = Feed(Script(frames), policy="block").start()
    run = sustain(pipeline, feed)
    feed.close()
    assert (run.processed, run.failed, run.complaint) == (4, 0, None)
    assert run.counts.sizes == ((128, 128), (192, 128), (32, 32))


def test_a_size_that_an_engine_has_no_profile_for_is_counted(tiny_onnx: Path, tmp_path: Path) -> None:
    """A fixed batch of 2, as a TensorRT engine with one profile has: 128x128 px are 4 tiles in 2 groups."""
    model = fixed_batch(onnx.load(tiny_onnx), 2)
    onnx.save(model, tmp_path / "two.onnx")
    request = BuildRequest(tmp_path / "two.onnx", backend="onnxruntime", engines=tmp_path)
    frames = _frames((128, 128), (192, 192), (128, 128))
    seen: list[Sustained] = []
    with TiledPipeline.open(build_engine(request).file.path, mode="tiled", groups=2, overlap=0.0) as opened:
        feed = Feed(Script(frames), policy="block").start()
        run = sustain(opened, feed)
        feed.close()
        assert (run.processed, run.failed) == (2, 1)
        assert run.complaint is not None
        assert "batches of exactly 2" in run.complaint

        feed = Feed(Script(frames[1:]), policy="block").start()
        with pytest.raises(ArtifactError):  # a size that never fitted
            sustain(opened, feed)
        feed.close()

        feed = Feed(Script([*frames, ImageError("no picture")]), policy="block").start()
        with pytest.raises(ImageError):
            sustain(opened, feed, tick=seen.append)
        feed.close()
    assert (seen[-1].processed, seen[-1].failed) == (2, 1)


def test_the_time_is_kept(pipeline: TiledPipeline) -> None:
    ticks: list[int] = []
    feed = Feed(Script(_frames((128, 128)) * 10_000), policy="latest", fps=200).start()
    run = sustain(pipeline, feed, duration_s=1.3, tick=lambda seen: ticks.append(seen.processed))
    feed.close()
    assert 1.3 <= run.seconds < 60
    assert ticks
    assert run.memory_mib is not None


def test_sources_are_dealt_out_to_pipelines_that_run_side_by_side(
    pipeline: TiledPipeline, engine: Path
) -> None:
    """Each source's frames stay in their order; a pipeline that fails ends the run."""
    sizes = ((128, 128), (192, 128), (128, 192))
    feeds = Feeds([Script(_frames(*[wh] * 3)) for wh in sizes], policy="block").start()
    met = threading.Barrier(2, timeout=30)
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    lanes: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}

    def first_frames_meet(queued: Queued, result: FrameResult) -> None:
        found[queued.source].append(queued.moment.index)
        assert result.frame_wh == sizes[queued.source]

    with TiledPipeline.open(engine, groups=4) as other:
        both = [_Watched(pipeline, lanes, met), _Watched(other, lanes, met)]
        run = sustain(both, feeds, deliver=first_frames_meet)  # type: ignore[arg-type]
        feeds.close()
        assert found == {0: [0, 1, 2], 1: [0, 1, 2], 2: [0, 1, 2]}
        assert lanes[0] == lanes[2] != lanes[1], "source k goes through pipeline k modulo 2"
        assert (run.processed, [camera.processed for camera in run.cameras]) == (9, [3, 3, 3])
        feeds = Feeds([Script(_frames((128, 128)) * 50) for _ in range(2)], policy="block").start()
        with pytest.raises(ExecutionError, match="broken"):
            sustain([pipeline, _Broken()], feeds)  # type: ignore[list-item]
        assert not feeds.ended, "the others end, too"
        feeds.close()


def test_frames_of_several_cameras_share_batches_on_a_gpu(tiny_onnx: Path) -> None:
    """Those that wait at the same time go together, also beside frames of another size."""
    sources = [Script([_picture(seed, wh) for seed in range(4)]) for wh in ((128, 96), (128, 96), (96, 64))]
    feeds = Feeds(sources, policy="block").start()
    for part in feeds.parts:
        while len(part._queue) < 2:
            time.sleep(0.001)
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    settings = PipelineSettings("global", decode=DECODE, depth=2)

    def deliver(queued: Queued, result: FrameResult) -> None:
        found[queued.source].append(len(result.detections))
        assert result.frame_wh == (queued.frame.shape[1], queued.frame.shape[0])

    with TiledPipeline(on_gpu(tiny_onnx), settings) as shared:
        alone = {k: [len(shared(_picture(seed, (128, 96))).detections) for seed in range(4)] for k in (0, 1)}
        run = sustain(shared, feeds, deliver=deliver)
        assert shared._on_gpus is not None
        assert 2 in shared._on_gpus._shared._made
    feeds.close()
    assert (run.processed, run.failed) == (12, 0)
    assert {k: found[k] for k in (0, 1)} == alone
    assert run.fairness == 1


def _picture(seed: int, wh: tuple[int, int]) -> object:
    return np.random.default_rng(seed).integers(0, 256, (wh[1], wh[0], 3), np.uint8)


class _Broken:
    pci_bus_ids = ()
    depth = most_together = 1

    def submit(self, frame: object, *, stream: int) -> Pending:
        raise ExecutionError("The engine is broken.")


class _Watched:
    """A pipeline that notes its thread; both meet at their first frames, which they do only side by side."""

    pci_bus_ids = ()
    depth = most_together = 1

    def __init__(self, pipeline: TiledPipeline, lanes: dict[int, set[int]], met: threading.Barrier) -> None:
        self._pipeline, self._lanes, self._met, self._frames = pipeline, lanes, met, 0

    def submit(self, frame: object, *, stream: int) -> Pending:
        self._lanes[stream].add(threading.get_ident())
        if not self._frames:
            self._met.wait()
        self._frames += 1
        return self._pipeline.submit(frame, stream=stream)


def test_gpus_are_dealt_out_to_sources() -> None:
    assert lanes_of("cuda:0,1", 2) == ["cuda:0", "cuda:1"]
    assert lanes_of("cuda:0,1", 5) == ["cuda:0", "cuda:1"]
    assert lanes_of("cuda:0,1,2,3", 2) == ["cuda:0,2", "cuda:1,3"]
    for device, sources, deal in (("cuda:0,1", 1, "auto"), ("cuda:0,1", 2, "tiles"), ("cpu", 3, "auto")):
        assert lanes_of(device, sources, deal) == [device]  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="several sources and several GPUs"):
        lanes_of("cuda:0", 2, "sources")


def test_memory_is_that_of_this_process() -> None:
    used = resident_mib()
    assert used is not None
    assert 10 < used < 100_000
