"""Where frames are decoded: what is said, and what a file's first frame makes ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.clips import clip
from tests.pipeline.test_tiled import DECODE, on_cpu, on_gpu
from yolotrt.backends.base import Engine
from yolotrt.backends.loading import Replicas
from yolotrt.cuda import nvdec
from yolotrt.data.video import FileSource, moving_sources
from yolotrt.errors import UsageError
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import TileChoice
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.workflow.decoding import decode_where_processed, warm_up


def on_two(path: Path) -> Engine:
    return Replicas([on_gpu(path), on_gpu(path)])


@pytest.mark.parametrize(
    ("make", "tiles", "why"),
    [
        (on_cpu, "all", None),
        (on_gpu, "adaptive", "of frames with adaptive tiles only a part goes to the GPU"),
        (on_two, "all", "several GPUs share each frame"),
    ],
)
def test_why_a_processor_decodes_though_gpus_process_is_said(
    tiny_onnx: Path, make: Callable[[Path], Engine], tiles: str, why: str | None
) -> None:
    source, told = FileSource(Path("street.mp4")), list[str]()
    settings = PipelineSettings(decode=DECODE, tiles=TileChoice.parse(tiles))
    with TiledPipeline(make(tiny_onnx), settings) as pipeline:
        decode_where_processed([source], "auto", pipeline, told.append)
        decode_where_processed([source], "pyav", pipeline, told.append)
        assert told == ([] if why is None else [f"the processor decodes: {why}"])
        with pytest.raises(UsageError, match=why or "on a GPU"):
            decode_where_processed([source], "nvdec", pipeline, told.append)
    assert source.on_gpu is None


def test_a_first_frame_makes_everything_ready_and_is_read_again(tiny_onnx: Path, tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mp4", 3, images=[np.zeros((100, 150, 3), np.uint8)] * 3)
    (tmp_path / "no.mp4").write_bytes(b"no video")
    sources = [*moving_sources([str(path)]), FileSource(tmp_path / "no.mp4")]
    with TiledPipeline(on_gpu(tiny_onnx), PipelineSettings(decode=DECODE, depth=2)) as pipeline:
        warm_up(pipeline, sources[1:])
        assert not pipeline.group_bytes, "the run tells what is wrong with a file"
        warm_up(pipeline, sources)
        assert len(pipeline.group_bytes) == 1
        assert pipeline._on_gpus is not None
        assert pipeline._on_gpus._plan is not None
        assert pipeline._on_gpus._plan.turn == 0, "both places had the frame"
    sources[0].open()
    assert sources[0].moment is None or sources[0].read() is not None
    assert sources[0].moment is not None
    assert sources[0].moment.index == 0
    sources[0].close()


def test_the_first_camera_is_who_comes_first_and_not_the_warm_up(tiny_onnx: Path, tmp_path: Path) -> None:
    picture = np.zeros((208, 304, 3), np.uint8)
    (source,) = moving_sources([str(clip(tmp_path / "v.mp4", 2, images=[picture] * 2))])
    settings = PipelineSettings(decode=DECODE, tiles=TileChoice.parse("adaptive"))
    with TiledPipeline(on_gpu(tiny_onnx), settings) as pipeline:
        warm_up(pipeline, [source])
        buffer = pipeline.frame_buffer((304, 208), stream=0)
        assert buffer is pipeline.frame_buffer((304, 208), stream=0), "it is served on the GPU"
        assert buffer is not pipeline.frame_buffer((304, 208), stream=1)


def test_why_a_processor_decodes_a_file_is_said_once(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPEG-4 is no matter of the library, which is not needed to know that."""
    monkeypatch.setattr(nvdec, "library", object)
    path, told = clip(tmp_path / "v.mp4", 2, codec="mpeg4"), list[str]()
    source = FileSource(path)
    with TiledPipeline(on_gpu(tiny_onnx), PipelineSettings(decode=DECODE)) as pipeline:
        decode_where_processed([source], "auto", pipeline, told.append)
        warm_up(pipeline, [source])
        source.open()
        assert isinstance(source.read(), np.ndarray)
        source.close()
    assert told == [f"the processor decodes {path}: it is mpeg4, not h264, hevc, av1, vp9"]
