"""Opening a video file, recognised by its content, and nothing that it names (FFmpeg through PyAV)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from yolotrt.data.kinds import is_motion_jpeg
from yolotrt.errors import ImageError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

CONVERT = "Try it with ffprobe, or convert it: ffmpeg -i IN -c:v libx264 out.mp4"

_PLAYLISTS = ("hls", "concat", "dash", "sdp", "rtsp", "imf")


def any_metadata() -> dict[str, Any]:
    """Return what lets PyAV open a file whose metadata are not UTF-8; from version 19 on it always does."""
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


def open_video(file: BinaryIO, name: str) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video; FFmpeg decodes that with all threads.

    Args:
        file: The file, at its beginning.
        name: Of it, for messages.

    Raises:
        ImageError: It holds no video, or cannot be read as one.
    """
    import av
    from av.stream import Disposition

    try:
        container = av.open(
            _Nameless(file),
            "r",
            format="mjpeg" if is_motion_jpeg(Path(name)) else None,
            io_open=_refuse,
            **any_metadata(),
        )
    except (av.FFmpegError, OSError) as exc:
        raise ImageError(
            f"{name} cannot be opened as a picture or video ({_reason(exc)}).",
            hint=f"It may be cut off, damaged, or no video at all. {CONVERT}",
        ) from exc
    kind = container.format.name
    if kind in _PLAYLISTS:
        container.close()
        raise ImageError(f"{name} is a playlist ({kind}), not a video.", hint="Name the video.")
    if kind.endswith("_pipe") or kind == "image2":
        container.close()
        raise ImageError(
            f"{name} is a picture of a kind that is not read here.",
            hint="Convert it to JPEG or PNG.",
        )
    videos = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    if not videos:
        held = ", ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "a cover"
        container.close()
        raise ImageError(f"{name} holds no video, only {held}.", hint="Name a file with pictures.")
    videos = [s for s in videos if s.codec_context is not None]
    if not videos:  # PyAV before 18 crashes when it decodes such a stream
        container.close()
        raise ImageError(f"{name} has a codec that FFmpeg does not know.", hint=CONVERT)
    best = container.streams.best("video")
    stream = next((s for s in videos if best is not None and s.index == best.index), videos[0])
    stream.thread_type = "AUTO"
    return container, stream


class _Nameless:
    """A file without its name: FFmpeg takes names for addresses and patterns, and endings for formats."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _refuse(url: str, _flags: int, _options: object) -> NoReturn:
    """Open nothing that a file names: an address in a playlist, a file of somebody else."""
    raise PermissionError(f"{url} is not opened")


def _reason(exc: Exception) -> str:
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return str(text)[:1].lower() + str(text)[1:]
