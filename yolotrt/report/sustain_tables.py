"""The table of a long run, while it goes on and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.bench.statistics import Summary
from yolotrt.bench.sustain import Sustained
from yolotrt.report.tables import NOT_MEASURED, milliseconds, signed

if TYPE_CHECKING:
    from rich.table import Table


def sustain_table(run: Sustained, title: str) -> Table:
    """Return everything about a run, one line each."""
    from rich.table import Table

    counts = run.counts
    table = Table(title=title, title_justify="left", show_header=False)
    sizes = ", ".join("{}x{}".format(*size) for size in counts.sizes)
    rows = [
        ("time", f"{run.seconds:.0f} s"),
        (
            "frames in",
            f"{counts.read} ({counts.read / max(run.seconds, 1e-9):.1f}/s), {sizes or 'none'} px"
            + (f"; {counts.skipped} came too early for --fps" if counts.skipped else ""),
        ),
        ("frames out", f"{run.processed} ({run.processed / max(run.seconds, 1e-9):.1f}/s)"),
        (
            "dropped",
            f"{counts.dropped}" + (f", and {run.failed} failed: {run.complaint}" if run.failed else ""),
        ),
        ("latency, ms", _percentiles(run.latency) + _drift(run)),
        ("age at the end, ms", _percentiles(run.age)),
        ("objects in the last frame", str(run.detections)),
        ("memory, MiB", _memory(run)),
        ("interruptions", f"{counts.interruptions}, reconnected {counts.reconnects} times"),
        ("longest gap", f"{counts.longest_gap_s:.2f} s"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


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
    return "  ".join(f"{name} {milliseconds(value)}" for name, value in named)


def _drift(run: Sustained) -> str:
    if run.latency_drift is None:
        return ""
    return f"  (last third {run.latency_drift:.2f} x the one before)"


def _memory(run: Sustained) -> str:
    text = f"{_mib(run.memory_mib)}, at most {_mib(run.memory_peak_mib)}"
    return text if run.memory_trend is None else f"{text}, {signed(run.memory_trend, 1)} per minute"


def _mib(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.0f}"
