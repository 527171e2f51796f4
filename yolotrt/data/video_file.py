"""Reading a video file frame by frame, with the time of each frame (FFmpeg through PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.artifacts.files import require_file
from yolotrt.data.packets import DamagedPacket, GpuFrame, OnGpu, PacketDecoder
from yolotrt.data.timeline import Timeline
from yolotrt.data.video_container import CONVERT, open_video
from yolotrt.data.yuv import AnyFrame
from yolotrt.errors import ImageError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

MAX_FPS = 1000
"""A header that names a higher rate names a clock instead."""

_INDEXED = ("mov", "matroska")
"""Containers that say where their key frames are: in others a search lands somewhere near, or nowhere."""


@dataclass(frozen=True)
class Moment:
    """When a frame of a video is shown.

    Attributes:
        index: Its number in the video, from 0.
        time_s: Seconds since the first frame; grows from frame to frame.
        stamp_s: Its time stamp as it is in the file, seconds; None where the file has none.
    """

    index: int
    time_s: float
    stamp_s: float | None


@dataclass(frozen=True)
class VideoFrameAt:
    """A frame and its moment.

    Attributes:
        image: Upright, (h, w, 3) uint8 BGR on the host, or where a GPU decoded it; its size may change within
            a video.
        moment: When it is shown.
    """

    image: AnyFrame
    moment: Moment


class VideoFile:
    """A video file: recognised by its content, read once from its beginning.

    Attributes:
        name: Its path, for messages.
        fps: Its mean frame rate by its header, or None.
        announced: The number of frames by its header, by its duration if it names none, or None.
    """

    def __init__(self, path: Path, on_gpu: OnGpu | None = None) -> None:
        """Open it.

        Args:
            path: The file.
            on_gpu: How to decode it on a GPU; None leaves it to the processor.

        Raises:
            InputError: It is missing or no regular file.
            ImageError: It holds no video, or cannot be read as one.
        """
        self.name = str(path)
        if not require_file(path, "a video").stat().st_size:
            raise ImageError(f"{path} is empty.", hint="Name a file with pictures.")
        self._file = path.open("rb")
        try:
            self._container, self._stream = open_video(self._file, self.name)
        except BaseException:
            self._file.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < MAX_FPS else None
        length_s = self._announced_s()
        self._length_s = length_s if length_s is not None and length_s > 0 else None
        self.announced = self._stream.frames or (
            round(self._length_s * self.fps) if self._length_s and self.fps else None
        )
        self._came, self._damaged, self._broken_off, self._end_stamp_s = 0, 0, False, 0.0
        self._timeline = Timeline(1 / self.fps if self.fps else 0.04)
        self._decode = PacketDecoder(self._stream, self.name, on_gpu, replays=True)

    def frames(self) -> Iterator[VideoFrameAt]:
        """Decode frame after frame; what is damaged is left out and counted.

        Raises:
            ImageError: It ends without a single frame.
            UsageError: A GPU is required, and cannot decode it.
        """
        yield from (found for found, _stamp in self._timed())
        if not self._came:
            raise ImageError(f"{self.name} holds no frame that can be decoded.", hint=CONVERT)

    def _timed(self) -> Iterator[tuple[VideoFrameAt, int | None]]:
        """Decode frame after frame, each with its time stamp in the stream's own steps."""
        for frame in self._decoded():
            stamp = frame.pts if frame.pts is not None else frame.dts
            base = frame.time_base or self._stream.time_base
            stamp_s = None if stamp is None or base is None else float(stamp * base)
            lasts_s = float(frame.duration * base) if frame.duration and base else None
            moment = Moment(self._came, self._timeline.place(stamp_s, lasts_s), stamp_s)
            self._came += 1
            self._end_stamp_s = (stamp_s or 0.0) + (lasts_s or 0.0)
            yield VideoFrameAt(self._decode.picture(frame), moment), stamp

    @property
    def searchable(self) -> bool:
        """Whether frames can be found by their time stamps."""
        return self._container.format.name.startswith(_INDEXED)

    @property
    def time_base(self) -> Fraction:
        """Seconds of one step of its time stamps."""
        return self._stream.time_base or Fraction(1)

    def stamps(self) -> Iterator[tuple[int | None, bool]]:
        """Read the file to its end without decoding; give each frame's time stamp, and if it is a key frame.

        They come as they are stored, which need not be the order in which they are shown.
        """
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError, OSError):
                return
            if packet.size and not packet.is_discard:
                yield packet.pts, packet.is_keyframe

    def frames_between(self, begin: int | None, end: int | None) -> Iterator[VideoFrameAt]:
        """Decode what is shown from one time stamp on and before another; numbers count from there.

        Args:
            begin: Time stamp of a key frame, in steps of :attr:`time_base`; None begins with the file.
            end: Time stamp, or None for the end of the file.
        """
        if begin is not None:
            self._container.seek(begin, stream=self._stream, backward=True)
        for found, stamp in self._timed():
            if stamp is None or (begin is not None and stamp < begin):
                continue
            if end is not None and stamp >= end:
                return
            yield found

    def remarks(self) -> tuple[str, ...]:
        """Return what is wrong with the file, after its last frame was read."""
        remarks = []
        if self._ends_early():
            about = "" if self._stream.frames else "about "
            length = "" if self._length_s is None else f" ({self._length_s:.2f} s)"
            announced = f"its header announces {about}{self.announced} frames{length}, "
            remarks.append(
                f"{self.name} breaks off: {'' if self.announced is None else announced}"
                f"{self._came} frames came ({self._timeline.end_s:.2f} s)."
            )
        elif self._damaged:
            remarks.append(
                f"{self.name} may be damaged: errors in {self._damaged} places; {self._came} frames came."
            )
        return tuple(remarks)

    def close(self) -> None:
        """Close the file."""
        with closing(self._file), closing(self._container):
            self._decode.close()

    def _replay(self) -> None:
        """Begin again on the processor, before a frame came."""
        self._decode.close()
        self._container.close()
        self._file.seek(0)
        self._container, self._stream = open_video(self._file, self.name)
        self._decode = PacketDecoder(self._stream, self.name, None)
        self._damaged, self._broken_off = 0, False

    def _announced_s(self) -> float | None:
        """Return the length of the video by its header, seconds; None where it has none."""
        stream, container = self._stream, self._container
        if container.format.name.startswith("mpegts"):
            return None  # a guess from the last packet that is there
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if (length := _clock_time(stream.metadata.get("DURATION", ""))) is not None:
            return length
        only = all(other.type != "audio" for other in container.streams)
        return container.duration / 1e6 if container.duration is not None and only else None

    def _ends_early(self) -> bool:
        """Return whether frames are missing at the end.

        By time where the header has one: a video that was trimmed counts frames that it does not show.
        """
        short = self.announced is not None and self._came < self.announced
        if self._length_s is None:
            return self._broken_off or short
        # Some headers count from the first frame, some from the beginning of their time.
        missing = self._length_s - max(self._timeline.end_s, self._end_stamp_s)
        return short and missing > 1.5 * self._timeline.longest_gap_s

    def _decoded(self) -> Iterator[VideoFrame | GpuFrame]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError):
                self._broken_off = True
                packet = None
            self._damaged += packet is not None and packet.is_corrupt
            try:
                yield from self._decode(packet)
            except (av.FFmpegError, DamagedPacket):
                self._damaged += 1
            if self._decode.to_replay:
                self._replay()
                packets = self._container.demux(self._stream)
            elif packet is None:
                return


def _clock_time(text: str) -> float | None:
    """Return the seconds of Matroska's 00:00:01.500000000, or None."""
    parts = text.split(":")
    try:
        return (
            float(sum(Fraction(part) * 60**power for part, power in zip(parts[::-1], range(3), strict=False)))
            or None
        )
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
