"""From packets to frames: by the processor, or by a GPU where one is given and can."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from yolotrt.arrays import Frame
from yolotrt.data.pixels import Converter
from yolotrt.data.yuv import AnyFrame, YuvFrame
from yolotrt.errors import UsageError, YoloTrtError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


MOST_HELD = 256
"""Packets that are kept for a GPU until a processor has the first frame: more than any decoder holds back."""


FEW_THREADS = 4
"""Of a processor, up to the first frame: 16 of FFmpeg's held 390 MB of a 4K stream for good, 4 hold 140."""


class DamagedPacket(Exception):
    """A GPU could not decode a packet."""


@dataclass(frozen=True)
class GpuFrame:
    """A frame that a GPU decoded, with the times of its packet.

    Attributes:
        image: The frame.
        pts: When it is shown, in ``time_base``; None where the stream does not say.
        dts: When it is decoded.
        duration: How long it is shown.
        time_base: Seconds.
    """

    image: YuvFrame
    pts: int | None
    dts: int | None
    duration: int | None
    time_base: Fraction | None


class GpuDecoder(Protocol):
    """Decodes one stream on a GPU."""

    def start(self, stream: VideoStream, first: VideoFrame) -> str | None:
        """Begin.

        Args:
            stream: The stream.
            first: Its first frame, as a processor decoded it: its tags hold for all.

        Returns:
            Why it cannot be decoded; None if it can.
        """
        ...

    def decode(self, packet: Packet[VideoStream] | None) -> Iterable[GpuFrame]:
        """Return the frames that are complete with a packet; None is the end.

        Raises:
            DamagedPacket: It cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Let the decoder go. Frames that somebody holds stay."""
        ...


@dataclass(frozen=True)
class OnGpu:
    """How streams are to be decoded on a GPU.

    Attributes:
        new: Returns a decoder for one stream.
        required: A stream that cannot be decoded there is an error; otherwise a processor decodes it.
        note: Told why a processor does.
        takes: Whether it probably decodes a stream. A processor then needs few threads for the first frame;
            each holds frames of its own.
    """

    new: Callable[[], GpuDecoder]
    required: bool = False
    note: Callable[[str], None] = lambda _: None
    takes: Callable[[VideoStream], bool] = lambda _stream: False


class PacketDecoder:
    """Decodes the packets of one stream.

    A processor decodes up to the first frame, whose tags tell whether a GPU can; that then gets the same
    packets once more.

    Args:
        stream: The stream.
        name: Of the source, for messages.
        on_gpu: How to decode on a GPU; None leaves it to the processor.
        replays: Whoever reads it can begin again, with a decoder that has all its threads, and does if it is
            to.

    Attributes:
        to_replay: The GPU refused it, and the few threads for the first frame are too few for all.
    """

    def __init__(
        self, stream: VideoStream, name: str, on_gpu: OnGpu | None, *, replays: bool = False
    ) -> None:
        self._stream, self._name, self._on_gpu, self._replays = stream, name, on_gpu, replays
        self.to_replay = False
        self._gpu: GpuDecoder | None = None
        self._held: deque[Packet[VideoStream] | None] = deque()
        self._convert = Converter()
        context = stream.codec_context
        self._few = on_gpu is not None and on_gpu.takes(stream)
        if self._few:
            context.thread_count = FEW_THREADS

    def __call__(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame | GpuFrame]:
        """Give the frames that are complete with a packet; None is the end.

        Raises:
            av.FFmpegError: The processor cannot decode it.
            DamagedPacket: The GPU cannot.
            UsageError: The GPU is required and cannot decode this stream.
        """
        if self._gpu is not None:
            yield from self._gpu.decode(packet)
            return
        if self._on_gpu is None:
            yield from self._stream.decode(packet)
            return
        self._hold(packet)
        frames = self._stream.decode(packet)
        if not frames:
            return
        held, self._held = self._held, deque()
        on_gpu, self._on_gpu = self._on_gpu, None
        why = yield from self._begin(on_gpu, frames[0], held)
        if why is None:
            return
        if on_gpu.required:
            raise UsageError(f"NVDEC does not decode {self._name}: {why}.", hint="Leave out --decoder nvdec.")
        on_gpu.note(f"the processor decodes {self._name}: {why}")
        self.to_replay = self._few and self._replays
        if not self.to_replay:
            yield from frames

    def _hold(self, packet: Packet[VideoStream] | None) -> None:
        """Keep a packet for the GPU; of a stream that gives no frame, only the last, from a key frame on."""
        self._held.append(packet)
        if len(self._held) <= MOST_HELD:
            return
        self._held.popleft()
        while self._held and (first := self._held[0]) is not None and not first.is_keyframe:
            self._held.popleft()

    def _begin(
        self, on_gpu: OnGpu, first: VideoFrame, held: Iterable[Packet[VideoStream] | None]
    ) -> Generator[GpuFrame, None, str | None]:
        """Have the GPU decode the packets so far; return why it cannot, if no frame came of it."""
        try:
            gpu = on_gpu.new()
        except YoloTrtError as exc:
            if on_gpu.required:
                raise
            return exc.message
        came, damaged, self._gpu = False, None, gpu
        try:
            why = gpu.start(self._stream, first)
            for packet in held if why is None else ():
                try:
                    for frame in gpu.decode(packet):
                        came = True
                        yield frame
                except DamagedPacket as exc:  # those behind it may be whole
                    damaged = exc
        except YoloTrtError as exc:  # no memory for its frames, say
            if came or on_gpu.required:
                raise
            why = exc.message
        if why is not None:
            self._gpu = None
            gpu.close()
        elif damaged is not None:
            raise damaged
        return why

    def picture(self, frame: VideoFrame | GpuFrame) -> AnyFrame:
        """Return a frame upright: on the host as (h, w, 3) uint8 BGR, or where the GPU decoded it."""
        if isinstance(frame, GpuFrame):
            return frame.image
        picture: Frame = self._convert(frame)
        return picture

    def close(self) -> None:
        """Let the GPU's decoder go."""
        if self._gpu is not None:
            self._gpu.close()
