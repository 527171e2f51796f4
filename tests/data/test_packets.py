"""Which decoder gets which packets, and what becomes of a stream that a GPU cannot decode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.data.clips import WH, clip, number, turn
from yolotrt.cuda.nvdec import may_decode
from yolotrt.data import packets
from yolotrt.data.colours import BT601, Colours
from yolotrt.data.packets import DamagedPacket, GpuFrame, OnGpu, PacketDecoder
from yolotrt.data.pixels import display_matrix
from yolotrt.data.video_file import VideoFile
from yolotrt.data.yuv import YuvFrame, on_host
from yolotrt.errors import DeviceError, UsageError


class StandIn:
    """Decodes on the processor what a GPU would, and gives frames whose samples are on the host."""

    def __init__(self, why: str | None = None, damaged: int | None = None) -> None:
        self.why, self.damaged, self.closed, self.packets = why, damaged, 0, 0

    def start(self, stream: Any, first: Any) -> str | None:
        assert (first.width, first.height) == WH
        if display_matrix(first) is not None:
            return "it is to be turned"
        self._decoder = av.CodecContext.create(stream.codec_context.name, "r")
        self._decoder.extradata = stream.codec_context.extradata
        return self.why

    def decode(self, packet: Any) -> Iterator[GpuFrame]:
        self.packets += 1
        if self.packets == self.damaged:
            raise DamagedPacket("broken")
        last = packet is None or not packet.size
        for frame in self._decoder.decode(None if last else packet):
            samples = frame.reformat(format="nv12").to_ndarray()
            image = YuvFrame(0, WH, Colours(BT601, full=False), 0, lambda samples=samples: samples)
            yield GpuFrame(image, frame.pts, frame.dts, frame.duration, packet.time_base if packet else None)

    def close(self) -> None:
        self.closed += 1


def test_a_gpu_gets_every_packet_from_the_first_on(tmp_path: Path) -> None:
    """With B-frames, so that the processor holds packets of several frames when the first is complete."""
    times = [0, 40, 90, 120, 170, 200, 260, 300, 330, 370]
    path = clip(tmp_path / "v.mp4", times_ms=times, options={"bf": "2"})
    gpu = StandIn()
    video = VideoFile(path, OnGpu(lambda: gpu, required=True))
    found = list(video.frames())
    assert all(isinstance(f.image, YuvFrame) for f in found)
    assert [number(on_host(f.image)) for f in found] == list(range(10))
    assert [round(f.moment.time_s * 1e3) for f in found] == times
    assert video.remarks() == ()
    video.close()
    assert gpu.closed == 1


def test_what_a_gpu_cannot_decode_is_the_processors_or_an_error(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mp4", 5)
    told: list[str] = []
    gpu = StandIn("it is green")
    video = VideoFile(path, OnGpu(lambda: gpu, note=told.append))
    found = [f.image for f in video.frames()]
    assert [number(image) for image in found if isinstance(image, np.ndarray)] == list(range(5))
    assert told == [f"the processor decodes {path}: it is green"]
    assert gpu.closed == 1
    video.close()
    strict = VideoFile(path, OnGpu(lambda: StandIn("it is green"), required=True))
    with pytest.raises(UsageError, match=r"NVDEC does not decode .*: it is green"):
        list(strict.frames())
    strict.close()


class Full(StandIn):
    """A GPU without memory for frames."""

    def decode(self, packet: Any) -> Iterator[GpuFrame]:
        raise DeviceError("No memory is left.")
        yield


def test_a_gpu_that_fails_at_once_leaves_the_stream_to_the_processor(tmp_path: Path) -> None:
    def none() -> StandIn:
        raise DeviceError("There is no stream.")

    path, full = clip(tmp_path / "v.mp4", 5), Full()
    for new, why in ((none, "There is no stream."), (lambda: full, "No memory is left.")):
        told: list[str] = []
        video = VideoFile(path, OnGpu(new, note=told.append))
        assert [number(f.image) for f in video.frames() if isinstance(f.image, np.ndarray)] == list(range(5))
        assert told == [f"the processor decodes {path}: {why}"]
        video.close()
        strict = VideoFile(path, OnGpu(new, required=True))
        with pytest.raises(DeviceError, match=why):
            list(strict.frames())
        strict.close()
    assert full.closed == 2


def test_packets_without_a_frame_are_not_held_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a stream that is joined between key frames."""
    monkeypatch.setattr(packets, "MOST_HELD", 3)
    path = clip(tmp_path / "v.ts", 24, options={"bf": "0", "g": "12", "sc_threshold": "0"})
    gpu = StandIn()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.skip_frame = "NONE", "NONKEY"
        decode = PacketDecoder(stream, "it", OnGpu(lambda: gpu))
        found, most = [], 0
        for packet in list(container.demux(stream))[4:]:
            found += [decode.picture(frame) for frame in decode(packet)]
            most = max(most, len(decode._held))
        decode.close()
    assert [number(on_host(image)) for image in found] == list(range(12, 24))
    assert most <= 3


@pytest.mark.parametrize(
    ("codec", "pixels", "few"), [("libx264", "yuv420p", True), ("libx264", "yuv444p", False)]
)
def test_a_processor_has_few_threads_for_what_a_gpu_will_decode(
    tmp_path: Path, codec: str, pixels: str, few: bool
) -> None:
    path = clip(tmp_path / "v.mp4", 2, codec=codec, pixels=pixels)
    video = VideoFile(path, OnGpu(StandIn, takes=may_decode))
    assert (video._stream.codec_context.thread_count == packets.FEW_THREADS) is few
    video.close()


def test_what_a_gpu_refuses_after_the_first_frame_gets_all_threads(tmp_path: Path) -> None:
    path = turn(clip(tmp_path / "v.mp4", 12, options={"bf": "2"}), 0, 1, -1, 0)
    plain, told = VideoFile(path), list[str]()
    right = [(f.moment, f.image) for f in plain.frames()]
    plain.close()
    video = VideoFile(path, OnGpu(StandIn, takes=may_decode, note=told.append))
    assert video._stream.codec_context.thread_count == packets.FEW_THREADS
    found = [(f.moment, f.image) for f in video.frames()]
    assert video._stream.codec_context.thread_count != packets.FEW_THREADS
    assert told == [f"the processor decodes {path}: it is to be turned"]
    assert [moment for moment, _ in found] == [moment for moment, _ in right]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, right, strict=True))
    assert video.remarks() == ()
    video.close()


def test_a_packet_that_a_gpu_cannot_decode_is_counted(tmp_path: Path) -> None:
    video = VideoFile(clip(tmp_path / "v.mkv", 6), OnGpu(lambda: StandIn(damaged=4)))
    assert len(list(video.frames())) < 6
    assert "errors in 1 places" in video.remarks()[0] or "breaks off" in video.remarks()[0]
    video.close()
