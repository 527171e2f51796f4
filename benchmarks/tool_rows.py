"""What a comparison of tools measures: a tool in one setting, and all of them in turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from yolotrt.bench.case import Case
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.statistics import paired_ratio, summarize
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.timing.clock import now, seconds_between

THREADS = len(os.sched_getaffinity(0))
OVERLAP = 0.2
TILE = 640


class ToolRow:
    """A tool in one setting: what it is called, and a call that returns how many objects it found."""

    def __init__(self, tool: str, precision: str, batch: int, note: str, call: Callable[[Any], int]) -> None:
        self.tool, self.precision, self.batch, self.note, self._call = tool, precision, batch, note, call
        self.case = Case(f"{tool}, {note}, batch {batch}", precision, "tiled+global", "-", 1)

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        begin = now()
        found = self._call(frame)
        return Measurement({"end_to_end": seconds_between(begin, now())}, (), found)


def named(package: str) -> str:
    """Return a package's name with its version."""
    return f"{package} {version(package)}"


def measured(rows: list[ToolRow], frame: Any, rounds: int) -> list[dict[str, Any]]:
    """Measure all rows in turn, and return what each took, beside the first of them."""
    running = [Running(row) for row in rows]
    measure_rounds(running, [frame], StopRule(rounds), WarmupRule(1))
    found = []
    for row, entry in zip(rows, running, strict=True):
        samples = entry.samples["end_to_end"]
        summary, ratio = summarize(samples), paired_ratio(samples, running[0].samples["end_to_end"])
        assert summary is not None
        found.append(
            {
                "tool": row.tool, "how": row.note, "precision": row.precision, "batch": row.batch,
                "objects": entry.detections, "median_s": summary.p50, "interval_s": summary.p50_interval,
                "times_the_first": ratio and ratio.value, "samples_s": samples,
            }
        )  # fmt: skip
        print(f"{row.case.engine} ({row.precision}): {summary.p50 * 1e3:.1f} ms", flush=True)
    return found
