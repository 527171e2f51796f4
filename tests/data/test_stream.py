"""Live streams: their time stamps, and colours that are the same for every decoder."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.data.clips import clip, number
from tests.data.rtsp_clips import ClipCamera
from tests.data.streams import RtspCamera, needs_ffmpeg
from tests.data.test_packets import StandIn
from yolotrt.cuda.nvdec import Nvdec
from yolotrt.data.colours import FULL_RANGE, VIDEO_RANGE
from yolotrt.data.packets import OnGpu
from yolotrt.data.sources import open_source
from yolotrt.data.stream import NetworkStream
from yolotrt.data.timeline import LiveTimeline
from yolotrt.data.video import MovingSource, moving_sources
from yolotrt.data.video_decoders import Decoder, decoder_states
from yolotrt.data.yuv import YuvFrame, on_host
from yolotrt.errors import InputError


@contextmanager
def served(data: bytes, times: int = 1) -> Iterator[str]:
    """Send bytes to whoever connects, once or several times, and then nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            for _ in range(times):
                peer, _ = server.accept()
                with peer:
                    peer.sendall(data)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


def opened(address: str, decoder: Decoder = "auto") -> MovingSource:
    (source,) = moving_sources(address, timeout_s=1, decoder=decoder)
    source.open()
    return source


