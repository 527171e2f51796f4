"""Writing a video so that it is complete or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import cv2
import numpy as np

from yolotrt.arrays import Frame
from yolotrt.artifacts.files import atomic_target, ensure_writable
from yolotrt.data import nvenc
from yolotrt.data.colours import BT601, BT709, FULL_RANGE, VIDEO_RANGE
from yolotrt.errors import EnvironmentFault, StorageError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream


CODECS = {".mp4": (nvenc.NAME, "libx264", "mpeg4"), ".avi": ("mjpeg",)}
"""Encoders by the name's ending, the best first: browsers play H.264, every FFmpeg has the others."""

_PIXELS = {nvenc.NAME: "yuv420p", "libx264": "yuv420p", "mpeg4": "yuv420p", "mjpeg": "yuvj420p"}
_OPTIONS = {
    # Without frames that wait for later ones: MP4 loses the end of a variable rate with them.
    "libx264": {"preset": "superfast", "crf": "20", "bf": "0"},
    nvenc.NAME: nvenc.OPTIONS,
    "mpeg4": {"qscale": "3"},
    "mjpeg": {"qscale": "3"},
}

CLOCK_HZ = 90_000
"""Time stamps of a video with frames at any time: the clock of MPEG, in which all usual rates are whole."""

MPEG4_CLOCK_HZ = 30_000
"""MPEG-4 part 2 has 16 bits for it."""

LONGEST_S = 6 * 3600.0
"""No frame is shown longer than this: MP4 holds no more than 2^31 ticks."""


class Append(Protocol):
    """Appends a frame to a video."""

    def __call__(self, frame: Frame, time_s: float | None = None) -> None:
        """Append (h, w, 3) uint8 BGR; one of another size is scaled.

        Args:
            frame: The picture.
            time_s: When it is shown, seconds since the first one; None shows it at the video's rate.
        """
        ...


@contextmanager
def new_video(
    target: Path, fps: float, wh: tuple[int, int], note: Callable[[str], None] = lambda _: None
) -> Iterator[Append]:
    """Give a function that appends a frame; the file is complete under its name when the block ends.

    The finished file is opened and its frames counted before it gets its name. A side with an odd number of
    pixels gets one more: H.264 as browsers play it has none.

    Args:
        target: The video; its ending is one of :data:`CODECS`. ``.avi`` knows no time but its rate.
        fps: Frames per second.
        wh: Width and height of every frame, px.
        note: Told if the processor encodes though there is an NVIDIA GPU.

    Raises:
        EnvironmentFault: This FFmpeg cannot write such a video.
        StorageError: The file cannot be written, or not all of it.
    """
    import av

    ensure_writable(target)
    with atomic_target(target) as temporary:
        try:
            writer = _VideoWriter(temporary, target.suffix.lower(), fps, wh)
            tried = nvenc.NAME in CODECS[target.suffix.lower()] and nvenc.DRIVER.exists()
            if tried and writer.encoder != nvenc.NAME:
                why = "NVENC does not work here, or not now"
                note(f"the processor encodes {target} ({writer.encoder}): {why}")
            try:
                yield writer.append
                writer.finish()
            except BaseException:
                writer.abandon()
                raise
            complete = writer.appended == _frames(temporary)
        except av.FFmpegError as exc:
            if isinstance(exc, OSError):  # the system's reason; FFmpeg's own numbers are none of its
                raise
            raise _incomplete(target) from exc
        if not complete:
            raise _incomplete(target)


