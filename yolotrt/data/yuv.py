"""A frame that a decoder left in a GPU's memory, as brightness and colour differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy.typing as npt

from yolotrt.arrays import Frame
from yolotrt.data.colours import Colours


class YuvFrame:
    """A frame in a GPU's memory, 4:2:0.

    Args:
        address: Device address of (h, w) brightness and behind it (h / 2, w / 2, 2) colour samples, U first,
            without gaps: NV12, or P010 where samples have 16 bits.
        wh: Width and height, px; both even.
        colours: What the samples mean.
        gpu: Number of the GPU in CUDA's order.
        copied: Copies it to the host, as (3 h / 2, w) uint8, or uint16 of more than 8 bits.
    """

    def __init__(
        self,
        address: int,
        wh: tuple[int, int],
        colours: Colours,
        gpu: int,
        copied: Callable[[], npt.NDArray[Any]],
    ) -> None:
        self.address, self.wh, self.colours, self.gpu = address, wh, colours, gpu
        self._copied = copied

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3, as of a picture."""
        return (self.wh[1], self.wh[0], 3)

    @cached_property
    def bgr(self) -> Frame:
        """The picture as (h, w, 3) uint8 BGR on the host; copied and converted when it is first asked for."""
        from yolotrt.data.pixels import converted

        return converted(self._copied(), self.wh, self.colours)


AnyFrame = Frame | YuvFrame
"""What a moving source gives."""


def on_host(frame: AnyFrame) -> Frame:
    """Return a frame as (h, w, 3) uint8 BGR on the host."""
    return frame.bgr if isinstance(frame, YuvFrame) else frame