def test_a_gpu_decodes_an_rtsp_camera_that_ends_and_comes_back(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mp4", 24, rate=100, options={"bf": "0", "g": "12"})
    camera, begun = ClipCamera(path), list[StandIn]()

    def new() -> StandIn:
        begun.append(StandIn())
        return begun[-1]

    source = NetworkStream("it", camera.address, timeout_s=2)
    source.on_gpu = OnGpu(new, required=True)
    times = []
    for _ in range(2):
        source.open()
        for place in range(30):
            image = source.read()
            assert isinstance(image, YuvFrame)
            assert number(on_host(image)) == place % 24
            assert source.moment is not None
            times.append(source.moment.time_s)
        camera.off()
        while image is not None:
            image = source.read()
        camera = ClipCamera(path, camera.port)
    source.close()
    camera.off()
    assert times == sorted(set(times))
    assert [gpu.closed for gpu in begun] == [1, 1]


def test_the_stamps_of_a_stream_with_b_frames_are_kept_in_the_order_of_time(tmp_path: Path) -> None:
    stamps = [5000, 5040, 5100, 5400, 5420, 5500, 5520, 5600]
    path = clip(
        tmp_path / "v.ts",
        8,
        times_ms=stamps,
        options={"bf": "3", "b_strategy": "0"},
        muxing={"muxdelay": "0"},
    )
    moments = []
    with served(path.read_bytes()) as address, closing(opened(address)) as source:
        while (image := source.read()) is not None:
            assert source.moment is not None
            assert number(image) == source.moment.index
            moments.append(source.moment)
    told = np.array([moment.stamp_s for moment in moments], float)
    assert (told - told[0]).round(3).tolist() == [(s - 5000) / 1000 for s in stamps]
    assert told[0] >= 5
    assert moments[0].time_s == 0
    assert np.diff([moment.time_s for moment in moments]) == pytest.approx(np.diff(told), abs=2e-3)


@needs_ffmpeg
def test_an_rtsp_camera_says_when_each_frame_was(tmp_path: Path) -> None:
    camera = RtspCamera(tmp_path)
    camera.on("160x128")
    told: list[str] = []
    try:
        (source,) = moving_sources(camera.address, timeout_s=1)
        assert isinstance(source, NetworkStream)
        source.on_gpu = OnGpu(lambda: Nvdec(emulated(), live=True), note=told.append)
        source.open()
        with closing(source):
            moments = []
            for _ in range(4):
                assert source.read() is not None
                assert source.moment is not None
                moments.append(source.moment)
    finally:
        camera.off()
    assert len(told) == 1, "why NVDEC does not decode it here"
    assert told[0].startswith(f"the processor decodes {source.name}: ")
    assert [moment.index for moment in moments] == [0, 1, 2, 3]
    assert np.diff([moment.stamp_s or 0 for moment in moments]) == pytest.approx([0.04] * 3, abs=1e-3)
    assert np.diff([moment.time_s for moment in moments]) == pytest.approx([0.04] * 3, abs=1e-3)


def test_a_stream_that_comes_back_gets_a_decoder_of_its_own(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.ts", 6, options={"bf": "0"})
    decoders: list[StandIn] = []

    def new() -> StandIn:
        decoders.append(StandIn())
        return decoders[-1]

    found: list[int] = []
    with (
        served(path.read_bytes(), times=2) as address,
        closing(NetworkStream("it", address, timeout_s=1)) as it,
    ):
        it.on_gpu = OnGpu(new, required=True)
        for _ in range(2):
            it.open()
            while (image := it.read()) is not None:
                assert isinstance(image, YuvFrame)
                found.append(number(on_host(image)))
    assert found == [0, 1, 2, 3, 4, 5] * 2
    assert [decoder.closed for decoder in decoders] == [1, 1]
    assert it.moment is not None
    assert it.moment.index == 11


def test_live_time_goes_on_over_interruptions_and_leaps() -> None:
    timeline = LiveTimeline()
    assert [timeline.place(70 + k / 25, k / 25 + late) for k, late in ((0, 0), (1, 0.03), (2, 0.01))] == (
        pytest.approx([0, 0.04, 0.08])
    )
    timeline.restart()
    assert timeline.place(0, 9) == 9, "an outage keeps its length"
    assert timeline.place(0.04, 9.05) == pytest.approx(9.04)
    assert timeline.place(5e6, 9.1) == pytest.approx(9.1), "a stamp that leaps tells nothing"
    assert timeline.place(5e6, 9.1) == pytest.approx(9.101), "time does not stand still"
    assert timeline.place(None, 9.3) == 9.3


def test_garbage_is_an_error_or_an_end_and_never_waits_for_ever(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(400_000)
    with served(noise) as address, pytest.raises(InputError, match="cannot be opened as a video") as caught:
        opened(address)
    assert "tcp://" in caught.value.message
    good = clip(tmp_path / "v.ts", 10, codec="mpeg2video").read_bytes()
    with served(good + noise) as address, closing(opened(address)) as source:
        count = 0
        while source.read() is not None:
            count += 1
        assert 8 <= count <= 10
        assert source.read() is None


def test_what_holds_no_video_is_said(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.ts"), "w") as sink:
        stream = sink.add_stream("mp2", rate=48_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    with served((tmp_path / "a.ts").read_bytes()) as address, pytest.raises(InputError, match="holds none"):
        opened(address)


_OPENCV = tuple(map(int, cv2.__version__.split(".")[:2]))

BARS = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
"""Colour bars of 75 % (SMPTE EG 1), red, green and blue."""

_WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Red's and blue's part of luma, by the tag of ITU-T H.273."""


def bars_clip(path: Path, tag: int, full: bool, *, tagged: bool, lines: int = 96) -> Path:
    """Write colour bars whose samples are computed here, without a converter that could be wrong itself."""
    kr, kb = _WEIGHTS[tag]
    red, green, blue = np.array(BARS).T / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    scale, low, wide = (255, 0, 255) if full else (219, 16, 224)
    width = 32 * len(BARS)
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=25, options={"qp": "1", "bf": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, lines, "yuv420p"
        context = stream.codec_context
        if tagged:
            context.colorspace, context.color_range = tag, FULL_RANGE if full else VIDEO_RANGE
        frame = av.VideoFrame(width, lines, "yuv420p")
        if tagged:
            frame.colorspace, frame.color_range = context.colorspace, context.color_range
        for plane, row in zip(
            frame.planes, (luma * scale + low, u * wide + 128, v * wide + 128), strict=True
        ):
            samples = np.zeros((plane.height, plane.line_size), np.uint8)
            each = np.repeat(row.round().astype(np.uint8), plane.width // len(BARS))
            samples[:, : plane.width] = each
            plane.update(samples.tobytes())
        for index in range(6):
            frame.pts = index
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


def first_of_file(path: Path) -> np.ndarray:
    (source,) = moving_sources(str(path))
    source.open()
    with closing(source):
        image = source.read()
    assert image is not None
    return image


def first_of_stream(path: Path, decoder: Decoder = "auto") -> np.ndarray:
    with served(path.read_bytes()) as address, closing(opened(address, decoder)) as source:
        image = source.read()
        while source.read() is not None:
            pass
    assert image is not None
    return image


def _farthest(image: np.ndarray) -> int:
    """Return by how many levels the middles of the bars are off."""
    found = [image[image.shape[0] // 2, 32 * k + 16, ::-1].astype(int) for k in range(len(BARS))]
    return int(np.abs(np.array(found) - BARS).max())


@pytest.mark.parametrize("first", [first_of_file, first_of_stream])
@pytest.mark.parametrize(
    ("tag", "full", "tagged", "lines"),
    [
        (1, False, True, 96),
        (6, True, True, 96),
        (9, False, True, 96),
        (6, False, False, 96),
        (1, False, False, 720),
    ],
    ids=["bt709", "bt601-full", "bt2020", "untagged-sd", "untagged-hd"],
)
def test_colour_bars_come_out_as_they_went_in(
    tmp_path: Path, first: Callable[[Path], np.ndarray], tag: int, full: bool, tagged: bool, lines: int
) -> None:
    path = bars_clip(tmp_path / "bars.ts", tag, full, tagged=tagged, lines=lines)
    assert _farthest(first(path)) <= 4


@pytest.mark.skipif(_OPENCV < (4, 13), reason="OpenCV 4.12 does not look at the tags")
@pytest.mark.parametrize(("tag", "full"), [(1, False), (1, True), (6, False), (9, False)])
def test_a_tagged_stream_has_the_same_colours_with_opencv(tmp_path: Path, tag: int, full: bool) -> None:
    path = bars_clip(tmp_path / "bars.ts", tag, full, tagged=True)
    mine, theirs = first_of_stream(path), first_of_stream(path, "opencv")
    assert _farthest(theirs) <= 4
    assert np.abs(mine[48].astype(int) - theirs[48])[16::32].max() <= 4


def test_a_wrong_matrix_would_be_seen(tmp_path: Path) -> None:
    path = bars_clip(tmp_path / "bars.ts", 1, False, tagged=False)
    assert _farthest(first_of_file(path)) > 12, "BT.709 without its tag, in SD, is taken for BT.601"


def test_each_decoder_says_what_it_can_do() -> None:
    states = decoder_states()
    assert set(states) == {"pyav", "opencv"}
    assert states["pyav"][0]
    assert "h264" in states["pyav"][1]
    assert isinstance(moving_sources("rtsp://x/y")[0], NetworkStream)


def test_a_stream_of_which_no_frame_comes_is_told_with_a_reason(tmp_path: Path) -> None:
    """MP4 has its index behind the frames, to which a connection does not go back."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    path = clip(tmp_path / "v.mp4", 8, images=[np.roll(noise, k, axis=1) for k in range(8)])
    with served(path.read_bytes()) as address, closing(open_source(address)) as source:
        with pytest.raises(InputError, match="gave no frame") as caught:
            list(source.shots(print))
        assert "MP4 over HTTP" in str(caught.value.hint)
