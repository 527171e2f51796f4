"""Colour bars come back from what FFmpeg makes of them, with the matrix and range that the tags say."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.clips import clip
from tests.data.yuv_frames import bgr, noise
from yolotrt.data.colours import (
    BT601,
    BT709,
    BT2020,
    CENTRE,
    FULL_RANGE,
    LEFT,
    TOP_LEFT,
    VIDEO_RANGE,
    Colours,
)
from yolotrt.data.pixels import planes
from yolotrt.data.siting import chroma_site

BARS = np.array(
    [[b, g, r] for g in (200, 60) for r in (200, 60) for b in (200, 60)], np.uint8
)  # within the range, so that nothing is limited
WIDE, HIGH = 16, 32


def samples(matrix: int, *, full: bool, bits: int) -> np.ndarray:
    """Return the bars as NV12 or P010."""
    picture = np.repeat(np.broadcast_to(BARS, (HIGH, *BARS.shape)), WIDE, axis=1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24").reformat(
        format="yuv420p" if bits == 8 else "yuv420p10le",
        src_colorspace=BT709 if matrix == BT601 else BT601,
        dst_colorspace=matrix,
        src_color_range=FULL_RANGE,
        dst_color_range=FULL_RANGE if full else VIDEO_RANGE,
    )
    flat = frame.to_ndarray().reshape(-1)
    count = HIGH * WIDE * len(BARS)
    pairs = np.stack([flat[count : count * 5 // 4], flat[count * 5 // 4 :]], axis=1).reshape(-1)
    whole = np.concatenate([flat[:count], pairs]).reshape(HIGH * 3 // 2, -1)
    return whole if bits == 8 else (whole << 6).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
def test_colour_bars(matrix: int, full: bool, bits: int) -> None:
    stored = samples(matrix, full=full, bits=bits)
    inside = slice(WIDE // 2, None, WIDE)
    found = bgr(stored, Colours(matrix, full, bits))[HIGH // 2, inside]
    assert np.abs(found.astype(int) - BARS).max() <= 3
    for other in {BT601, BT709, BT2020} - {matrix}:
        wrong = bgr(stored, Colours(other, full, bits))[HIGH // 2, inside]
        assert np.abs(wrong.astype(int) - BARS).max() > 6, "a wrong matrix is seen"
    swapped = bgr(stored, Colours(matrix, not full, bits))[HIGH // 2, inside]
    assert np.abs(swapped.astype(int) - BARS).max() > 6, "and a wrong range"


def test_tags_say_what_samples_mean_and_without_them_the_size() -> None:
    assert Colours.tagged(1, 480, full=False) == Colours(BT709, False, 8, LEFT)
    assert Colours.tagged(6, 2160, full=True) == Colours(BT601, True)
    assert Colours.tagged(9, 2160, full=False, bits=10) == Colours(BT2020, False, 10, TOP_LEFT)
    assert [Colours.tagged(2, lines, full=False).matrix for lines in (719, 720)] == [BT601, BT709]


SITES = {
    "left": LEFT,
    "center": CENTRE,
    "topleft": TOP_LEFT,
    "top": (1, 0),
    "bottomleft": (0, 2),
    "bottom": (1, 2),
}


@pytest.mark.parametrize("name", list(SITES)[:4])
def test_a_stream_says_where_its_colour_samples_lie(tmp_path: Path, name: str) -> None:
    number = list(SITES).index(name)  # as in ITU-T H.264, figure E-1
    tag = {"x264-params": f"chromaloc={number}"}
    with av.open(str(clip(tmp_path / "v.mp4", 1, options=tag))) as container:
        assert chroma_site(container.streams.video[0]) == SITES[name]


def test_without_a_tag_h264_is_left_and_others_say_nothing(tmp_path: Path) -> None:
    for path, site in (
        (clip(tmp_path / "v.ts", 1), LEFT),
        (clip(tmp_path / "v.mkv", 1, codec="mpeg4"), LEFT),
        (clip(tmp_path / "v.avi", 1, codec="rawvideo"), None),
    ):
        with av.open(str(path)) as container:
            assert chroma_site(container.streams.video[0]) == site


@pytest.mark.parametrize("name", SITES)
def test_colours_between_samples_are_those_of_ffmpeg(name: str) -> None:
    """By its scaler, told the place and to round exactly: kernels are held to the same formula elsewhere."""
    wh = (64, 48)
    stored = noise(wh, Colours(BT709, full=False)) // 4 + 96  # no level is limited
    graph = av.filter.Graph()
    steps = [
        graph.add(
            "buffer", f"video_size={wh[0]}x{wh[1]}:pix_fmt=yuv420p:time_base=1/25:colorspace=bt709:range=tv"
        ),
        graph.add("scale", f"in_chroma_loc={name}:out_range=pc:flags=bilinear+accurate_rnd+full_chroma_int"),
        graph.add("format", "gbrp"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*steps).configure()
    graph.push(av.VideoFrame.from_ndarray(planes(stored, wh[1]), format="yuv420p"))
    theirs = graph.pull().reformat(format="bgr24").to_ndarray().astype(int)
    for other, site in SITES.items():
        apart = np.abs(theirs - bgr(stored, Colours(BT709, full=False, site=site))).max()
        assert apart <= 1 if other == name else apart > 5, other
