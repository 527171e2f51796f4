"""Device memory for frames that come and go in many threads."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.cuda.device import Device, Scope
from yolotrt.data.colours import Colours
from yolotrt.data.yuv import YuvFrame


class FramePool:
    """Memory of frames of one size; what nobody holds any more is used again.

    Args:
        device: The GPU.
        wh: Width and height of the frames, px.
        colours: Of the frames.
    """

    def __init__(self, device: Device, wh: tuple[int, int], colours: Colours) -> None:
        self._device, self.wh, self.colours = device, wh, colours
        self.nbytes = wh[0] * wh[1] * 3 // 2 * (2 if colours.bits > 8 else 1)
        self._free: deque[tuple[Scope, int]] = deque()
        self._closed = False
        self._lock = threading.RLock()  # a collection while it is held may give frames back

    def take(self) -> YuvFrame:
        """Return a frame whose content is undefined; its memory comes back when nobody holds it any more.

        Raises:
            OutOfDeviceMemory: There is no memory for one more.
        """
        with self._lock:
            room = self._free.popleft() if self._free else self._new()
        address = room[1]
        frame = YuvFrame(
            address, self.wh, self.colours, self._device.info.index, lambda: self._copied(address)
        )
        weakref.finalize(frame, self._give_back, room).atexit = False
        return frame

    def close(self) -> None:
        """Free what nobody holds, and the rest as soon as nobody does."""
        with self._lock:
            self._closed = True
            rooms, self._free = self._free, deque()
        self._device.bind()
        for scope, _ in rooms:
            scope.close()

    def _new(self) -> tuple[Scope, int]:
        self._device.bind()
        scope = self._device.scope()
        return scope, scope.buffer(self.nbytes).address

    def _give_back(self, room: tuple[Scope, int]) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(room)
                return
        self._device.bind()
        room[0].close()

    def _copied(self, address: int) -> npt.NDArray[Any]:
        """Return the samples of a frame on the host."""
        self._device.bind()
        with self._device.scope() as scope:
            pinned, stream = scope.pinned(self.nbytes), scope.stream()
            stream.copy(pinned.address, address, self.nbytes)
            stream.synchronize()
            kind: Any = np.uint16 if self.colours.bits > 8 else np.uint8
            samples = pinned.array[: self.nbytes].view(kind).reshape(-1, self.wh[0])
            return np.array(samples)
