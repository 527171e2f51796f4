"""Frames as decoders give them on a GPU, and the kernels that prepare input from them."""

from __future__ import annotations

import numpy as np

from yolotrt.backends.base import DeviceEngine, YuvOnDevice
from yolotrt.cuda.device import Device, Launch, Scope, Stream
from yolotrt.cuda.driver import Argument
from yolotrt.data.colours import Colours
from yolotrt.data.yuv import YuvFrame
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.decode import THREADS
from yolotrt.pipeline.device.share import FRAME_SLACK, PIXELS, FrameBuffer, PassBuffers


class YuvBuffer:
    """One frame on the device, where graphs expect it: NV12 or P010.

    Attributes:
        source: The decoder's frame that :meth:`upload` copies; on the same GPU, so it goes over no bus.
        pinned: Nothing: no frame comes from the host.
    """

    pinned = None

    def __init__(self, scope: Scope, frame_wh: tuple[int, int], colours: Colours) -> None:
        self._wh, self._colours = frame_wh, colours
        self.wide = colours.bits > 8
        self.nbytes = frame_wh[0] * frame_wh[1] * 3 // 2 * (1 + self.wide)
        self.device = scope.buffer(self.nbytes + FRAME_SLACK)
        self._table = scope.constant(colours.table())
        self.source: YuvFrame | None = None

    @property
    def site(self) -> tuple[int, int]:
        """Where colour samples lie; see :class:`Colours`."""
        return self._colours.site

    def read_as(self, *, bgr: bool = False) -> YuvOnDevice:
        """Return it as engines read it; ``bgr`` means nothing to it."""
        return YuvOnDevice(self.device.address, *self._wh, self.wide, self.site, self._table.address)

    def upload(self, stream: Stream, first: int = 0, end: int | None = None) -> None:
        """Start the copy of the decoder's frame, all at once."""
        if self.source is not None:
            stream.copy(self.device.address, self.source.address, self.nbytes)

    @property
    def last_arguments(self) -> list[Argument]:
        """What kernels are told of its colours."""
        return [("int", self.site[0]), ("int", self.site[1]), ("pointer", self._table.address)]


def cut_tiles_yuv(
    device: Device,
    scope: Scope,
    frame: YuvBuffer,
    grid: TileGrid,
    tiles: range,
    into: PassBuffers,
    first: int,
) -> Launch:
    """Return the kernel that cuts tiles from a frame and writes them as network input, from an image on."""
    table = scope.constant(np.array([grid.origins[t] for t in tiles], np.int32))
    width, height = grid.tile_wh
    arguments: list[Argument] = [
        ("pointer", frame.device.address), ("int", grid.frame_wh[0]), ("int", grid.frame_wh[1]),
        ("pointer", table.address), ("pointer", into.input_buffer.address + first * into.input.item_nbytes),
        ("int", width), ("int", height), *frame.last_arguments,
    ]  # fmt: skip
    return device.launch(
        "prepare_yuv",
        "cut_tiles_yuv",
        grid=(-(-(height * width // PIXELS) // THREADS), len(tiles), 1),
        block=(THREADS, 1, 1),
        arguments=arguments,
        defines={"HALF": int(into.input.half), "WIDE": int(frame.wide)},
    )


def letterbox_yuv(
    device: Device, frame: YuvBuffer, placement: Letterbox, into: PassBuffers, *, first: int = 0
) -> Launch:
    """Return the kernel that letterboxes a frame and writes it as an image of the network input."""
    (width, height), resized = placement.model_wh, placement.resized_wh
    arguments: list[Argument] = [
        ("pointer", frame.device.address), ("int", placement.image_wh[0]), ("int", placement.image_wh[1]),
        ("pointer", into.input_buffer.address + first * into.input.item_nbytes),
        ("int", width), ("int", height),
        ("int", placement.pad_xy[0]), ("int", placement.pad_xy[1]), ("int", resized[0]), ("int", resized[1]),
        ("double", placement.image_wh[0] / resized[0]), ("double", placement.image_wh[1] / resized[1]),
        *frame.last_arguments,
    ]  # fmt: skip
    return device.launch(
        "prepare_yuv",
        "letterbox_yuv",
        grid=(-(-width * height // THREADS), 1, 1),
        block=(THREADS, 1, 1),
        arguments=arguments,
        defines={"HALF": int(into.input.half), "WIDE": int(frame.wide)},
    )


def reads(engine: DeviceEngine, frame: FrameBuffer | YuvBuffer) -> bool:
    """Whether an engine takes its images from such a frame itself."""
    return engine.reads_yuv if isinstance(frame, YuvBuffer) else engine.reads_frames
