"""The times of frames that come in the order in which they are shown, from packets that do not."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

WINDOW = 64
"""Frames over which what a decoder tells of them is right on average: four times what H.264 and HEVC may hold
back."""


class PacketTimes(NamedTuple):
    """Of a packet; see :class:`yolotrt.data.packets.GpuFrame`."""

    pts: int | None = None
    dts: int | None = None
    duration: int | None = None
    time_base: Fraction | None = None


class ShownTimes:
    """Hands the times of packets to the frames of a decoder.

    A decoder tells which packet a frame is of, but NVDEC's of HEVC tells another one of those around it. The
    order is certain: of what was sent, the earliest is shown next. What the decoder tells shows, over many
    frames, whether there are packets of which no frame came; so many are then left out.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, PacketTimes]] = []
        self._sent, self._part, self._latest = 0, 0, 0
        self._ahead: deque[int] = deque(maxlen=WINDOW)

    def send(self, packet: Packet[VideoStream]) -> int:
        """Note a packet; return its number, which the decoder is to tell with its frame."""
        self._sent += 1
        times = PacketTimes(packet.pts, packet.dts, packet.duration, packet.time_base)
        shown = self._latest if packet.pts is None else packet.pts
        # All that is sent before a key frame is shown before it: what says otherwise is another recording.
        if packet.is_keyframe and shown < self._latest:
            self._part, self._latest = self._part + 1, shown
        self._latest = max(self._latest, shown)
        heappush(self._waiting, (self._part, shown, self._sent, times))
        return self._sent

    def show(self, number: int) -> PacketTimes:
        """Return the times of the frame that is shown next.

        Args:
            number: What the decoder tells of its packet.
        """
        if not self._waiting:
            return PacketTimes()
        _, _, sent, times = heappop(self._waiting)
        self._ahead.append(number - sent)
        lost = round(sum(self._ahead) / WINDOW) if len(self._ahead) == WINDOW else 0
        if lost > 0:
            self._ahead.clear()
            for _ in range(min(lost, len(self._waiting))):
                heappop(self._waiting)
        return times
