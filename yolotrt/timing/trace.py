"""Spans of time that belong to one frame, and the stages read from them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("prepare_batch", "enqueue", "stream_sync", "decode", "merge", "tiles", "global", "end_to_end")
"""Stage names, in the order of the tables. ``tiles`` and ``global`` span a whole pass, from preparing
its input to its decoded detections; ``end_to_end`` is the frame."""


def now() -> int:
    """Return the host clock in nanoseconds; only differences mean anything."""
    return time.perf_counter_ns()


@dataclass(frozen=True)
class Span:
    """One measured interval on the host.

    Attributes:
        stage: One of :data:`STAGES`.
        group: The tile group it belongs to, or None for the whole frame.
        begin_ns: Host clock at its start.
        end_ns: Host clock at its end.
        scope: ``tiles``, ``global`` or ``frame``: the pass it belongs to.
    """

    stage: str
    group: int | None
    begin_ns: int
    end_ns: int
    scope: str = "frame"


@dataclass
class FrameTrace:
    """All spans of one frame. Appending is thread-safe (a list append is atomic in CPython)."""

    spans: list[Span] = field(default_factory=list)

    @contextmanager
    def span(self, stage: str, *, group: int | None = None, scope: str = "frame") -> Iterator[None]:
        """Measure the block as one span; a block that raises leaves no span."""
        begin = now()
        yield
        self.spans.append(Span(stage, group, begin, now(), scope))

    def seconds(self, stage: str, *, scope: str | None = None) -> float | None:
        """Return how long the frame was in ``stage``, or None if that was not measured.

        Overlapping spans count once: the result is the length of the union of the intervals, that is
        the wall time in which at least one group was in the stage. For groups one after another that
        is their sum; for groups side by side it is what the frame waited.
        """
        chosen = sorted(
            (s.begin_ns, s.end_ns) for s in self.spans if s.stage == stage and scope in (None, s.scope)
        )
        if not chosen:
            return None
        total, reached = 0, chosen[0][0]
        for begin, end in chosen:
            total += max(0, end - max(begin, reached))
            reached = max(reached, end)
        return total / 1e9
