"""A network stream: decoded by FFmpeg through PyAV, with the time stamp of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from yolotrt.data.packets import DamagedPacket, GpuFrame, OnGpu, PacketDecoder
from yolotrt.data.timeline import LiveTimeline
from yolotrt.data.video_container import any_metadata
from yolotrt.data.video_file import MAX_FPS, Moment
from yolotrt.data.yuv import AnyFrame
from yolotrt.errors import InputError
from yolotrt.timing.clock import now, seconds_between

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_HINT = "Try it with ffprobe; check the address, the password and the network."


class NetworkStream:
    """A network stream; see :class:`yolotrt.data.video.MovingSource`.

    Args:
        name: What it is called in messages; without passwords.
        address: What FFmpeg opens.
        timeout_s: How long it may give nothing: no byte, or bytes of which no frame comes.

    Attributes:
        on_gpu: How to decode it on a GPU, from the next opening on; None leaves it to the processor.
    """

    live = True

    def __init__(self, name: str, address: str, *, timeout_s: float) -> None:
        self.name = name
        self.fps: float | None = None
        self.moment: Moment | None = None
        self._address, self._timeout_s = address, timeout_s
        self._container: InputContainer | None = None
        self._coming: Iterator[VideoFrame | GpuFrame] = iter(())
        self._decode: PacketDecoder | None = None
        self.on_gpu: OnGpu | None = None
        self._timeline, self._first_ns = LiveTimeline(), 0
        self._damaged = 0

    def open(self) -> None:
        """Open it; see :class:`yolotrt.data.video.MovingSource`."""
        import av

        self.close()
        # Two frames tell the rate: to watch twenty, as FFmpeg does, delays each opening.
        options = {"fpsprobesize": "2"}
        if self._address.lower().startswith("rtsp"):
            # RTP within the connection: over UDP a full buffer loses packets, and pictures tear.
            options["rtsp_transport"] = "tcp"
        timeout = (self._timeout_s, self._timeout_s)
        try:
            container = av.open(self._address, "r", options=options, timeout=timeout, **any_metadata())
        except (av.FFmpegError, OSError) as exc:
            why = f"nothing came in {self._timeout_s:g} s" if isinstance(exc, av.ExitError) else _reason(exc)
            raise InputError(f"{self.name} cannot be opened as a video ({why}).", hint=_HINT) from None
        stream = next((s for s in container.streams.video if s.codec_context is not None), None)
        if stream is None:
            container.close()
            raise InputError(f"{self.name} cannot be opened as a video (it holds none).", hint=_HINT)
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < MAX_FPS else None
        self._container = container
        self._decode = PacketDecoder(stream, self.name, self.on_gpu)
        self._coming = self._decoded(container, stream, self._decode)
        self._timeline.restart()

    def read(self) -> AnyFrame | None:
        """Return the next frame; see :class:`yolotrt.data.video.MovingSource`."""
        import av

        begin = now()
        try:
            frame = next(self._coming, None)
        except (av.FFmpegError, OSError):
            frame = None
        at = now()
        # What the decoder held back comes after a timeout, late.
        if frame is None or seconds_between(begin, at) >= self._timeout_s:
            self._coming = iter(())
            return None
        self._first_ns = self._first_ns or at
        base = frame.time_base
        stamp_s = None if frame.pts is None or base is None else float(frame.pts * base)
        time_s = self._timeline.place(stamp_s, seconds_between(self._first_ns, at))
        self.moment = Moment(0 if self.moment is None else self.moment.index + 1, time_s, stamp_s)
        assert self._decode is not None, "opened"
        return self._decode.picture(frame)

    def close(self) -> None:
        """Close the connection."""
        self._coming = iter(())
        decode, self._decode = self._decode, None
        container, self._container = self._container, None
        try:
            if decode is not None:
                decode.close()
        finally:
            if container is not None:
                container.close()

    def remarks(self) -> tuple[str, ...]:
        """Return what could not be decoded; interruptions are counted by whoever reads."""
        if not self._damaged:
            return ()
        return (f"{self.name} was damaged on its way: {self._damaged} packets could not be decoded.",)

    def _decoded(
        self, container: InputContainer, stream: VideoStream, decode: PacketDecoder
    ) -> Iterator[VideoFrame | GpuFrame]:
        import av

        came = now()
        for packet in container.demux(stream):
            self._damaged += packet.is_corrupt
            try:
                for frame in decode(packet):
                    yield frame
                    came = now()
            except (av.FFmpegError, DamagedPacket):
                self._damaged += 1
            if seconds_between(came, now()) > self._timeout_s:
                return  # whatever it sends, no picture can be made of it


def _reason(exc: Exception) -> str:
    """Return what the system or FFmpeg says, without the address and its password."""
    text = str(getattr(exc, "strerror", None) or type(exc).__name__)
    return text[:1].lower() + text[1:]
