"""One frame in flight on a GPU: its memory, its results, and when each part of its work was reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from yolotrt.cuda.device import Device, Event, Scope, Stream
from yolotrt.pipeline.device.mask_memory import MaskMemory
from yolotrt.pipeline.device.merge import MergeWork
from yolotrt.pipeline.device.passes import PassSlot
from yolotrt.pipeline.device.results import Results
from yolotrt.pipeline.device.share import FrameBuffer
from yolotrt.pipeline.device.yuv import YuvBuffer
from yolotrt.timing.trace import Span, SpanScope

_INTERVALS: tuple[tuple[str, SpanScope, str, str], ...] = (
    ("upload", "frame", "upload_begin", "upload_end"),
    ("decode", "tiles", "found", "decoded"),
    ("global", "global", "global_begin", "global_end"),
    ("end_to_end", "frame", "upload_begin", "end"),
)
"""Device spans: stage, scope, and the marks where it begins and ends."""

_OF_GROUPS = ("prepare_batch", "enqueue", "decode")
"""Device spans of every group, between its marks. ``enqueue`` is what the host's ``enqueue`` started,
inference. For engines that read frames no input is prepared, and inference begins with a group's first rows:
it may have waited for others."""

_MERGE: tuple[str, SpanScope, str, str] = ("merge", "frame", "merging", "end")
"""The device span of merging, where that is done on the device."""


@dataclass
class Slot:
    """One frame in flight.

    Attributes:
        frame: Its pixels.
        tiles: The tiled pass, if this GPU has tiles.
        global_pass: The global pass, if this GPU runs it.
        masks: Where their masks go.
        merge: Merging of both, if this GPU does it.
        done: Reached when all results are on the host.
        groups: Numbers of this GPU's tile groups.
        scope: Owns the results and the graph, which are replaced when masks need more room.
        arrived: For each part of the work, reached when its rows are on the device; the last: when all are.
        drawn: Reached when all masks are on the host.
        marks: Timing events by name; empty unless device times are measured.
    """

    frame: FrameBuffer | YuvBuffer
    tiles: PassSlot | None
    global_pass: PassSlot | None
    masks: MaskMemory
    merge: MergeWork | None
    arrived: list[Event]
    drawn: Event
    done: Event
    groups: range
    scope: Scope
    marks: dict[str, Event] = field(default_factory=dict)

    @property
    def passes(self) -> list[PassSlot]:
        """The passes over its frame: the tiles, then the global pass."""
        return [p for p in (self.tiles, self.global_pass) if p]

    @property
    def results(self) -> list[Results]:
        """What comes back from them."""
        return [p.results for p in self.passes]

    def mark(self, name: str, stream: Stream) -> None:
        """Mark a point in a stream, if device times are measured."""
        if self.marks:
            stream.record(self.marks[name], readable=True)

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

        found = [span(stage, None, scope, a, b) for stage, scope, a, b in intervals if scope not in absent]
        if self.tiles is None:
            return found
        begin = group_marks(self.groups[0])[0]
        found.append(span("tiles", None, "tiles", begin, "decoded"))
        for group in self.groups:
            pairs = pairwise(group_marks(group))
            found += [span(s, group, "tiles", *pair) for s, pair in zip(_OF_GROUPS, pairs, strict=True)]
        reads = self.tiles.reads_frames
        return [s for s in found if not (reads and s.stage == "prepare_batch")]


def mark_names(groups: range) -> set[str]:
    """Return the names of all marks of a frame whose tiles run in these groups."""
    names = {mark for _, _, *pair in (*_INTERVALS, _MERGE) for mark in pair}
    return names | {mark for group in groups for mark in group_marks(group)}


def group_marks(group: int) -> tuple[str, str, str, str]:
    """Return the names of a group's marks: it begins, is prepared, inferred, and searched for detections."""
    begin, prepared, inferred, found = (
        f"group {group} {p}" for p in ("begin", "prepared", "inferred", "found")
    )
    return begin, prepared, inferred, found
