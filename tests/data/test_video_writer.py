"""Videos that are written: complete, with the times of their frames, playable everywhere."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.clips import WH, number, shade
from yolotrt.data import nvenc
from yolotrt.data.video_file import VideoFile
from yolotrt.data.video_writer import CODECS, new_video
from yolotrt.errors import EnvironmentFault


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with closing(VideoFile(path)) as video:
        found = list(video.frames())
        assert not video.remarks()
    return [round(f.moment.time_s, 3) for f in found], [f.image for f in found]


def test_the_times_of_the_frames_are_kept(tmp_path: Path) -> None:
    times = [0, 0.033, 0.4, 0.401, 7.25]
    with new_video(tmp_path / "v.mp4", 30, WH) as append:
        for index, time_s in enumerate(times):
            append(shade(index), time_s)
    found, images = read(tmp_path / "v.mp4")
    assert found == times
    assert [number(image) for image in images] == list(range(5))
    with av.open(str(tmp_path / "v.mp4")) as clip:
        assert clip.streams.video[0].codec_context.name == "h264", "what browsers play"
        assert clip.streams.video[0].pix_fmt == "yuv420p"


@pytest.mark.parametrize(("name", "fps"), [("v.mp4", 29.97), ("v.avi", 25), ("v.mp4", 7)])
def test_a_constant_rate(tmp_path: Path, name: str, fps: float) -> None:
    with new_video(tmp_path / name, fps, WH) as append:
        for index in range(6):
            append(shade(index))
    found, images = read(tmp_path / name)
    assert found == pytest.approx([k / fps for k in range(6)], abs=0.001)
    assert [number(image) for image in images] == list(range(6))


def test_colours_come_back(tmp_path: Path) -> None:
    red = np.full((48, 64, 3), (30, 40, 220), np.uint8)
    for name in ("v.mp4", "v.avi"):
        with new_video(tmp_path / name, 25, WH) as append:
            append(red)
        assert np.abs(read(tmp_path / name)[1][0].astype(int) - red).mean() < 12, name


def test_odd_sides_get_one_pixel_more_and_other_sizes_are_scaled(tmp_path: Path) -> None:
    with new_video(tmp_path / "v.mp4", 25, (63, 47)) as append:
        append(shade(3)[:47, :63])
        append(np.full((96, 128, 3), 20 + 8 * 5, np.uint8))
    _, images = read(tmp_path / "v.mp4")
    assert [image.shape for image in images] == [(48, 64, 3)] * 2
    assert [number(image) for image in images] == [3, 5]


def test_an_encoder_of_the_gpu_that_gives_nothing_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried where a driver is loaded; here that fails in FFmpeg itself."""
    monkeypatch.setattr(nvenc, "DRIVER", tmp_path)
    nvenc.encodes.cache_clear()
    told: list[str] = []
    with new_video(tmp_path / "v.mp4", 25, WH, told.append) as append:
        append(shade(3))
    assert nvenc.encodes.cache_info().misses == 1
    assert told == [
        f"the processor encodes {tmp_path / 'v.mp4'} (libx264): NVENC does not work here, or not now"
    ]
    assert number(read(tmp_path / "v.mp4")[1][0]) == 3
    nvenc.encodes.cache_clear()


def test_an_encoder_of_the_gpu_that_cannot_be_opened_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the driver encodes no more videos at a time, though one was encoded on trial."""
    monkeypatch.setattr(nvenc, "encodes", lambda _wh: True)
    with new_video(tmp_path / "v.mp4", 25, WH) as append:
        append(shade(3))
    assert number(read(tmp_path / "v.mp4")[1][0]) == 3


def test_without_h264_the_next_encoder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODECS, ".mp4", ("none_of_those", "mpeg4"))
    with new_video(tmp_path / "v.mp4", 25, WH) as append:
        append(shade(3))
    assert number(read(tmp_path / "v.mp4")[1][0]) == 3
    monkeypatch.setitem(CODECS, ".mp4", ("none_of_those",))
    with pytest.raises(EnvironmentFault, match="cannot write"), new_video(tmp_path / "v.mp4", 25, WH):
        pass


def test_time_that_stands_still_or_leaps_is_written_all_the_same(tmp_path: Path) -> None:
    with new_video(tmp_path / "v.mp4", 25, WH) as append:
        for index, time_s in enumerate((0, 0, 0, 1e6)):
            append(shade(index), time_s)
    assert len(read(tmp_path / "v.mp4")[1]) == 4


def test_a_video_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"earlier")

    def interrupted() -> None:
        with new_video(tmp_path / "v.mp4", 25, WH) as append:
            append(shade(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_bytes() == b"earlier"
