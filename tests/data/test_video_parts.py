"""Parts of a video hold the frames that the whole one has, at the same times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.clips import clip
from yolotrt.data.video_file import VideoFile
from yolotrt.data.video_parts import VideoPart, part_frames, video_parts

OPEN_GOP = {"g": "8", "x264-params": "open-gop=1:bframes=3"}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_parts_give_what_the_whole_gives_also_around_open_groups(tmp_path: Path, name: str) -> None:
    path = clip(tmp_path / name, 40, options=OPEN_GOP)
    parts = video_parts(path, 10)
    assert len(parts) > 2
    assert [p.first for p in parts] == [0, *np.cumsum([p.frames for p in parts])[:-1]]
    video = VideoFile(path)
    whole = list(video.frames())
    video.close()
    # In any order: each is decoded by itself.
    found = {f.moment.index: f for part in reversed(parts) for f in part_frames(path, part)}
    assert [found[k].moment for k in range(40)] == [f.moment for f in whole]
    assert all(np.array_equal(found[k].image, f.image) for k, f in enumerate(whole))


def test_a_video_that_cannot_be_searched_stays_whole(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.ts", 20, options={"g": "4"})
    assert video_parts(path, 5) == [VideoPart(frames=20)]
    assert len(list(part_frames(path, VideoPart(frames=20)))) == 20
