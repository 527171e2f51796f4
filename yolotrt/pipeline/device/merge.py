"""Merge on the GPU what tiles and the global pass found there; see kernels/merge.cu.

Decides as :func:`yolotrt.pipeline.merge.merge_frame` does with ``seams``, from the same numbers. The host
reads the objects that are left, and where their masks lie in what the GPU has drawn anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from yolotrt.cuda.device import Buffer, Device, Launch, PinnedBuffer, Scope, Stream
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.doubt import visible_area
from yolotrt.geometry.packed import PackedMasks
from yolotrt.geometry.seams import looks
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.decode import THREADS
from yolotrt.pipeline.device.mask_memory import Drawn
from yolotrt.pipeline.device.share import Share
from yolotrt.pipeline.merge import MergeSettings
from yolotrt.pipeline.merge_methods import METHODS
from yolotrt.pipeline.settings import PipelineSettings

LOOK = np.dtype([("seen", "<i4", 4), ("inner", "<i4")])
"""``Look`` of views.cuh."""

FOUND = np.dtype([("objects", "<i4"), ("pieces", "<i4"), ("overflow", "<i4"), ("unused", "<i4")])
"""``Found`` of views.cuh."""

OBJECT = np.dtype([("box", "<f4", 4), ("score", "<f4"), ("label", "<i4"), ("first", "<i4"), ("end", "<i4")])
"""``Object`` of views.cuh."""

PIECE_BYTES = 48
"""Size of ``Piece`` of views.cuh, a row of :attr:`yolotrt.geometry.packed.PackedMasks.pieces`."""

WORK = np.dtype(
    [
        *((name, "<u8") for name in ("passes", "looks", "state", "views", "fate", "rank", "group", "next")),
        ("boxes", "<u8"),
        *((name, "<u8") for name in ("owner", "order", "waits", "pairs", "edges", "rivals")),
        *((name, "<u8") for name in ("found", "objects", "pieces")),
        *((name, "<f8") for name in ("border", "threshold", "duplicate", "visible", "conf")),
        *((name, "<i4") for name in ("global_look", "room", "masks", "pass_count")),
    ]
)
"""``Work`` of views.cuh."""

PASS = np.dtype(
    [
        *((name, "<u8") for name in ("header", "records", "bits")),
        ("capacity", "<i8"),
        *((name, "<i4") for name in ("first", "unused")),
    ]
)
"""``Pass`` of passes.cuh."""

VIEW_BYTES, PAIR_BYTES, RIVAL_BYTES, STATE_BYTES = 88, 24, 8, 16
"""Sizes of structures of views.cuh that only the GPU reads."""

MOST_EDGES = 4096
"""As in views.cuh."""

_PAIRS_PER_DETECTION = 16
"""Room for pairs that may be one object. Where detections overlap more than that, the host merges."""

_BLOCKS = 4
"""Blocks per multiprocessor of the kernels that share their work among any number of blocks."""

_ONE_BLOCK = 1024
"""Threads of the kernels that decide for the whole frame."""


def merges_alone(share: Share, grid: TileGrid, settings: PipelineSettings) -> bool:
    """Whether a GPU sees all that is merged, in a way that it can merge."""
    runs_all = share.tiles == range(len(grid.origins)) and share.runs_global == ("global" in settings.mode)
    return runs_all and METHODS[settings.merge.method].on_gpu


class FoundHere(Protocol):
    """What a pass finds, on this GPU; see :class:`yolotrt.pipeline.device.decode.DeviceDecoder`."""

    @property
    def images(self) -> int:
        """Images of the pass."""
        ...

    @property
    def limit(self) -> int:
        """Most detections of an image."""
        ...

    @property
    def header(self) -> Buffer:
        """One of ``HEADER``."""
        ...

    @property
    def records(self) -> Buffer:
        """(images * limit) of ``RECORD``."""
        ...


class DrawnHere(Protocol):
    """The masks that belong to it; see :class:`yolotrt.pipeline.device.results.Results`."""

    @property
    def drawn(self) -> Buffer:
        """Their bits."""
        ...

    @property
    def words(self) -> int:
        """Room for them, in words of 32 pixels."""
        ...


class DeviceMerger:
    """Scratch memory and tables for merging frames of one size.

    Args:
        device: The GPU.
        scope: Owns the memory.
        grid: Where the tiles lie.
        passes: Over the tiles, in their order, each over some; and perhaps last the global pass.
        settings: How detections are joined, by ``seams``.
        conf: Score that all of them exceed.
        masks: Whether masks are drawn, and compared.
    """

    def __init__(
        self,
        device: Device,
        scope: Scope,
        grid: TileGrid,
        passes: Sequence[FoundHere],
        settings: MergeSettings,
        *,
        conf: float,
        masks: bool,
    ) -> None:
        self._device = device
        self._masks = masks
        self._passes = list(passes)
        self._most = sum(p.images * p.limit for p in passes)
        self._state = scope.buffer(STATE_BYTES)
        work = np.zeros(1, WORK)
        work["looks"] = scope.constant(_looks(grid)).address
        work["state"] = self._state.address
        work["room"] = room = _PAIRS_PER_DETECTION * self._most
        sizes = dict.fromkeys(("fate", "rank", "group", "next", "owner", "order", "waits"), self._most * 4)
        sizes |= {"views": self._most * VIEW_BYTES, "boxes": self._most * 16}
        sizes |= {"pairs": room * PAIR_BYTES, "rivals": room * RIVAL_BYTES, "edges": 2 * MOST_EDGES * 4}
        for name, nbytes in sizes.items():
            work[name] = scope.buffer(nbytes).address
        work["border"], work["threshold"] = settings.border, settings.threshold
        work["duplicate"], work["conf"] = settings.duplicate_iou, conf
        looked = sum(p.images for p in passes) > len(grid.origins)  # at the whole frame, too
        work["visible"] = visible_area(grid) if looked else np.inf
        work["global_look"], work["masks"], work["pass_count"] = len(grid.origins), masks, len(passes)
        self._work = work

    def table(self, drawn: Sequence[DrawnHere]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """Return where the passes' results lie, for kernels: (passes,) of :data:`PASS`."""
        table = np.zeros(len(self._passes), PASS)
        first = 0
        for row, found, masks in zip(table, self._passes, drawn, strict=True):
            row["header"], row["records"] = found.header.address, found.records.address
            row["bits"], row["capacity"], row["first"] = masks.drawn.address, masks.words, first
            first += found.images
        return table

    def into(self, scope: Scope, drawn: Sequence[DrawnHere]) -> MergeWork:
        """Return the work of merging what the passes found, with these masks of one frame in flight."""
        found = scope.pinned(FOUND.itemsize)
        objects = scope.pinned(self._most * OBJECT.itemsize)
        pieces = scope.pinned(self._most * PIECE_BYTES if self._masks else 0)
        work = self._work.copy()
        work["passes"] = scope.constant(self.table(drawn)).address
        work["found"], work["objects"], work["pieces"] = found.address, objects.address, pieces.address
        address = scope.constant(work).address
        many = self._device.info.multiprocessors * _BLOCKS
        shapes = {
            "look": (-(-self._most // THREADS), THREADS),
            "relate": (many, THREADS),
            "compare": (many, THREADS),
            "join": (1, _ONE_BLOCK),
            "weigh": (-(-self._most // THREADS), THREADS),
            "find_rivals": (many, THREADS),
            "keep_objects": (1, _ONE_BLOCK),
        }
        launches = [
            self._device.launch(
                "merge",
                name,
                grid=(blocks, 1, 1),
                block=(threads, 1, 1),
                arguments=[("pointer", address)],
                defines={},
            )
            for name, (blocks, threads) in shapes.items()
        ]
        return MergeWork(self._state, tuple(launches), found, objects, pieces)


@dataclass(frozen=True)
class MergeWork:
    """Merging of one frame in flight; started as often as wanted, and then read."""

    state: Buffer
    launches: tuple[Launch, ...]
    found: PinnedBuffer
    objects: PinnedBuffer
    pieces: PinnedBuffer

    def enqueue(self, stream: Stream) -> None:
        """Start it in a stream, behind the decoding of all passes."""
        stream.clear(self.state)
        for launch in self.launches:
            launch(stream)

    def read(self, drawn: Drawn | None) -> Detections | None:
        """Return one detection per object, best first, in px of the frame.

        Args:
            drawn: The masks of all passes, or None without masks.

        Returns:
            Detections independent of the GPU's memory; None if there was no room to decide.
        """
        found = self.found.array.view(FOUND)[0]
        if found["overflow"]:
            return None
        numbers = self.objects.array[: int(found["objects"]) * OBJECT.itemsize].view(np.int32)
        numbers = numbers.reshape(-1, OBJECT.itemsize // 4)  # box, score, label, first, end: 4 bytes each
        masks = None
        if drawn is not None:
            pieces = self.pieces.array[: int(found["pieces"]) * PIECE_BYTES].view(np.int64).reshape(-1, 6)
            masks = PackedMasks(drawn.bits, drawn.placed(pieces), numbers[:, 6:].astype(np.int64))
        shown = numbers.view(np.float32)
        return Detections(shown[:, :4].copy(), shown[:, 4].copy(), numbers[:, 5].astype(np.int64), masks)


def _looks(grid: TileGrid) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return what each tile shows, and last the global pass."""
    seen, inner = looks(grid)
    table = np.zeros(len(seen), LOOK)
    table["seen"], table["inner"] = seen, inner @ (1 << np.arange(4))
    return table
