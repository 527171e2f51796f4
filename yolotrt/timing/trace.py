"""Spans of time that belong to one frame, and the stages read from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from yolotrt.timing.clock import Clock, seconds_between
from yolotrt.timing.clock import now as now

STAGES = ("prepare_batch", "enqueue", "stream_sync", "decode", "merge", "tiles", "global", "end_to_end")
"""Stage names, in the order of the tables. ``tiles`` and ``global`` span a whole pass, from preparing
its input to its decoded detections; ``end_to_end`` is the frame."""

PASSES = ("tiles", "global", "end_to_end")
"""The stages that span a whole pass or frame, and others."""

COPIES = ("upload", "download")
"""Further stages of a pipeline on a GPU: the frame to the device, detections and masks back."""

DECIDE = "decide"
"""A further stage where not all tiles run: choosing them."""

INTERVAL = "interval"
"""Time from one frame's result to the next, where several frames are in flight."""

ARRIVAL = ("queued", "response")
"""Further stages where frames come on their own clock: from arrival until work begins, and until its end."""

DEVICE = "device_"
"""Prefix of stages timed by the device's own clock, which are kept apart from host time."""


SpanScope = Literal["tiles", "global", "frame"]
"""The pass that a span belongs to, or the frame around both."""


@dataclass(frozen=True)
class Span:
    """One measured interval.

    Attributes:
        stage: One of :data:`STAGES` or :data:`COPIES`, or :data:`DECIDE`.
        group: The tile group it belongs to, or None for the global pass.
        begin_ns: Clock at its start.
        end_ns: Clock at its end.
        scope: ``tiles``, ``global`` or ``frame``: the pass it belongs to.
        on: Whose clock it was: the host's, or the device's (CUDA events).
    """

    stage: str
    group: int | None
    begin_ns: int
    end_ns: int
    scope: SpanScope = "frame"
    on: Literal["host", "device"] = "host"


@dataclass
class FrameTrace:
    """All spans of one frame. Appending is thread-safe (a list append is atomic in CPython).

    Attributes:
        spans: In the order in which they ended.
        clock: What :meth:`span` reads.
    """

    spans: list[Span] = field(default_factory=list)
    clock: Clock = now

    @contextmanager
    def span(self, stage: str, *, group: int | None = None, scope: SpanScope = "frame") -> Iterator[None]:
        """Measure the block as one span; a block that raises leaves no span."""
        begin = self.clock()
        yield
        self.spans.append(Span(stage, group, begin, self.clock(), scope))

    def stages(self) -> dict[str, float | None]:
        """Return seconds by stage: every host stage, None where not measured, and device stages as found."""
        measured: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for span in self.spans:
            measured.setdefault((span.stage, span.on), []).append((span.begin_ns, span.end_ns))
        found = {stage: _union(measured.get((stage, "host"), [])) for stage in STAGES}
        for stage in (*STAGES, *COPIES, DECIDE):
            for on in ("host", "device"):
                name = stage if on == "host" else DEVICE + stage
                if name not in found and (stage, on) in measured:
                    found[name] = _union(measured[stage, on])
        return found

    def seconds(self, stage: str, *, scope: str | None = None, on: str = "host") -> float | None:
        """Return how long the frame was in ``stage``, or None if that was not measured.

        Overlapping spans count once: the result is the length of the union of the intervals, that is
        the wall time in which at least one group was in the stage. For groups one after another that
        is their sum; for groups side by side it is what the frame waited.
        """
        return _union(
            [
                (s.begin_ns, s.end_ns)
                for s in self.spans
                if s.stage == stage and s.on == on and scope in (None, s.scope)
            ]
        )


def _union(intervals: list[tuple[int, int]]) -> float | None:
    """Return the seconds that intervals, in ns, cover together; None without any. Sorts them."""
    if not intervals:
        return None
    intervals.sort()
    total, reached = 0, intervals[0][0]
    for begin, end in intervals:
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return seconds_between(0, total)