class _VideoWriter:
    """A video that is being written."""

    def __init__(self, path: Path, ending: str, fps: float, wh: tuple[int, int]) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._rate = Fraction(fps).limit_denominator(1001)
        self._wh = (wh[0] + wh[0] % 2, wh[1] + wh[1] % 2)
        self._period_s, self._last = 1 / float(self._rate), -1
        self._file = path.open("wb")  # FFmpeg takes names for addresses and patterns
        self._scaler = VideoReformatter()
        encoder = _encoder(ending, self._wh)
        try:
            self._begin(encoder, ending)
        except (av.FFmpegError, OSError):
            if encoder != nvenc.NAME:
                raise
            # The driver lets so many videos be encoded at a time, and another one has come in between.
            self._file.seek(0)
            self._file.truncate()
            self._begin(_encoder(ending, self._wh, without=nvenc.NAME), ending)
        self.appended = 0

    def _begin(self, encoder: str, ending: str) -> None:
        """Make the container and open the encoder.

        Raises:
            av.FFmpegError: It cannot be opened.
        """
        import av

        self.encoder = encoder
        clock_hz = MPEG4_CLOCK_HZ if encoder == "mpeg4" else CLOCK_HZ
        self._tick = 1 / self._rate if ending == ".avi" else Fraction(1, clock_hz)
        self._sink: OutputContainer = av.open(self._file, "w", format=ending.removeprefix("."))
        self._stream = cast(
            "VideoStream", self._sink.add_stream(encoder, self._rate, options=_OPTIONS[encoder])
        )
        self._stream.width, self._stream.height = self._wh
        self._stream.pix_fmt = _PIXELS[encoder]
        context = self._stream.codec_context
        context.time_base = self._tick
        context.colorspace = self._matrix = BT601 if encoder == "mjpeg" else BT709  # as JFIF wants it
        context.color_primaries = context.color_trc = BT709
        context.color_range = FULL_RANGE if encoder == "mjpeg" else VIDEO_RANGE
        self._sink.start_encoding()

    def append(self, frame: Frame, time_s: float | None = None) -> None:
        import av

        time_s = self.appended * self._period_s if time_s is None else time_s
        context = self._stream.codec_context
        picture = self._scaler.reformat(
            av.VideoFrame.from_ndarray(self._fitted(frame), format="bgr24"),
            format=context.pix_fmt,
            src_color_range=FULL_RANGE,
            dst_colorspace=self._matrix,
            dst_color_range=context.color_range,
        )
        latest = self._last + round(LONGEST_S / self._tick)
        self._last = min(max(round(time_s / self._tick), self._last + 1), latest)
        picture.pts, picture.time_base = self._last, self._tick
        self._sink.mux(self._stream.encode(picture))
        self.appended += 1

    def finish(self) -> None:
        self._sink.mux(self._stream.encode(None))
        self._sink.close()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file, which nobody wants any more."""
        import av

        with suppress(av.FFmpegError, OSError):
            self._sink.close()
        with suppress(OSError):
            self._file.close()

    def _fitted(self, frame: Frame) -> Frame:
        width, height = self._wh
        missing = (height - frame.shape[0], width - frame.shape[1])
        if missing == (0, 0):
            return np.ascontiguousarray(frame)
        if set(missing) <= {0, 1}:
            return np.pad(frame, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        return np.asarray(cv2.resize(frame, self._wh, interpolation=cv2.INTER_AREA), np.uint8)


def _encoder(ending: str, wh: tuple[int, int], *, without: str | None = None) -> str:
    """Return the best encoder that works here, but for one."""
    import av

    for name in CODECS[ending]:
        if name == without or (name == nvenc.NAME and not nvenc.encodes(wh)):
            continue
        try:
            av.Codec(name, "w")
        except ValueError:  # what PyAV's UnknownCodecError is
            continue
        return name
    raise EnvironmentFault(f"This FFmpeg cannot write {ending} videos.", hint="pip install -U av")


def _frames(path: Path) -> int:
    import av

    try:
        with path.open("rb") as file, av.open(file, "r") as container:
            return int(container.streams.video[0].frames)
    except FileNotFoundError:  # somebody has removed it meanwhile
        return 0


def _incomplete(target: Path) -> StorageError:
    return StorageError(
        f"Cannot write {target}: the video came out incomplete.",
        hint="The disk is probably full; free some space and run the command again.",
    )
