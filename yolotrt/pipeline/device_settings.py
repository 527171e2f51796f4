"""How the GPU pipeline cuts, runs and decodes a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from yolotrt.errors import UsageError
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device_dispatch import DEVICE_DISPATCH, DeviceDispatch
from yolotrt.pipeline.merge import MergeSettings
from yolotrt.pipeline.tiled import PASS_MODES, PassMode

GlobalOrder = Literal["concurrent", "after"]
GLOBAL_ORDERS: tuple[GlobalOrder, ...] = ("concurrent", "after")
"""Whether the pass over the whole frame runs beside the tile groups or behind them."""


@dataclass(frozen=True)
class DeviceSettings:
    """How a frame is cut, run and decoded on GPUs.

    Attributes:
        mode: ``tiled`` runs native-resolution tiles, ``global`` the whole frame letterboxed.
        groups: Number of chunks the tiles are split into, over all GPUs.
        dispatch: How the chunks run.
        overlap: Part of a tile shared with its neighbour, in [0, 1).
        depth: Frames in flight: 1 for the least latency; 2 uploads one frame while another computes.
        global_order: When the pass over the whole frame runs; for ``tiled+global``.
        bgr: Channel order of the frames: BGR as OpenCV reads them, or RGB.
        measure: Measure the device time of every stage with events.
        decode: Thresholds of the decoder.
        merge: How detections of overlapping tiles are joined.

    Raises:
        UsageError: A value is out of range.
    """

    mode: PassMode = "tiled"
    groups: int = 1
    dispatch: DeviceDispatch = "graph"
    overlap: float = 0.2
    depth: int = 1
    global_order: GlobalOrder = "concurrent"
    bgr: bool = True
    measure: bool = False
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)

    def __post_init__(self) -> None:
        for value, choices in (
            (self.mode, PASS_MODES),
            (self.dispatch, DEVICE_DISPATCH),
            (self.global_order, GLOBAL_ORDERS),
        ):
            if value not in choices:
                raise UsageError(f"There is no {value!r} here.", hint=f"Choose from: {', '.join(choices)}.")
        if self.depth not in (1, 2):
            raise UsageError(f"A pipeline depth of {self.depth} is not supported.", hint="Use 1 or 2.")
