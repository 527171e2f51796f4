"""Videos as people have them, decoded frame by frame with their times; every file is made here, for real."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.clips import clip, number, shade, sound, turn
from yolotrt.bench.sustain import resident_mib
from yolotrt.data.colours import FULL_RANGE, VIDEO_RANGE
from yolotrt.data.kinds import is_picture
from yolotrt.data.measured import read_frames
from yolotrt.data.pixels import Converter, upright
from yolotrt.data.sources import Pictures, VideoSource, open_source
from yolotrt.data.timeline import Timeline
from yolotrt.data.video_file import VideoFile, VideoFrameAt
from yolotrt.errors import ImageError, PictureWarning


def read(path: Path) -> tuple[list[VideoFrameAt], tuple[str, ...]]:
    with closing(VideoFile(path)) as video:
        return list(video.frames()), video.remarks()


def times(found: list[VideoFrameAt]) -> list[float]:
    return [round(f.moment.time_s, 3) for f in found]


def test_a_variable_rate_keeps_its_time_stamps(tmp_path: Path) -> None:
    stamps = [0, 33, 67, 100, 500, 633, 2000]
    found, remarks = read(clip(tmp_path / "v.mkv", 7, times_ms=stamps))
    assert times(found) == [t / 1000 for t in stamps]
    assert [number(f.image) for f in found] == list(range(7))
    assert not remarks, "its frames are fewer than its rate and length announce, and yet all are there"


def test_a_first_time_stamp_that_is_not_zero_is_told_and_shifted(tmp_path: Path) -> None:
    found, remarks = read(clip(tmp_path / "v.mkv", 4, times_ms=[5000, 5040, 5080, 5120]))
    assert times(found) == [0, 0.04, 0.08, 0.12]
    assert [f.moment.stamp_s for f in found] == [5, 5.04, 5.08, 5.12]
    assert not remarks


def test_frames_that_wait_for_later_ones_come_in_the_order_of_time(tmp_path: Path) -> None:
    found, _ = read(clip(tmp_path / "b.mp4", 12, options={"bf": "3", "b_strategy": "0"}))
    assert [number(f.image) for f in found] == list(range(12))
    assert times(found) == [round(k / 25, 3) for k in range(12)]


def test_a_stream_without_time_stamps_is_timed_by_its_rate(tmp_path: Path) -> None:
    found, _ = read(clip(tmp_path / "raw", 5, container="h264"))
    assert times(found) == [0, 0.04, 0.08, 0.12, 0.16]
    assert {f.moment.stamp_s for f in found} == {None}


def test_recordings_that_were_joined_go_on_in_time_and_size(tmp_path: Path) -> None:
    large = [np.full((96, 128, 3), 100, np.uint8)] * 5
    parts = [clip(tmp_path / "1.ts", 5), clip(tmp_path / "2.ts", 5, images=large)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    found, _ = read(joined)
    assert times(found) == [round(k / 25, 3) for k in range(10)]
    assert [f.image.shape[1] for f in found] == [64] * 5 + [128] * 5
    joined.write_bytes(b"".join(part.read_bytes() for part in parts * 2))
    said: list[str] = []
    with closing(open_source(str(joined))) as video:
        assert len(list(video.shots(said.append))) == 20
    assert [note for note in said if "size" in note] == [
        f"note: {joined} changes its size to 128x96 px at frame 5; a saved video keeps its first size"
    ]


def test_time_goes_on_whatever_the_time_stamps_do() -> None:
    timeline = Timeline(0.04)
    placed = [timeline.place(stamp) for stamp in (7.0, 7.04, 7.03, None, 7.12, 7.12, 0.0, 0.04)]
    assert placed == sorted(set(placed))
    assert placed[:2] == [0.0, pytest.approx(0.04)]
    assert np.diff(placed[-3:]).round(3).tolist() == [0.04, 0.04], "another part begins"


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_interlaced_video_is_seen(tmp_path: Path, codec: str) -> None:
    """OpenCV 4.14 and 5.0 call such frames of H.264 good and give them all black."""
    found, _ = read(clip(tmp_path / "i.mp4", 8, codec=codec, options={"flags": "+ildct+ilme"}))
    assert [number(f.image) for f in found] == list(range(8))


def test_ten_bits_are_read(tmp_path: Path) -> None:
    found, _ = read(clip(tmp_path / "t.mkv", 3, codec="ffv1", pixels="yuv420p10le"))
    assert np.abs(found[2].image.astype(int) - shade(2)).max() <= 3


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), np.rot90(shade(0), -1)),
        ((-1, 0, 0, -1), np.rot90(shade(0), 2)),
        ((0, -1, 1, 0), np.rot90(shade(0), 1)),
        ((-1, 0, 0, 1), shade(0)[:, ::-1]),
    ],
    ids=["90", "180", "270", "mirrored"],
)
def test_a_phone_s_video_is_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], expected: np.ndarray
) -> None:
    found, _ = read(turn(clip(tmp_path / "p.mp4", 2), *matrix))
    assert found[0].image.shape == expected.shape
    assert np.abs(found[0].image.astype(int) - expected).mean() < 4
    assert found[1].image.shape == expected.shape


def test_turning_follows_the_display_matrix() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert upright(image, None) is image
    assert upright(image, (1, 0, 0, 1)) is image
    assert (upright(image, (1, 0, 0, -1)) == image[::-1]).all()


RGB = (200, 40, 60)


@pytest.mark.parametrize(
    ("tag", "full", "lines", "kr", "kb"),
    [
        (1, False, 64, 0.2126, 0.0722), (1, True, 64, 0.2126, 0.0722), (5, False, 64, 0.299, 0.114),
        (6, True, 64, 0.299, 0.114), (9, False, 64, 0.2627, 0.0593), (2, False, 64, 0.299, 0.114),
        (2, False, 720, 0.2126, 0.0722),
    ],
)  # fmt: skip
def test_colours_are_those_of_the_stream_s_tags(
    tag: int, full: bool, lines: int, kr: float, kb: float
) -> None:
    """ITU-R BT.601, BT.709 and BT.2020; without a tag (2) the size decides."""
    red, green, blue = (v / 255 for v in RGB)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    stored = (
        (luma * 255, u * 255 + 128, v * 255 + 128)
        if full
        else (16 + 219 * luma, 128 + 224 * u, 128 + 224 * v)
    )
    frame = av.VideoFrame(64, lines, "yuv420p")
    for plane, value in zip(frame.planes, stored, strict=True):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    frame.colorspace, frame.color_range = tag, FULL_RANGE if full else VIDEO_RANGE
    assert np.abs(Converter()(frame)[8, 8, ::-1].astype(int) - RGB).max() <= 3


@pytest.mark.parametrize(
    ("name", "made"),
    [("v.mkv", {}), ("v.mp4", {"muxing": {"movflags": "faststart"}}), ("v.avi", {"codec": "mpeg4"})],
)
def test_a_video_that_breaks_off_says_what_it_announced(
    tmp_path: Path, name: str, made: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = clip(tmp_path / name, 20, images=noise, **made)  # type: ignore[arg-type]
    whole, remarks = read(path)
    assert (len(whole), remarks) == (20, ())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, remarks = read(path)
    assert 0 < len(found) < 20
    assert len(remarks) == 1
    assert "20 frames" in remarks[0]
    assert f"{len(found)} frames came" in remarks[0]
    assert capfd.readouterr().err == "", "FFmpeg keeps its words to itself"


def test_a_damaged_middle_is_left_out_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = clip(tmp_path / "v.mp4", 20, images=noise, options={"g": "1"})
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 20_000
    data[middle : middle + 6000] = bytes(6000)
    path.write_bytes(data)
    found, remarks = read(path)
    assert 10 < len(found) <= 20
    assert "may be damaged" in remarks[0]
    assert capfd.readouterr().err == ""


def test_a_trimmed_video_breaks_off_nowhere(tmp_path: Path) -> None:
    """An edit list hides frames that the header still counts, as the editor of a phone does."""
    path = clip(tmp_path / "v.mp4", 20, muxing={"movflags": "faststart"}, options={"g": "1"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    assert int.from_bytes(data[at : at + 4], "big") == 800  # of 1/1000 s
    data[at : at + 4] = (400).to_bytes(4, "big")
    path.write_bytes(data)
    found, remarks = read(path)
    assert len(found) == 10
    assert not remarks


def test_a_header_that_announces_years(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mkv", 4)
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # the duration, a float of 8 bytes (RFC 9559)
    path.write_bytes(
        data[:at] + np.array([1e12], ">f8").tobytes() + data[at + 8 :].replace(b"DURATION", b"XURATION")
    )
    found, remarks = read(path)
    assert len(found) == 4
    assert "4 frames came" in remarks[0]


def test_what_is_no_video_is_called_by_its_name(tmp_path: Path) -> None:
    sound(tmp_path / "a.m4a")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "diary.txt").write_text("FFmpeg draws what ends in .txt as on a terminal.\n" * 40)
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {clip(tmp_path / 'v.mp4', 2)}\n")
    (tmp_path / "codec.mp4").write_bytes((tmp_path / "v.mp4").read_bytes().replace(b"avc1", b"abcd"))
    words = {
        "a.m4a": "only audio", "empty.mp4": "is empty", "diary.txt": "cannot be opened",
        "random.mp4": "cannot be opened", "list.mp4": "cannot be opened",
        "codec.mp4": "a codec that FFmpeg does not know",
    }  # fmt: skip
    for name, word in words.items():
        with pytest.raises(ImageError, match=word) as caught:
            read(tmp_path / name)
        assert caught.value.hint


def test_content_decides_and_not_the_ending(tmp_path: Path) -> None:
    import cv2

    names = ("clip.jpg", "clip", "a:%03d?.mp4", "x.ts", "x.mpg")
    for name, container, codec in zip(
        names, ("mp4", "matroska", "mp4", "mpegts", "mpeg"), ("libx264",) * 4 + ("mpeg1video",), strict=True
    ):
        made = clip(tmp_path / "made", 12, container=container, codec=codec).rename(tmp_path / name)
        with closing(open_source(str(made))) as source:
            assert isinstance(source, VideoSource), name
        assert len(read(made)[0]) == 12, name
    cv2.imwrite(str(tmp_path / "p.png"), shade(0))
    picture = (tmp_path / "p.png").rename(tmp_path / "picture.mp4")
    assert isinstance(open_source(str(picture)), Pictures)
    assert len(read_frames(str(picture))) == 1


def test_frames_that_are_measured_on_say_that_more_were_promised(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = clip(tmp_path / "v.mkv", 20, images=noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(PictureWarning, match="announces about 20 frames"):
        assert 0 < len(read_frames(str(path))) < 16


def test_jpegs_in_a_row_are_a_video_by_their_ending_alone(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.mjpeg", 3, codec="mjpeg", pixels="yuvj420p", container="mjpeg")
    assert len(read(path)[0]) == 3
    assert is_picture(path.rename(tmp_path / "v.jpg"))


def test_animations_are_pictures(tmp_path: Path) -> None:
    path = clip(tmp_path / "v.gif", 3, codec="gif", pixels="rgb8")
    assert is_picture(path)
    with pytest.warns(PictureWarning, match="several pictures") as said:
        assert len(read_frames(str(path))) == 1
    assert len(said) == 1


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Not even until garbage is collected: nothing that a frame needs is part of a cycle."""
    path = turn(clip(tmp_path / "v.mp4", 400, images=[np.zeros((240, 320, 3), np.uint8)] * 400), 0, 1, -1, 0)
    seen: list[float] = []
    gc.disable()
    try:
        with closing(VideoFile(path)) as video:
            for found in video.frames():
                if found.moment.index in (150, 399):
                    seen.append(resident_mib() or 0)
    finally:
        gc.enable()
    assert seen[1] - seen[0] < 8, "250 frames are 55 MiB"


def test_a_video_gives_bench_its_first_frames(tmp_path: Path) -> None:
    frames = read_frames(str(clip(tmp_path / "v.mp4", 20)))
    assert [number(frame) for frame in frames] == list(range(16))
