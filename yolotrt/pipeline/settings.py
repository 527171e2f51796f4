"""How a frame is cut, run and decoded: the same words for processors and GPUs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict

from yolotrt.errors import UsageError
from yolotrt.geometry.tile_overlap import require_overlap
from yolotrt.geometry.tiles import TileGrid, split_groups, tile_grid
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.merge import MergeSettings
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.pipeline.modes import PASS_MODES as PASS_MODES
from yolotrt.pipeline.modes import PassMode as PassMode
from yolotrt.pipeline.tile_choice import ALL_TILES, TileChoice

Dispatch = Literal["auto", "serial", "threads", "streams", "graph"]
DISPATCHES: tuple[Dispatch, ...] = ("auto", "serial", "threads", "streams", "graph")
"""How groups run. ``streams`` and ``graph`` need a GPU; ``auto`` takes ``graph`` there and ``serial`` on
a processor."""

GlobalOrder = Literal["concurrent", "after"]
GLOBAL_ORDERS: tuple[GlobalOrder, ...] = ("concurrent", "after")
"""Whether the global pass runs beside the tile groups or behind them, on a GPU."""


class PipelineKeywords(TypedDict, total=False):
    """The fields of :class:`PipelineSettings` as keywords, for a type checker of whoever gives them."""

    mode: PassMode
    groups: int
    dispatch: Dispatch
    overlap: float
    cpu_threads: int
    depth: int
    global_order: GlobalOrder
    bgr: bool
    measure: bool
    decode: DecodeSettings
    merge: MergeSettings
    classes: tuple[int | str, ...] | None
    agnostic: bool
    tiles: TileChoice
    track: bool


@dataclass(frozen=True)
class PipelineSettings:
    """How a frame is cut, run and decoded.

    Attributes:
        mode: ``tiled`` runs native-resolution tiles, ``global`` the whole frame letterboxed, ``tiled+global``
            both.
        groups: Number of chunks the tiles are split into, over all GPUs if there are several; a frame of
            fewer tiles has one for each.
        dispatch: How the chunks run.
        overlap: Part of a tile shared with its neighbour, in [0, 1). With 0 an object on a tile border is
            found in pieces, or not at all: tiles that share no pixels cannot be joined.
        cpu_threads: CPU threads that all groups together may use; means nothing on a GPU.
        depth: Frames in flight on a GPU: 1 for the least latency; 2 uploads one frame while another
            computes.
        global_order: When the global pass runs on a GPU; for ``tiled+global``.
        bgr: Channel order of the frames: BGR as OpenCV reads them, or RGB.
        measure: Measure the device time of every stage with events, on a GPU.
        decode: Thresholds of the decoder.
        merge: How detections of overlapping tiles are joined.
        classes: Only these come out, by name or index; None gives all. They still compete with the others:
            what is better seen as another class is none of these.
        agnostic: Of detections of different classes that overlap by more than ``decode.iou``, too, only the
            best stays.
        tiles: Which tiles run: all, or those that :meth:`TileChoice.parse` names.
        track: Number the objects of a camera, so that one keeps its number from frame to frame.

    Raises:
        UsageError: A value is out of range, or two contradict each other.
    """

    mode: PassMode = DEFAULT_MODE
    groups: int = 1
    dispatch: Dispatch = "auto"
    overlap: float = 0.2
    cpu_threads: int = 1
    depth: int = 1
    global_order: GlobalOrder = "concurrent"
    bgr: bool = True
    measure: bool = False
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)
    classes: tuple[int | str, ...] | None = None
    agnostic: bool = False
    tiles: TileChoice = ALL_TILES
    track: bool = False

    def __post_init__(self) -> None:
        for value, choices in (
            (self.mode, PASS_MODES),
            (self.dispatch, DISPATCHES),
            (self.global_order, GLOBAL_ORDERS),
        ):
            if value not in choices:
                raise UsageError(f"There is no {value!r} here.", hint=f"Choose from: {', '.join(choices)}.")
        if self.cpu_threads < 1 or self.groups < 1:
            raise UsageError(
                f"{self.groups} groups on {self.cpu_threads} threads cannot run.", hint="Both begin at 1."
            )
        if self.depth not in (1, 2):
            raise UsageError(f"A pipeline depth of {self.depth} is not supported.", hint="Use 1 or 2.")
        require_overlap(self.overlap)
        self.tiles.require_tiled(self.mode)
        if self.tiles.adaptive is not None and self.depth > 1:
            raise UsageError(
                "--tiles adaptive chooses by the frame before, so that two cannot be in flight.",
                hint="Leave out --pipeline-depth.",
            )

    def grid(self, frame_wh: tuple[int, int], tile_wh: tuple[int, int]) -> TileGrid:
        """Return where the tiles of a frame lie; without a tiled pass there are none.

        Raises:
            UsageError: The frame would have too many (see :func:`yolotrt.geometry.tiles.tile_grid`), or none
                touches the regions.
        """
        if "tiled" in self.mode:
            return self.tiles.of(tile_grid(frame_wh, tile_wh, self.overlap))
        return TileGrid(frame_wh, tile_wh, ())

    def tile_groups(self, grid: TileGrid) -> list[range]:
        """Return the tiles of each group, by their indices: no more groups than the frame has tiles."""
        tiles = len(grid.origins)
        return split_groups(tiles, min(self.groups, tiles)) if tiles else []
