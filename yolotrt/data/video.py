"""Moving sources: files, network streams, raw frames on stdin, folders of images, as if they were cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from yolotrt.arrays import Frame
from yolotrt.data.capture import Capture
from yolotrt.data.images import read_image
from yolotrt.data.named import Live, Named, Piped, Stills, VideoPath, named
from yolotrt.data.packets import OnGpu
from yolotrt.data.piped import PipedSource, RawFormat
from yolotrt.data.stream import NetworkStream
from yolotrt.data.video_decoders import Decoder
from yolotrt.data.video_file import Moment, VideoFile, VideoFrameAt
from yolotrt.data.yuv import AnyFrame
from yolotrt.errors import UsageError

TIMEOUT_S = 5.0
"""A stream that gives nothing for this long counts as interrupted."""


class MovingSource(Protocol):
    """Gives frames one after another.

    Attributes:
        name: What it is called in messages; without passwords.
        live: Whether it goes on by itself: a missing frame is lost, and an end is an interruption.
        fps: Frames per second that it says it has, or None.
        moment: When the frame that was read last is shown; None where only the rate says it.
    """

    name: str
    live: bool
    fps: float | None
    moment: Moment | None

    def open(self) -> None:
        """Open it, again if need be.

        Raises:
            InputError: There is nothing to open.
        """
        ...

    def read(self) -> AnyFrame | None:
        """Return the next frame, or None at an end or interruption.

        It is (h, w, 3) uint8 BGR on the host, or stays on the GPU that decoded it.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...

    def remarks(self) -> tuple[str, ...]:
        """Return what is wrong with it as far as it was read."""
        ...


def moving_sources(
    texts: str | Sequence[str],
    *,
    timeout_s: float = TIMEOUT_S,
    decoder: Decoder = "auto",
    raw: RawFormat | None = None,
) -> tuple[MovingSource, ...]:
    """Return the sources of one or several names; nothing is opened yet.

    Args:
        texts: See :func:`yolotrt.data.named.named`. Pictures and folders that follow each other are one
            source, and play one after another.
        timeout_s: How long a stream may give nothing.
        decoder: What decodes; see :data:`yolotrt.data.video_decoders.DECODERS`.
        raw: What the bytes on stdin are, for ``-``.

    Raises:
        InputError: A path does not exist, or cannot be read.
        ImageError: A folder holds no images.
        UsageError: The decoder does not open such a source, stdin's format was not said, or that of something
            else, or a source that does not move.
    """
    found = tuple(_moving(one, timeout_s, decoder, raw) for one in named(texts))
    if raw is not None and not any(isinstance(source, PipedSource) for source in found):
        raise UsageError(
            "--size and --pixel-format say what raw frames on stdin are, and no source is -.",
            hint="Leave them out: files and streams say it themselves.",
        )
    return found


def _moving(one: Named, timeout_s: float, decoder: Decoder, raw: RawFormat | None) -> MovingSource:
    if isinstance(one, Live):
        return live_source(one, timeout_s=timeout_s, decoder=decoder)
    if decoder == "opencv":
        raise UsageError(
            f"--decoder opencv opens cameras and streams; {one.name} is neither.", hint="Leave it out."
        )
    if decoder == "nvdec" and not isinstance(one, VideoPath):
        raise UsageError(f"NVDEC decodes videos and streams; {one.name} is neither.", hint="Leave it out.")
    if isinstance(one, Piped):
        if raw is None:
            raise UsageError(
                "Raw frames on stdin do not say their size.",
                hint="Like this: --size 1920x1080 --pixel-format bgr24",
            )
        return PipedSource(raw, timeout_s=timeout_s)
    if isinstance(one, VideoPath):
        return FileSource(one.path)
    if isinstance(one, Stills):
        return FolderSource(one.name, list(one.paths.values()))
    raise UsageError(
        "The synthetic frame does not move.", hint="Make a video of it: yolotrt scenes --video street.mp4"
    )


def live_source(
    found: Live, *, timeout_s: float = TIMEOUT_S, decoder: Decoder = "auto"
) -> NetworkStream | Capture:
    """Return a camera or stream; nothing is opened yet.

    Raises:
        UsageError: The decoder does not open cameras of this machine.
    """
    if isinstance(found.address, str) and decoder != "opencv":
        return NetworkStream(found.name, found.address, timeout_s=timeout_s)
    if decoder in ("pyav", "nvdec"):
        raise UsageError(
            f"--decoder {decoder} does not open {found.name}: cameras of this machine go through OpenCV.",
            hint="Leave it out, or name the camera's address (rtsp://...).",
        )
    return Capture(found.name, found.address, timeout_s=timeout_s)


def decode_on_gpu(sources: Iterable[MovingSource], on_gpu: Callable[[bool], OnGpu]) -> None:
    """Have files and streams decoded on a GPU, from their next opening on; others stay as they are.

    Args:
        sources: The sources.
        on_gpu: Says how, told whether a source is live.
    """
    for source in sources:
        if isinstance(source, FileSource | NetworkStream):
            source.on_gpu = on_gpu(source.live)


class FileSource:
    """A video file.

    Attributes:
        on_gpu: How to decode it on a GPU, from the next opening on; None leaves it to the processor.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self.on_gpu: OnGpu | None = None
        self.name = str(path)
        self.fps: float | None = None
        self.moment: Moment | None = None
        self._path = path
        self._video: VideoFile | None = None
        self._coming: Iterator[VideoFrameAt] = iter(())
        self._remarks: tuple[str, ...] = ()

    def open(self) -> None:
        """Begin with the first frame; see :class:`MovingSource`."""
        self.close()
        self._video = VideoFile(self._path, self.on_gpu)
        self.fps, self._coming = self._video.fps, self._video.frames()

    def read(self) -> AnyFrame | None:
        """Return the next frame, or None after the last."""
        found = next(self._coming, None)
        if found is None:
            self._remarks = () if self._video is None else self._video.remarks()
            return None
        self.moment = found.moment
        return found.image

    def close(self) -> None:
        """Close the file."""
        self._coming = iter(())
        if self._video is not None:
            self._video.close()
            self._video = None

    def remarks(self) -> tuple[str, ...]:
        """Return what was wrong with the file, once it was read to its end."""
        return self._remarks


class FolderSource:
    """Pictures, each once, in their order."""

    live = False
    fps: float | None = None
    moment: Moment | None = None

    def __init__(self, name: str, paths: list[Path]) -> None:
        self.name, self._paths = name, paths
        self._coming: Iterator[Path] = iter(())

    def open(self) -> None:
        """Begin with the first image."""
        self._coming = iter(self._paths)

    def read(self) -> Frame | None:
        """Return the next image, or None after the last."""
        path = next(self._coming, None)
        return None if path is None else read_image(path)

    def close(self) -> None:
        """Nothing is held."""

    def remarks(self) -> tuple[str, ...]:
        """Return nothing: what cannot be read is an error."""
        return ()
