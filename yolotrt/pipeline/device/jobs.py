"""What is done with one frame in flight: a job for each group, one for the global pass, and what is last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from yolotrt.cuda.device import Graph, Scope, Stream
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.dispatch import DeviceDispatcher, Job
from yolotrt.pipeline.device.passes import PassSlot
from yolotrt.pipeline.device.share import Share
from yolotrt.pipeline.device.slots import Slot, group_marks


@dataclass(frozen=True)
class Part:
    """A job that can start before the whole frame has arrived.

    Attributes:
        rows: Rows of the frame that it reads, from the first on.
        job: Enqueues it.
    """

    rows: int
    job: Job


@dataclass(frozen=True)
class FrameJobs:
    """The whole work on one frame in flight.

    Attributes:
        parts: Jobs that may run side by side, by the rows that they need.
        finish: Comes after all of them.
    """

    parts: tuple[Part, ...]
    finish: Job

    def captured(self, scope: Scope, dispatcher: DeviceDispatcher, main: Stream) -> FrameJobs:
        """Return the same as graphs; each has run once in the stream that it will have."""
        parts = tuple(
            Part(part.rows, _captured(scope, dispatcher.stream_of(i, main), part.job))
            for i, part in enumerate(self.parts)
        )
        return FrameJobs(parts, _captured(scope, main, self.finish))


def rows_needed(share: Share, grid: TileGrid) -> list[int]:
    """Return how many rows of a frame each group of a share reads, from the first on."""
    height = grid.frame_wh[1]
    return [min(max(grid.origins[t][1] for t in g) + grid.tile_wh[1], height) for g in share.groups]


def jobs_of(slot: Slot, share: Share, grid: TileGrid, *, beside: bool) -> FrameJobs:
    """Return the work on a slot's frame.

    Args:
        slot: The frame in flight.
        share: Which groups of its tiles, and whether there is a global pass.
        grid: Where the tiles lie.
        beside: The global pass runs beside the groups, and not behind them.
    """
    parts = []
    if slot.tiles:
        for i, rows in enumerate(rows_needed(share, grid)):
            parts.append(Part(rows, partial(_group, slot, slot.tiles, i)))
    if slot.global_pass and beside:
        parts.append(Part(grid.frame_wh[1], partial(_whole, slot, slot.global_pass)))
    return FrameJobs(tuple(parts), partial(_finish, slot, beside))


def _group(slot: Slot, tiles: PassSlot, part: int, stream: Stream) -> None:
    begin, prepared, inferred, found = group_marks(slot.groups[part])
    slot.mark(begin, stream)
    tiles.prepare(part, stream)
    slot.mark(prepared, stream)
    tiles.infer(part, stream)
    slot.mark(inferred, stream)
    tiles.decode.find(part, stream)
    slot.mark(found, stream)


def _whole(slot: Slot, whole: PassSlot, stream: Stream) -> None:
    slot.mark("global_begin", stream)
    whole.prepare(0, stream)
    whole.infer(0, stream)
    whole.decode.enqueue(stream)
    slot.mark("global_end", stream)


def _finish(slot: Slot, beside: bool, stream: Stream) -> None:
    slot.mark("found", stream)
    if slot.tiles:
        slot.tiles.decode.finish(stream)
    slot.mark("decoded", stream)
    if slot.global_pass and not beside:
        _whole(slot, slot.global_pass, stream)
    slot.mark("merging", stream)
    if slot.merge:
        slot.merge.enqueue(stream)
    slot.mark("end", stream)


def _captured(scope: Scope, stream: Stream, job: Job) -> Job:
    graph: Graph = scope.capture(stream, partial(job, stream))
    return graph.launch
