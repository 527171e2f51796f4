"""Two decoders of a GPU for one file: groups of pictures that stand by themselves go to them in turns.

A session of NVDEC has one of the GPU's decoders, which is slower with H.264 in 4K than a network; most GPUs
of data centres have several.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yolotrt.data.packets import DamagedPacket, GpuDecoder, GpuFrame
from yolotrt.errors import YoloTrtError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

AHEAD = 64
"""Frames that are decoded before they are wanted: 0.8 GB in 4K. Longer groups are sped up in part."""

WAITING = 300
"""Packets that wait for a second group, at most."""

_CODEC = "h264"
"""Of others a key frame may be followed by frames that need those before it; and they are faster."""

_SLICES, _IDR = range(1, 6), 5
"""Types of NAL units with pictures; behind one of the second kind none needs one before it (H.264, 7.4)."""


@dataclass
class _Group:
    """Pictures that need none of another group.

    Attributes:
        decoder: Decodes it.
        packets: Those that wait.
        frames: Those that came of it.
        whole: Its last packet is there.
        done: All its frames are.
    """

    decoder: GpuDecoder
    packets: deque[Packet[VideoStream]] = field(default_factory=deque)
    frames: deque[GpuFrame] = field(default_factory=deque)
    whole: bool = False
    done: bool = False


class SideBySide:
    """Decodes one file with two decoders where that helps; see :class:`yolotrt.data.packets.GpuDecoder`.

    Args:
        new: Returns a decoder. It takes packets again after the end, from a group's first on.
        helps: Told how many bytes of frames will wait in memory, returns whether a second decoder is faster.
    """

    def __init__(self, new: Callable[[], GpuDecoder], helps: Callable[[int], bool]) -> None:
        self._new, self._helps = new, helps
        self._decoders = [new()]
        self._groups: deque[_Group] = deque()
        self._begun, self._size_bytes = 0, 0

    def start(self, stream: VideoStream, first: VideoFrame) -> str | None:
        """Begin; see :meth:`yolotrt.data.packets.GpuDecoder.start`."""
        why = self._decoders[0].start(stream, first)
        nbytes = AHEAD * first.width * first.height * 3 // 2
        if why is not None or stream.codec_context.name != _CODEC or not self._helps(nbytes):
            return why
        head = bytes(stream.codec_context.extradata or b"")
        self._size_bytes = (head[4] & 3) + 1 if head[:1] == b"\1" else 0
        try:
            second = self._new()
        except YoloTrtError:  # no memory, or no session is left: one decodes all
            return None
        if second.start(stream, first) is None:
            self._decoders.append(second)
        else:
            second.close()
        return None

    def decode(self, packet: Packet[VideoStream] | None) -> Iterator[GpuFrame]:
        """Give frames in their order; see :meth:`yolotrt.data.packets.GpuDecoder.decode`."""
        if len(self._decoders) == 1:
            yield from self._decoders[0].decode(packet)
            return
        last = packet is None or not packet.size
        if self._groups and (packet is None or last or stands_alone(packet, self._size_bytes)):
            self._groups[-1].whole = True
        if packet is not None and not last:
            if not self._groups or self._groups[-1].whole:
                self._groups.append(_Group(self._decoders[self._begun % 2]))
                self._begun += 1
            self._groups[-1].packets.append(packet)
        damaged: DamagedPacket | None = None
        while busy := self._busy(last):
            for group in busy:
                try:
                    _step(group)
                except DamagedPacket as exc:  # hundreds may wait behind it, and be whole
                    damaged = exc
            yield from self._due(AHEAD)
        if last:
            yield from self._due(0)
        if damaged is not None:
            raise damaged

    def close(self) -> None:
        """Let both go. Frames that somebody holds stay."""
        self._groups.clear()
        while self._decoders:
            self._decoders.pop().close()

    def _busy(self, last: bool) -> list[_Group]:
        """Return the groups of which a packet is to be decoded now: one of each decoder, if both have one."""
        first = {id(group.decoder): group for group in reversed(self._groups) if not group.done}
        able = [group for group in first.values() if group.packets or group.whole]
        waiting = sum(len(group.packets) for group in self._groups)
        if len(able) < 2 and not last and waiting <= WAITING:
            return []
        return [group for group in able if group is self._groups[0] or len(group.frames) < AHEAD]

    def _due(self, ahead: int) -> Iterator[GpuFrame]:
        """Give frames in their order, until so many are left or the next is not there."""
        while self._groups:
            group = self._groups[0]
            if group.frames and sum(len(one.frames) for one in self._groups) > ahead:
                yield group.frames.popleft()
            elif group.done and not group.frames:
                self._groups.popleft()
            else:
                return


def _step(group: _Group) -> None:
    """Decode the next packet of a group, or all that is left behind its last."""
    packet = group.packets.popleft() if group.packets else None
    group.done = packet is None
    for frame in group.decoder.decode(packet):
        group.frames.append(frame)


def stands_alone(packet: Packet[VideoStream], size_bytes: int) -> bool:
    """Whether a packet of H.264 and all behind it need none before it.

    Args:
        packet: The packet.
        size_bytes: Of the sizes in front of its units, as in MP4; 0 where start codes are (H.264, annex B).
    """
    if not packet.is_keyframe:
        return False
    data, at = bytes(packet), 0
    while True:
        begin = at + size_bytes if size_bytes else data.find(b"\0\0\1", at) + 3
        if begin >= len(data) or (not size_bytes and begin < at + 3):
            return False
        kind = data[begin] & 31
        if kind in _SLICES:
            return kind == _IDR
        at = begin + int.from_bytes(data[at:begin], "big") if size_bytes else begin
