"""Where frames come from: pictures, a folder of them, a video, or a synthetic scene."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from yolotrt.arrays import Frame
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.data.images import EXTENSIONS, list_images, read_image
from yolotrt.data.kinds import SCENE, is_picture
from yolotrt.data.video_file import Moment, VideoFile
from yolotrt.errors import ImageError, PictureWarning
from yolotrt.progress import Say

MAX_FRAMES = 16
"""Frames of a folder or video that are held in memory; a 4K frame takes 25 MB."""


@dataclass(frozen=True)
class Shot:
    """A frame with its name.

    Attributes:
        name: The picture's path below the folder that was named, with ``/``; ``NAME#INDEX`` of a video.
        image: (h, w, 3) uint8 BGR.
        moment: When it is shown, in a video.
    """

    name: str
    image: Frame
    moment: Moment | None = None


class Source(Protocol):
    """Gives the frames of what the user named, one by one.

    Attributes:
        label: What the user named.
    """

    label: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the pictures, in order; of a video, that of its file."""
        ...

    @property
    def total(self) -> int:
        """How many frames will come, as far as it is known; 0 if it is not."""
        ...

    def shots(self, say: Say) -> Generator[Shot, None, None]:
        """Give each frame; ``say`` is told about what is left out.

        Raises:
            ImageError: The only picture cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds, whether it was read or not."""
        ...


class Pictures:
    """Pictures by their names; read one after the other."""

    def __init__(self, label: str, paths: dict[str, Path]) -> None:
        self.label, self._paths = label, paths

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return tuple(self._paths)

    @property
    def total(self) -> int:
        """See :class:`Source`."""
        return len(self._paths)

    def shots(self, say: Say) -> Generator[Shot, None, None]:
        """See :class:`Source`."""
        for name, path in self._paths.items():
            try:
                image = read_image(path)
            except ImageError as exc:
                if len(self._paths) == 1:
                    raise
                say(f"warning: skipped: {exc.message}")
                continue
            yield Shot(name, image)

    def close(self) -> None:
        """Nothing is held."""


class VideoSource:
    """A video file."""

    def __init__(self, path: Path, video: VideoFile) -> None:
        self.label, self.path, self.fps = str(path), path, video.fps
        self._video = video

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return (self.path.name,)

    @property
    def total(self) -> int:
        """See :class:`Source`."""
        return self._video.announced or 0

    def shots(self, say: Say) -> Generator[Shot, None, None]:
        """See :class:`Source`; can be read once."""
        first: tuple[int, ...] = ()
        changed = False
        for found in self._video.frames():
            first = first or found.image.shape
            if found.image.shape != first and not changed:
                changed = True
                height, width = found.image.shape[:2]
                say(
                    f"note: {self.path} changes its size to {width}x{height} px at frame "
                    f"{found.moment.index}; a saved video keeps its first size"
                )
            yield Shot(f"{self.path.name}#{found.moment.index}", found.image, found.moment)
        for remark in self._video.remarks():
            say(f"warning: {remark}")

    def close(self) -> None:
        """Close the file."""
        self._video.close()


class SceneSource:
    """The synthetic 3840x2160 frame."""

    label, names, total = SCENE, ("scene.png",), 1

    def shots(self, say: Say) -> Generator[Shot, None, None]:
        """See :class:`Source`."""
        yield Shot("scene.png", read_frames(SCENE)[0])

    def close(self) -> None:
        """Nothing is held."""


def open_source(source: str) -> Source:
    """Return the frames behind a name; whether a file is a picture or a video is told by its content.

    Args:
        source: Path of a picture, of a folder of pictures or of a video, or ``scene``.

    Raises:
        InputError: It is not there, or cannot be read.
    """
    if _is_scene(source):
        return SceneSource()
    path = Path(source)
    if os.path.isdir(path):
        return Pictures(source, {found.relative_to(path).as_posix(): found for found in list_images(path)})
    if (video := _video(path)) is not None:
        return VideoSource(path, video)
    (found,) = list_images(path)
    return Pictures(source, {found.name: found})


def read_frames(source: str, *, seed: int = 0) -> list[Frame]:
    """Return at least one frame.

    Args:
        source: Path of a picture, folder or video, or ``scene`` for a synthetic 3840x2160 frame.
        seed: Seed of the scene.

    Returns:
        (h, w, 3) uint8 BGR each; the first :data:`MAX_FRAMES` of a video, or of a folder in the order of
        their names.

    Raises:
        ImageError: Nothing is there, or a picture cannot be read.
    """
    if _is_scene(source):
        from yolotrt.data.scenes.scene import make_scene

        return [make_scene(seed).image]
    path = Path(source)
    if (video := _video(path)) is not None:
        with closing(video):
            found = [one.image for one in islice(video.frames(), MAX_FRAMES)]
            for remark in video.remarks() if len(found) < MAX_FRAMES else ():
                warnings.warn(PictureWarning(remark, "video"), stacklevel=2)
            return found
    return [read_image(one) for one in list_images(path)[:MAX_FRAMES]]


def source_files(source: str) -> tuple[tuple[str, str], ...]:
    """Return name and sha256 of every file that :func:`read_frames` reads; nothing for a scene.

    Names are relative to a folder, which may move.

    Raises:
        ImageError: Nothing is there, or a file cannot be read.
    """
    if _is_scene(source):
        return ()
    root = Path(source)
    if (video := _video(root)) is not None:
        video.close()
        return ((root.name, _digest(root)),)
    return tuple(
        (path.name if path == root else path.relative_to(root).as_posix(), _digest(path))
        for path in list_images(root)[:MAX_FRAMES]
    )


def _is_scene(source: str) -> bool:
    if source == SCENE and os.path.exists(SCENE):
        text = f"{SCENE} is the synthetic frame; what is called so here is ./{SCENE}."
        warnings.warn(PictureWarning(text, SCENE), stacklevel=3)
    return source == SCENE


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as exc:
        raise ImageError(f"{path} cannot be read ({exc.strerror}).", hint="Check the path.") from exc


def _video(path: Path) -> VideoFile | None:
    """Return a file's video, or None for what is a picture or named like one and no video."""
    if not os.path.isfile(path) or is_picture(path):
        return None
    try:
        return VideoFile(path)
    except ImageError:
        if path.suffix.lower() in EXTENSIONS:
            return None  # the reader of pictures knows better what is wrong with one
        raise
