"""The frames that are measured on: few enough for memory, and known by the hashes of their files."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from yolotrt.arrays import Frame
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.data.images import read_image
from yolotrt.data.named import Live, Named, Piped, Stills, VideoPath, named
from yolotrt.data.video import live_source
from yolotrt.data.video_file import VideoFile
from yolotrt.data.yuv import on_host
from yolotrt.errors import ImageError, InputError, PictureWarning

MAX_FRAMES = 16
"""Frames that are held in memory; a 4K frame takes 25 MB."""


def read_frames(source: str | Sequence[str], *, seed: int = 0) -> list[Frame]:
    """Return at least one frame.

    Args:
        source: One or several names; see :func:`yolotrt.data.named.named`.
        seed: Seed of a synthetic scene.

    Returns:
        (h, w, 3) uint8 BGR each; the first :data:`MAX_FRAMES` in the order of the names.

    Raises:
        InputError: Nothing is there, or a picture cannot be read.
    """
    frames: list[Frame] = []
    for found in named(source):
        left = MAX_FRAMES - len(frames)
        with closing(_frames(found, seed, left)) as coming:
            frames += islice(coming, left)
    return frames


def source_files(source: str | Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return name and sha256 of every file that :func:`read_frames` may read; none for scenes and cameras.

    How many frames a video has is not known before it is read, so it counts as one here. Names are relative
    to a folder, which may move.

    Raises:
        InputError: Nothing is there, or a file cannot be read.
    """
    files: list[tuple[str, str]] = []
    left = MAX_FRAMES
    for found in named(source):
        if isinstance(found, Stills):
            chosen = list(found.paths.items())[:left]
            files += [(name, _digest(path)) for name, path in chosen]
            left -= len(chosen)
        elif isinstance(found, VideoPath) and left:
            VideoFile(found.path).close()
            files.append((found.name, _digest(found.path)))
            left -= 1
    return tuple(files)


def _frames(found: Named, seed: int, limit: int) -> Generator[Frame, None, None]:
    if limit <= 0:
        return
    if isinstance(found, Stills):
        yield from map(read_image, found.paths.values())
    elif isinstance(found, VideoPath):
        with closing(VideoFile(found.path)) as video:
            count = 0
            for one in islice(video.frames(), limit):
                count += 1
                yield on_host(one.image)
            for remark in video.remarks() if count < limit else ():
                warnings.warn(PictureWarning(remark, "video"), stacklevel=2)
    elif isinstance(found, Live):
        stream = live_source(found)
        stream.open()
        try:
            first = stream.read()
            if first is None:
                raise InputError(f"{found.name} gave no frame.", hint="Try it with ffprobe.")
            yield on_host(first)
            while (image := stream.read()) is not None:
                yield on_host(image)
        finally:
            stream.close()
    elif isinstance(found, Piped):
        raise InputError("Raw frames on stdin are for: yolotrt run.", hint="Name a file, or use yolotrt run.")
    else:
        from yolotrt.data.scenes.scene import make_scene

        yield make_scene(seed).image


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as exc:
        raise ImageError(f"{path} cannot be read ({exc.strerror}).", hint="Check the path.") from exc
