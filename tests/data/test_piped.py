"""Raw frames on a pipe."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.clips import shade
from yolotrt.data.piped import PIXEL_FORMATS, PipedSource, RawFormat
from yolotrt.data.video import moving_sources
from yolotrt.errors import InputError, UsageError


def piped(data: bytes, raw: RawFormat) -> PipedSource:
    """Return a source that reads these bytes from a pipe, which is small: they come in parts."""
    back, front = os.pipe()
    os.write(front, data)
    os.close(front)
    source = PipedSource(raw, timeout_s=5, descriptor=back)
    source.open()
    return source


@pytest.mark.parametrize("pixels", PIXEL_FORMATS)
def test_each_format_gives_the_picture(pixels: str) -> None:
    raw = RawFormat.parse("64x48", pixels)
    pictures = [shade(3), shade(5)]
    stored = [
        av.VideoFrame.from_ndarray(p, format="bgr24").reformat(format=pixels).to_ndarray().tobytes()
        for p in pictures
    ]
    assert len(stored[0]) == raw.frame_bytes
    source = piped(b"".join(stored), raw)
    for picture in pictures:
        found = source.read()
        assert found is not None
        assert found.shape == (48, 64, 3)
        assert np.abs(found.astype(int) - picture).max() <= 5, (
            "FFmpeg's fast way from yuv420p gives white a tint"
        )
    assert source.read() is None
    assert source.remarks() == ()


def test_colours_keep_their_places() -> None:
    rgb = np.zeros((2, 4, 3), np.uint8)
    rgb[..., 0] = 250
    found = piped(rgb.tobytes(), RawFormat((4, 2), "rgb24")).read()
    assert found is not None
    assert found[0, 0].tolist() == [0, 0, 250]


def test_an_end_within_a_frame_and_a_pipe_that_gives_nothing_are_said() -> None:
    source = piped(bytes(100), RawFormat((4, 8)))
    assert source.read() is not None
    assert source.read() is None
    assert "4 of 96 bytes" in source.remarks()[0]
    back, front = os.pipe()
    idle = PipedSource(RawFormat((4, 8)), timeout_s=0.05, descriptor=back)
    idle.open()
    assert idle.read() is None
    assert "gave nothing for 0.05 s" in idle.remarks()[0]
    os.close(front)


def test_a_terminal_is_no_pipe() -> None:
    _, terminal = pty.openpty()
    with pytest.raises(InputError, match="Nothing is piped"):
        PipedSource(RawFormat((4, 8)), timeout_s=1, descriptor=terminal).open()


@pytest.mark.parametrize(
    ("size", "pixels", "words"),
    [
        ("1920", "bgr24", "no size"), ("0x4", "bgr24", "no size"), ("99999x99999", "bgr24", "no size"),
        ("64x48", "yuv444p", "not known"), ("63x48", "nv12", "even sides"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(size: str, pixels: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        RawFormat.parse(size, pixels)
    assert caught.value.hint


def test_what_raw_frames_are_is_for_stdin_alone(tmp_path: Path) -> None:
    assert RawFormat.asked(None, None) is None
    assert RawFormat.asked("64x48", None) == RawFormat((64, 48), "bgr24")
    with pytest.raises(UsageError, match="wants --size"):
        RawFormat.asked(None, "nv12")
    video = tmp_path / "v.mp4"
    video.write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(UsageError, match="no source is -"):
        moving_sources(str(video), raw=RawFormat((64, 48)))
