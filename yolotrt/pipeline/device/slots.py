"""One frame in flight on a GPU: its memory, its results, and when each part of its work was reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from yolotrt.cuda.device import Device, Event, Graph, Scope, Stream
from yolotrt.pipeline.device.merge import MergeWork
from yolotrt.pipeline.device.passes import PassSlot
from yolotrt.pipeline.device.share import FrameBuffer
from yolotrt.timing.trace import Span, SpanScope

_INTERVALS: tuple[tuple[str, SpanScope, str, str], ...] = (
    ("upload", "frame", "upload_begin", "upload_end"),
    ("prepare_batch", "tiles", "begin", "prepared"),
    ("decode", "tiles", "inferred", "decoded"),
    ("tiles", "tiles", "begin", "decoded"),
    ("global", "global", "global_begin", "global_end"),
    ("end_to_end", "frame", "upload_begin", "end"),
)
"""Device spans: stage, scope, and the marks where it begins and ends. Each group has an ``enqueue`` besides:
on the device that is what the host's ``enqueue`` started, inference."""

_MERGE: tuple[str, SpanScope, str, str] = ("merge", "frame", "merging", "end")
"""The device span of merging, where that is done on the device."""


@dataclass
class Slot:
    """One frame in flight.

    Attributes:
        frame: Its pixels.
        tiles: The tiled pass, if this GPU has tiles.
        global_pass: The global pass, if this GPU runs it.
        merge: Merging of both, if this GPU does it.
        uploaded: Reached when the frame is on the device.
        done: Reached when all results are on the host.
        groups: Numbers of this GPU's tile groups.
        scope: Owns the results and the graph, which are replaced when masks need more room.
        graph: The frame's whole work, in ``graph`` dispatch.
        marks: Timing events by name; empty unless device times are measured.
    """

    frame: FrameBuffer
    tiles: PassSlot | None
    global_pass: PassSlot | None
    merge: MergeWork | None
    uploaded: Event
    done: Event
    groups: range
    scope: Scope
    graph: Graph | None = None
    marks: dict[str, Event] = field(default_factory=dict)

    @property
    def passes(self) -> list[PassSlot]:
        """The passes over its frame: the tiles, then the global pass."""
        return [p for p in (self.tiles, self.global_pass) if p]

    def mark(self, name: str, stream: Stream) -> None:
        """Mark a point in a stream, if device times are measured."""
        if self.marks:
            stream.record(self.marks[name], readable=True)

    def inference(self, tiles: PassSlot, part: int) -> Callable[[Stream], None]:
        """Return what starts the inference of this GPU's ``part``-th group in a stream, between its marks."""
        begin, end = group_marks(self.groups[part])

        def job(stream: Stream) -> None:
            self.mark(begin, stream)
            tiles.owner.infer(part, stream)
            self.mark(end, stream)

        return job

    def spans(self, device: Device, begin_ns: int) -> list[Span]:
        """Return the device's spans of a frame that is done; none unless they are measured.

        Args:
            device: The GPU.
            begin_ns: Host clock at which to put the first of them: the two clocks have no common zero.
        """
        if not self.marks:
            return []
        absent = {
            scope for scope, owner in (("tiles", self.tiles), ("global", self.global_pass)) if not owner
        }
        intervals = (*_INTERVALS, _MERGE) if self.merge else _INTERVALS
        zero = self.marks["upload_begin"]

        def span(stage: str, group: int | None, scope: SpanScope, begin: str, end: str) -> Span:
            first, last = (int(device.seconds(zero, self.marks[mark]) * 1e9) for mark in (begin, end))
            return Span(stage, group, begin_ns + first, begin_ns + last, scope, "device")

        return [
            *(span(stage, None, scope, a, b) for stage, scope, a, b in intervals if scope not in absent),
            *(span("enqueue", group, "tiles", *group_marks(group)) for group in self.groups),
        ]


def mark_names(groups: range) -> set[str]:
    """Return the names of all marks of a frame whose tiles run in these groups."""
    names = {mark for _, _, *pair in (*_INTERVALS, _MERGE) for mark in pair}
    return names | {mark for group in groups for mark in group_marks(group)}


def group_marks(group: int) -> tuple[str, str]:
    """Return the names of the marks around a group's inference."""
    return f"group {group} begin", f"group {group} end"
