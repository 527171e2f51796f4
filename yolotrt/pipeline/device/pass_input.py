"""Ties a pass to one frame in flight: the engine reads it, or kernels write the pass's input from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.cuda.device import Device, Launch, Scope
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.share import FrameBuffer, PassBuffers, cut_tiles, letterbox
from yolotrt.pipeline.device.sources import (
    LetterboxedFrame,
    Source,
    Tiles,
    upload_chroma_tables,
    upload_tables,
)
from yolotrt.pipeline.device.yuv import YuvBuffer, cut_tiles_yuv, letterbox_yuv


@dataclass(frozen=True)
class PassInput:
    """How a frame reaches the images of a pass.

    Attributes:
        source: What the engine reads; None for prepared input.
        prepare: What writes the input otherwise, for each group.
    """

    source: Source | None
    prepare: tuple[Launch, ...] = ()


def tiles_input(
    device: Device,
    scope: Scope,
    frame: FrameBuffer | YuvBuffer,
    grid: TileGrid,
    groups: Sequence[range],
    into: PassBuffers,
    *,
    bgr: bool,
    reads: bool,
) -> PassInput:
    """Return how tiles get their pixels.

    Args:
        device: The GPU.
        scope: Owns tables.
        frame: The frame.
        grid: Where all tiles lie.
        groups: Tiles of each group, contiguous; the first of them is the pass's first image.
        into: Memory of the pass.
        bgr: Channel order of the frame.
        reads: The engine reads such frames.
    """
    start = groups[0].start
    if reads:
        corners = np.array([grid.origins[t] for group in groups for t in group], np.int32)
        return PassInput(Tiles(frame.read_as(bgr=bgr), scope.constant(corners).address))
    if isinstance(frame, YuvBuffer):
        cut = (cut_tiles_yuv(device, scope, frame, grid, g, into, g.start - start) for g in groups)
        return PassInput(None, tuple(cut))
    return PassInput(
        None,
        tuple(
            cut_tiles(device, scope, frame, grid, group, into, bgr=bgr, first=group.start - start)
            for group in groups
        ),
    )


def global_input(
    device: Device,
    scope: Scope,
    frame: FrameBuffer | YuvBuffer,
    placement: Letterbox,
    into: PassBuffers,
    *,
    bgr: bool,
    reads: bool,
    first: int = 0,
) -> PassInput:
    """Return how an image of the global pass gets its pixels; see :func:`tiles_input`."""
    if isinstance(frame, YuvBuffer):
        if not reads:
            return PassInput(None, (letterbox_yuv(device, frame, placement, into, first=first),))
        chroma = upload_chroma_tables(scope, placement, frame.site)
        return PassInput(LetterboxedFrame(frame.read_as(), *upload_tables(scope, placement), *chroma))
    if reads:
        return PassInput(LetterboxedFrame(frame.read_as(bgr=bgr), *upload_tables(scope, placement)))
    return PassInput(None, (letterbox(device, frame, placement, into, bgr=bgr, first=first),))
