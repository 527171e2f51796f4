"""A video cut at its key frames, so that its parts can be decoded by different processes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from yolotrt.artifacts.fields import Count
from yolotrt.data.video_file import Moment, VideoFile, VideoFrameAt


@dataclass(frozen=True)
class VideoPart:
    """Neighbouring frames of a video.

    Attributes:
        first: Number of the first one in the video, from 0.
        frames: How many the file announces there; damaged ones do not come.
        begin: Time stamp of the first one, in the stream's time base; None for the beginning of the file.
        end: Time stamp of the first one behind it; None for the end of the file.
        zero_s: When the video begins, seconds by its time stamps.
    """

    first: Count = 0
    frames: Count = 0
    begin: int | None = None
    end: int | None = None
    zero_s: float = 0.0


def video_parts(path: Path, at_least: int) -> list[VideoPart]:
    """Cut a video at key frames into parts of so many frames or more; only packets are read.

    A video whose time stamps do not tell its frames apart, or that cannot be searched by them, stays whole.

    Args:
        path: The video.
        at_least: Frames of a part; the last one may have fewer.

    Raises:
        InputError: It is missing or no regular file.
        ImageError: It holds no video.
    """
    video = VideoFile(path)
    try:
        stamps, keys, whole = array("q"), array("q"), not video.searchable
        for found, is_key in video.stamps():
            whole = whole or found is None
            stamps.append(found or 0)
            if is_key:
                keys.append(found or 0)
        shown = array("q", sorted(stamps))
        if whole or not shown or any(one == other for one, other in pairwise(shown)):
            return [VideoPart(frames=len(shown))]
        zero_s = float(shown[0] * video.time_base)
    finally:
        video.close()
    cuts = [0]
    for key in sorted(keys):
        index = bisect_left(shown, key)
        if index - cuts[-1] >= at_least:
            cuts.append(index)
    ends = [*cuts[1:], len(shown)]
    return [
        VideoPart(
            first,
            end - first,
            shown[first] if first else None,
            shown[end] if end < len(shown) else None,
            zero_s,
        )
        for first, end in zip(cuts, ends, strict=True)
    ]


def part_frames(path: Path, part: VideoPart) -> Iterator[VideoFrameAt]:
    """Decode the frames of a part, each as it comes when the whole video is decoded.

    Frames that need others of the part before (of an open group of pictures) are that part's: what is shown
    from ``begin`` on and before ``end`` counts, wherever it is stored.

    Raises:
        InputError: The file is missing.
        ImageError: It cannot be read as a video, or the whole video holds no frame.
    """
    video = VideoFile(path)
    try:
        if part.begin is None and part.end is None:
            yield from video.frames()
            return
        for count, found in enumerate(video.frames_between(part.begin, part.end)):
            stamp_s = found.moment.stamp_s
            assert stamp_s is not None, "only videos with time stamps are cut"
            yield VideoFrameAt(found.image, Moment(part.first + count, stamp_s - part.zero_s, stamp_s))
    finally:
        video.close()
