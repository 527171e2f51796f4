"""What is done with one frame in flight, in parts that start as soon as their rows of it are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

from yolotrt.cuda.device import Scope, Stream
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.dispatch import DeviceDispatcher, Job
from yolotrt.pipeline.device.passes import PassSlot
from yolotrt.pipeline.device.share import Share
from yolotrt.pipeline.device.slots import Slot, group_marks


@dataclass(frozen=True)
class FramePart:
    """Work that can start before the whole frame has arrived.

    Attributes:
        lane: Which of the dispatcher's jobs it belongs to; parts of one run in their order.
        rows: Rows of the frame that it reads, from the first on.
        job: Enqueues it.
        top: Rows of the frame that nothing of its kind reads here, from the first on.
    """

    lane: int
    rows: int
    job: Job
    top: int = 0


Numbered = Sequence[tuple[int, FramePart]]
"""Parts of a frame's work, with their numbers."""


@dataclass(frozen=True)
class UploadStep:
    """Rows to be sent next, and the work that needs no more then."""

    rows: range
    ready: Numbered


@dataclass(frozen=True)
class FrameJobs:
    """The whole work on one frame in flight.

    Attributes:
        parts: Those of different lanes may run side by side. Sorted by the rows that they need.
        draw: Comes after all of them: masks.
        merge: Comes after that; None where the host merges.
        rows: All rows of the frame that are read here.
    """

    parts: tuple[FramePart, ...]
    draw: Job
    merge: Job | None
    rows: range

    @cached_property
    def steps(self) -> Sequence[UploadStep]:
        """How rows are sent that are all there: those of the tiles first, as these need them.

        Rows that only the global pass reads come behind them: tiles run meanwhile.
        """
        top = max((part.top for part in self.parts), default=0)
        ends = sorted({part.rows for part in self.parts if part.top == top} | {self.rows.stop})
        bands = [range(*band) for band in pairwise([top, *ends])]
        bands += [range(self.rows.start, top)] if self.rows.start < top else []
        steps: list[UploadStep] = []
        waiting, sent = list(enumerate(self.parts)), set[int]()
        for band in bands:
            sent |= set(band)
            ready = [one for one in waiting if sent.issuperset(range(one[1].top, one[1].rows))]
            waiting = [one for one in waiting if one not in ready]
            steps.append(UploadStep(band, ready))
        return steps

    def captured(self, scope: Scope, dispatcher: DeviceDispatcher, main: Stream) -> FrameJobs:
        """Return the same as graphs; everything has run once in the stream that it will have."""

        def graph(stream: Stream, job: Job) -> Job:
            return scope.capture(stream, partial(job, stream)).launch

        parts = (replace(p, job=graph(dispatcher.stream_of(p.lane, main), p.job)) for p in self.parts)
        merge = self.merge and graph(main, self.merge)
        return replace(self, parts=tuple(parts), draw=graph(main, self.draw), merge=merge)


def jobs_of(slot: Slot, share: Share, grid: TileGrid, *, beside: bool, ahead: bool) -> FrameJobs:
    """Return the work on a slot's frame.

    Args:
        slot: The frame in flight.
        share: Which groups of its tiles, and whether there is a global pass.
        grid: Where the tiles lie.
        beside: The global pass runs beside the groups, and not behind them.
        ahead: Tiles may begin before the others of their group are there, where the engine reads frames.
    """
    parts = []
    if slot.tiles:
        first, top = share.tiles.start, min(grid.origins[tile][1] for tile in share.tiles)
        for i, group in enumerate(share.groups):
            rows = [_rows(grid, tile) for tile in group]
            if ahead and slot.tiles.reads_frames and slot.tiles.one_batch(i):
                for need in sorted(set(rows)):
                    images = [t - first for t, r in zip(group, rows, strict=True) if r == need]
                    band = range(images[0], images[-1] + 1)
                    opens = need == min(rows)
                    begin = partial(_begin, slot, slot.tiles, i, band, opens)
                    parts.append(FramePart(i, need, begin, top))
                parts.append(FramePart(i, max(rows), partial(_resume, slot, slot.tiles, i), top))
            else:
                parts.append(FramePart(i, max(rows), partial(_group, slot, slot.tiles, i), top))
    if slot.global_pass and beside:
        parts.append(
            FramePart(len(share.groups), grid.frame_wh[1], partial(_global_pass, slot, slot.global_pass))
        )
    merge = partial(_merge, slot) if slot.merge else None
    return FrameJobs(tuple(parts), partial(_draw, slot, beside), merge, rows_of(share, grid))


def rows_of(share: Share, grid: TileGrid) -> range:
    """Return the rows of the frame that a GPU's share of it reads."""
    if share.runs_global:
        return range(grid.frame_wh[1])
    return range(min(grid.origins[t][1] for t in share.tiles), max(_rows(grid, t) for t in share.tiles))


def _rows(grid: TileGrid, tile: int) -> int:
    """Return how many rows of the frame a tile reads, from the first on."""
    return min(grid.origins[tile][1] + grid.tile_wh[1], grid.frame_wh[1])


def _group(slot: Slot, tiles: PassSlot, part: int, stream: Stream) -> None:
    begin, prepared, _, _ = group_marks(slot.groups[part])
    slot.mark(begin, stream)
    tiles.prepare(part, stream)
    slot.mark(prepared, stream)
    tiles.infer(part, stream)
    _find(slot, tiles, part, stream)


def _begin(slot: Slot, tiles: PassSlot, part: int, images: range, opens: bool, stream: Stream) -> None:
    if opens:
        begin, prepared, _, _ = group_marks(slot.groups[part])
        slot.mark(begin, stream)
        slot.mark(prepared, stream)
    tiles.begin(part, images, stream)


def _resume(slot: Slot, tiles: PassSlot, part: int, stream: Stream) -> None:
    tiles.resume(part, stream)
    _find(slot, tiles, part, stream)


def _find(slot: Slot, tiles: PassSlot, part: int, stream: Stream) -> None:
    _, _, inferred, found = group_marks(slot.groups[part])
    slot.mark(inferred, stream)
    tiles.decode.find(part, stream)
    slot.mark(found, stream)


def _global_pass(slot: Slot, global_pass: PassSlot, stream: Stream) -> None:
    slot.mark("global_begin", stream)
    global_pass.prepare(0, stream)
    global_pass.infer(0, stream)
    global_pass.decode.enqueue(stream)
    slot.mark("global_end", stream)


def _draw(slot: Slot, beside: bool, stream: Stream) -> None:
    slot.mark("found", stream)
    if slot.tiles:
        slot.tiles.decode.finish(stream)
    slot.mark("decoded", stream)
    if slot.global_pass and not beside:
        _global_pass(slot, slot.global_pass, stream)
    if not slot.merge:
        slot.mark("end", stream)


def _merge(slot: Slot, stream: Stream) -> None:
    slot.mark("merging", stream)
    if slot.merge:
        slot.merge.enqueue(stream)
    slot.mark("end", stream)
