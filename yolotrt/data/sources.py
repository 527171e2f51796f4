"""Where frames come from, one after another: pictures, videos, cameras, or a synthetic scene."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from yolotrt.arrays import Frame
from yolotrt.data.images import read_image
from yolotrt.data.kinds import SCENE
from yolotrt.data.named import Live, Named, Piped, Stills, VideoPath, label, named
from yolotrt.data.yuv import on_host
from yolotrt.errors import ImageError, InputError
from yolotrt.progress import Say

if TYPE_CHECKING:
    from yolotrt.data.video_file import Moment, VideoFile


@dataclass(frozen=True)
class Shot:
    """A frame with its name.

    Attributes:
        name: The picture's path below the folder that was named, with ``/``; ``NAME#INDEX`` of a video.
        image: (h, w, 3) uint8 BGR.
        moment: When it is shown, in a video or stream.
    """

    name: str
    image: Frame
    moment: Moment | None = None

    @property
    def video(self) -> str | None:
        """The name of the video or stream that it is a frame of."""
        return None if self.moment is None else self.name.rpartition("#")[0]


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
        self._ahead: dict[str, Frame] = {}

    def read_ahead(self) -> None:
        """Read the first picture now rather than when it is asked for; what is wrong with it is said then."""
        for name, path in [*self._paths.items()][:1]:
            with suppress(ImageError):
                self._ahead[name] = read_image(path)

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
                image = self._ahead.pop(name, None)
                image = read_image(path) if image is None else image
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

    def __init__(self, path: Path, video: VideoFile, name: str | None = None) -> None:
        self.label, self.path, self.fps = str(path), path, video.fps
        self.name = name or path.name
        self._video = video

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return (self.name,)

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
            yield Shot(f"{self.name}#{found.moment.index}", on_host(found.image), found.moment)
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
        from yolotrt.data.scenes.scene import make_scene

        yield Shot("scene.png", make_scene(0).image)

    def close(self) -> None:
        """Nothing is held."""


class LiveSource:
    """A camera or stream, until it ends or the reader does; times count from the first frame."""

    total = 0

    def __init__(self, found: Live) -> None:
        self.label = found.name
        self.name = re.sub(r"[^A-Za-z0-9.]+", "-", found.name).strip("-.") or "stream"
        from yolotrt.data.video import live_source  # pictures need nothing of it

        self._stream = live_source(found)
        self._stream.open()
        self.fps = self._stream.fps

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return (self.name,)

    def shots(self, say: Say) -> Generator[Shot, None, None]:
        """See :class:`Source`; can be read once.

        Raises:
            InputError: No frame came.
        """
        moment: Moment | None = None
        while (image := self._stream.read()) is not None:
            moment = self._stream.moment
            assert moment is not None, "every live source says when a frame was"
            yield Shot(f"{self.name}#{moment.index}", on_host(image), moment)
        if moment is None:
            raise InputError(
                f"{self.label} gave no frame.",
                hint="Try it with ffprobe; MP4 over HTTP needs a server that also sends parts of a file.",
            )
        say(f"note: {self.label} gives no more frames")

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()


class Joined:
    """Several sources, one after another."""

    def __init__(self, label: str, parts: Sequence[Source]) -> None:
        self.label, self.parts = label, tuple(parts)

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`Source`."""
        return tuple(name for part in self.parts for name in part.names)

    @property
    def total(self) -> int:
        """See :class:`Source`."""
        totals = [part.total for part in self.parts]
        return sum(totals) if all(totals) else 0

    def shots(self, say: Say) -> Generator[Shot, None, None]:
        """See :class:`Source`."""
        for part in self.parts:
            with closing(part.shots(say)) as shots:
                yield from shots

    def close(self) -> None:
        """Close all of them."""
        for part in self.parts:
            part.close()


def open_source(texts: str | Sequence[str]) -> Source:
    """Return the frames behind one or several names; see :func:`yolotrt.data.named.named`.

    Raises:
        InputError: Something is not there, or cannot be read.
    """
    opened: list[Source] = []
    try:
        for found in named(texts):
            opened.append(_opened(found))
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened[0] if len(opened) == 1 else Joined(label(texts), opened)


def video_rates(source: Source) -> dict[str, float | None]:
    """Return the frame rates of the videos and streams in a source, by their names; None if it has none."""
    parts: Iterable[Source] = source.parts if isinstance(source, Joined) else (source,)
    return {part.name: part.fps for part in parts if isinstance(part, (VideoSource, LiveSource))}


def _opened(found: Named) -> Source:
    if isinstance(found, Live):
        return LiveSource(found)
    if isinstance(found, VideoPath):
        from yolotrt.data.video_file import VideoFile

        return VideoSource(found.path, VideoFile(found.path), found.name)
    if isinstance(found, Piped):
        raise InputError("Raw frames on stdin are for: yolotrt run.", hint="Name a file, or use yolotrt run.")
    return Pictures(found.name, found.paths) if isinstance(found, Stills) else SceneSource()
