"""NVDEC gives FFmpeg's samples, bit for bit, with their times; needs PyNvVideoCodec (the video-gpu extra)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.clips import clip
from tests.data.rtsp_clips import ClipCamera
from tests.gpu.conftest import absent
from yolotrt.cuda.device import Device
from yolotrt.cuda.nvdec import Nvdec, library
from yolotrt.cuda.nvdec_check import nvdec_state
from yolotrt.data import side_by_side
from yolotrt.data.packets import OnGpu
from yolotrt.data.pixels import planes
from yolotrt.data.side_by_side import SideBySide
from yolotrt.data.stream import NetworkStream
from yolotrt.data.video import FileSource
from yolotrt.data.video_file import VideoFile
from yolotrt.data.yuv import YuvFrame
from yolotrt.errors import EnvironmentFault, UsageError

pytestmark = pytest.mark.gpu

CODECS = {
    "h264": ("libx264", "yuv420p"), "hevc": ("libx265", "yuv420p"), "hevc10": ("libx265", "yuv420p10le"),
}  # fmt: skip
QUIET = {"x265-params": "log-level=none"}


@pytest.fixture(autouse=True)
def _needs_nvdec() -> None:
    try:
        library()
    except EnvironmentFault as exc:
        absent(exc.message)


def noisy(path: Path, codec: str, pixels: str, count: int = 12, more: dict[str, str] | None = None) -> Path:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(count)]
    options = QUIET if codec == "libx265" else {"bf": "2", **(more or {})}
    return clip(path, count, codec=codec, pixels=pixels, images=images, options=options)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_samples_and_times_are_those_of_the_processor(
    gpu: Device, tmp_path: Path, name: str, container: str
) -> None:
    path = noisy(tmp_path / f"v.{container}", *CODECS[name])
    with av.open(str(path)) as source:
        right = [frame.to_ndarray() for frame in source.decode(video=0)]
    on_cpu = VideoFile(path)
    moments = [found.moment for found in on_cpu.frames()]
    on_cpu.close()
    video = VideoFile(path, OnGpu(lambda: Nvdec(gpu, live=False), required=True))
    found = list(video.frames())
    assert [f.moment for f in found] == moments
    for one, samples in zip(found, right, strict=True):
        assert isinstance(one.image, YuvFrame)
        np.testing.assert_array_equal(planes(one.image._copied(), 240), samples)
    video.close()
    assert gpu.live.get("buffer") == len(found), "frames outlive the decoder"
    del found, one


@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_two_sessions_side_by_side_give_what_one_gives(
    gpu: Device, tmp_path: Path, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "AHEAD", 10)
    path = noisy(tmp_path / f"v.{container}", "libx264", "yuv420p", 40, {"g": "7", "sc_threshold": "0"})
    with av.open(str(path)) as source:
        right = [frame.to_ndarray() for frame in source.decode(video=0)]
    on_cpu = VideoFile(path)
    moments = [found.moment for found in on_cpu.frames()]
    on_cpu.close()
    begun: list[Nvdec] = []

    def new() -> Nvdec:
        begun.append(Nvdec(gpu, live=False))
        return begun[-1]

    video = VideoFile(path, OnGpu(lambda: SideBySide(new, lambda _: True), required=True))
    count = 0
    for one, samples, moment in zip(video.frames(), right, moments, strict=True):
        assert isinstance(one.image, YuvFrame)
        np.testing.assert_array_equal(planes(one.image._copied(), 240), samples)
        assert one.moment == moment
        count += 1
    assert count == 40
    assert [decoder._sent for decoder in begun] == [21, 19]
    del one
    video.close()


def test_a_live_stream_waits_for_no_later_packets(gpu: Device, tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mp4", 8, options={"bf": "0"}, images=[np.zeros((240, 320, 3), np.uint8)] * 8)
    decoder = Nvdec(gpu, live=True)
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        packets = list(source.demux(stream))
        first = next(iter(av.open(str(path)).decode(video=0)))
        assert decoder.start(stream, first) is None
        counts = [len(list(decoder.decode(packet))) for packet in packets]
    decoder.close()
    assert counts[:8] == [1] * 8


def test_a_camera_that_ends_and_comes_back(gpu: Device, tmp_path: Path) -> None:
    path = noisy(tmp_path / "v.mp4", *CODECS["h264"])
    with av.open(str(path)) as container:
        right = [frame.to_ndarray() for frame in container.decode(video=0)]
    camera = ClipCamera(path)
    source = NetworkStream("it", camera.address, timeout_s=2)
    source.on_gpu = OnGpu(lambda: Nvdec(gpu, live=True), required=True)
    times = []
    for _ in range(2):
        source.open()
        shown = []
        for _ in range(15):
            image = source.read()
            assert isinstance(image, YuvFrame)
            samples = planes(image._copied(), 240)
            shown += [place for place, one in enumerate(right) if np.array_equal(samples, one)]
            assert source.moment is not None
            times.append(source.moment.time_s)
        assert shown == [(shown[0] + k) % 12 for k in range(15)]
        camera.off()
        while image is not None:
            image = source.read()
        camera = ClipCamera(path, camera.port)
    source.close()
    camera.off()
    assert times == sorted(set(times))
    assert source.remarks() == ()


def test_what_nvdec_does_not_decode_is_said(gpu: Device, tmp_path: Path) -> None:
    path = clip(tmp_path / "v.avi", 3, codec="mjpeg", pixels="yuvj420p")
    source = FileSource(path)
    source.on_gpu = OnGpu(lambda: Nvdec(gpu, live=False), required=True)
    source.open()
    with pytest.raises(UsageError, match="it is mjpeg"):
        source.read()
    source.close()


def test_doctor_finds_that_it_works() -> None:
    works, what = nvdec_state()
    assert works, what
    assert "h264" in what
