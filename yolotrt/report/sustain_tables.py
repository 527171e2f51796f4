"""The table of a long run, while it goes on and at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from yolotrt.bench.cameras import Camera
from yolotrt.bench.statistics import Summary
from yolotrt.bench.sustain import Sustained
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import NOT_MEASURED, milliseconds, signed
from yolotrt.report.fitting import headless_table, terminal_table
from yolotrt.report.tile_words import tile_words

if TYPE_CHECKING:
    from rich.table import Table


def sustain_table(run: Sustained, title: str) -> Table:
    """Return everything about a run, one line each."""
    return headless_table(RowTable(title, FACTS, [(name, take(run)) for name, take in LINES.items()]))


FACTS: tuple[Column[tuple[str, str]], ...] = (
    Column("", lambda line: line[0], words=True, key=True),
    Column("", lambda line: line[1], words=True),
)


def sustain_line(run: Sustained) -> str:
    """Return the run so far in one line, for a log."""
    latency = NOT_MEASURED if run.latency is None else milliseconds(run.latency.p50)
    return (
        f"{run.seconds:6.0f} s  in {run.counts.read}  out {run.processed}  dropped {run.counts.dropped}  "
        f"p50 {latency} ms  memory {_mib(run.memory_mib)} MiB"
    )


def _percentiles(summary: Summary | None) -> str:
    if summary is None:
        return NOT_MEASURED
    values = (summary.p50, summary.p90, summary.p95, summary.p99)
    named = zip(("p50", "p90", "p95", "p99"), values, strict=True)
    return "  ".join(
        f"{name} {NOT_MEASURED if value is None else milliseconds(value)}" for name, value in named
    )


def _drift(run: Sustained) -> str:
    if run.latency_drift is None:
        return ""
    return f"  (last third {run.latency_drift:.2f} x the one before)"


def _memory(run: Sustained) -> str:
    text = f"{_mib(run.memory_mib)}, at most {_mib(run.memory_peak_mib)}"
    return text if run.memory_trend is None else f"{text}, {signed(run.memory_trend, 1)} per minute"


def _mib(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.0f}"


def _frames_in(run: Sustained) -> str:
    counts = run.counts
    sizes = ", ".join("{}x{}".format(*size) for size in counts.sizes) or "none"
    early = f"; {counts.skipped} came too early for --fps" if counts.skipped else ""
    return f"{counts.read} ({_rate(counts.read, run)}), {sizes} px{early}"


def _dropped(run: Sustained) -> str:
    failed = f", and {run.failed} failed: {run.complaint}" if run.failed else ""
    return f"{run.counts.dropped}{failed}"


def _late(run: Sustained) -> str:
    if run.deadline_s is None or run.late is None:
        return NOT_MEASURED
    return f"{run.late} of {run.counts.read} after {milliseconds(run.deadline_s)} ms, dropped ones among them"


def _energy(run: Sustained) -> str:
    joules, watts = (run.energy.per_frame, run.energy.watts) if run.energy else (None, None)
    if joules is None or watts is None:
        return NOT_MEASURED
    return f"{joules:.2f} J per frame, {watts:.0f} W (GPU)"


def _rate(frames: int, run: Sustained) -> str:
    return f"{frames / max(run.seconds, 1e-9):.1f}/s"


LINES: dict[str, Callable[[Sustained], str]] = {
    "time": lambda run: f"{run.seconds:.0f} s",
    "frames in": _frames_in,
    "frames out": lambda run: f"{run.processed} ({_rate(run.processed, run)})",
    "dropped": _dropped,
    "latency, ms": lambda run: _percentiles(run.latency) + _drift(run),
    "waited, ms": lambda run: _percentiles(run.queued),
    "age at the end, ms": lambda run: _percentiles(run.age),
    "late": _late,
    "energy": _energy,
    "tiles": lambda run: NOT_MEASURED if run.tiles is None else tile_words(run.tiles),
    "objects in the last frame": lambda run: str(run.detections),
    "memory, MiB": _memory,
    "interruptions": lambda run: f"{run.counts.interruptions}, reconnected {run.counts.reconnects} times",
    "longest gap": lambda run: f"{run.counts.longest_gap_s:.2f} s",
}
"""What is said of a run, a line each."""


def camera_tables(run: Sustained, width: int) -> Iterator[Table]:
    """Return the table of several cameras, a line for each; none for one."""
    if run.cameras:
        fair = "" if run.fairness is None else f": fairness {run.fairness:.3f} (Jain's index; 1 is fair)"
        yield terminal_table(RowTable(f"Cameras{fair}", CAMERA, run.cameras), width=width)


CAMERA: tuple[Column[Camera], ...] = (
    Column("camera", lambda c: c.name, words=True, key=True),
    Column("in", lambda c: c.counts.read),
    Column("out", lambda c: c.processed),
    Column("dropped", lambda c: c.counts.dropped),
    Column("failed", lambda c: c.failed, rank=2),
    Column("late", lambda c: c.late),
    Column("latency p50", lambda c: c.latency and c.latency.p50, milliseconds, "ms", rank=2),
    Column("age p50", lambda c: c.age and c.age.p50, milliseconds, "ms"),
    Column("age p99", lambda c: c.age and c.age.p99, milliseconds, "ms"),
    Column("interruptions", lambda c: c.counts.interruptions, rank=1),
    Column("trouble", lambda c: c.complaint, words=True, rank=3),
)
