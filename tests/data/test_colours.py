"""Colour bars come back from what FFmpeg makes of them, with the matrix and range that the tags say."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tests.data.yuv_frames import bgr
from yolotrt.data.colours import BT601, BT709, BT2020, FULL_RANGE, LEFT, TOP_LEFT, VIDEO_RANGE, Colours

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
