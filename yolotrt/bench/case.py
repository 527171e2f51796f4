"""One row of a benchmark's table, and the raw samples of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from yolotrt.artifacts.fields import Count, Moment, Seconds, Some
from yolotrt.bench.metrics import METRICS, flat_metrics, taken
from yolotrt.machine.energy import Energy
from yolotrt.pipeline.settings import GlobalOrder, PassMode
from yolotrt.pipeline.tile_use import TileUse
from yolotrt.timing.trace import STAGES, Span, SpanScope

Samples = Annotated[dict[str, list[Seconds | None]], Meta(extra_json_schema={"required": list(STAGES)})]
Metrics = Annotated[
    Mapping[str, float | None],
    Meta(extra_json_schema={"required": [name for name in METRICS if name != "inference_merge_ms"]}),
]

_AFTER = "global after"
_DEPTH = "depth "


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        engine: The engine's file name; two joined by `` + `` when tiles and frame have their own.
        precision: Its precision.
        mode: ``tiled``, ``global`` or ``tiled+global``.
        dispatch: How groups ran; ``-`` for a pass without groups.
        groups: Number of groups; 1 for a pass without groups.
        order: When the pass over the whole frame ran beside tiles on a GPU.
        depth: Frames in flight.
    """

    engine: str
    precision: str
    mode: PassMode
    dispatch: str
    groups: Some
    order: GlobalOrder = "concurrent"
    depth: Some = 1

    @property
    def way(self) -> str:
        """How it ran, in words: dispatch, order and depth, as far as they are not the usual ones."""
        words = [self.dispatch]
        if self.order == "after":
            words.append(_AFTER)
        if self.depth > 1:
            words.append(f"{_DEPTH}{self.depth}")
        return ", ".join(words)

    def __str__(self) -> str:
        if self.mode == "global":
            return f"{self.engine} global"
        return f"{self.engine} {self.mode} {self.way} groups={self.groups}"


def with_order_and_depth(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a case whose ``dispatch`` says all three, as earlier versions wrote it.

    Raises:
        KeyError: It has no dispatch.
        ValueError: Its depth is no number.
        AttributeError: It is no mapping, or its dispatch no text.
    """
    dispatch, *words = case["dispatch"].split(", ")
    depth = next((int(w.removeprefix(_DEPTH)) for w in words if w.startswith(_DEPTH)), 1)
    order = "after" if _AFTER in words else "concurrent"
    return {**case, "dispatch": dispatch, "order": order, "depth": depth}


@dataclass(frozen=True)
class TimelineSpan:
    """One interval of one frame, seconds since the frame's first span.

    Spans of the device lie where the pipeline put them on the host's clock, since the two clocks have no
    common zero: lengths and distances between them are exact, their distance to the host's spans is not.
    """

    stage: str
    group: int | None
    scope: SpanScope
    on: Literal["host", "device"]
    begin_s: Moment
    end_s: Moment


def timeline(spans: Sequence[Span]) -> tuple[TimelineSpan, ...]:
    """Return the spans of one frame, counted from its beginning, in the order in which they began."""
    zero = min((s.begin_ns for s in spans), default=0)
    return tuple(
        TimelineSpan(s.stage, s.group, s.scope, s.on, (s.begin_ns - zero) / 1e9, (s.end_ns - zero) / 1e9)
        for s in sorted(spans, key=lambda s: (s.on, s.begin_ns, -s.end_ns))
    )


@dataclass(frozen=True)
class Intake:
    """Frames that came on their own clock.

    Attributes:
        offered: How many came.
        dropped: How many were thrown away because newer ones came.
    """

    offered: Count
    dropped: Count


@dataclass(frozen=True)
class CaseResult:
    """Raw samples of one case.

    Attributes:
        case: What was measured.
        samples: Seconds per stage and frame; None where a stage was not measured. All lists are as
            long as the number of measured frames; the same index in two cases is the same round.
        warmup: Seconds of ``end_to_end`` of the frames before the measured ones.
        detections: Number of detections in the last frame.
        timeline: The spans of the frame whose latency is nearest the median.
        group_bytes: Device memory that a group's context took, bytes, by GPU; empty on a processor. A group
            that found its context already made took nothing.
        arrived: What came, where frames came on their own clock; samples are of those that were processed.
        energy: What GPUs consumed for this case; None without one that tells.
        tiles: Which tiles were looked at, warm-up included; None where all were.
        metrics: In files: medians in milliseconds under flat names, for applications that log them.
    """

    case: Case
    samples: Samples
    warmup: list[Seconds | None]
    detections: Count
    timeline: tuple[TimelineSpan, ...] = ()
    group_bytes: tuple[Count, ...] = ()
    arrived: Intake | None = None
    energy: Energy | None = None
    tiles: TileUse | None = None
    metrics: Metrics = field(default_factory=dict, compare=False)

    def taken(self, stage: str) -> Sequence[float | None]:
        """Return the samples of a stage; see :func:`yolotrt.bench.metrics.taken`."""
        return taken(self.samples, stage)

    def with_metrics(self) -> CaseResult:
        """Return it as it is written."""
        return replace(self, metrics=flat_metrics(self.samples))


def require_even(entry: CaseResult) -> None:
    """Check that all stages of a case have a sample of each frame.

    Raises:
        ValueError: They do not.
    """
    lengths = {len(values) for values in entry.samples.values()}
    if "end_to_end" not in entry.samples or len(lengths) != 1:
        raise ValueError("stages of a case have different numbers of samples")
