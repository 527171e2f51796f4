"""The table of frames on their own clock in ``docs/benchmarks.md``, from ``results/paced.json``."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.readme_tables import _table
from yolotrt.bench.result import RunResult
from yolotrt.bench.statistics import summarize
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.report.figures import NOT_MEASURED, milliseconds


def paced(results: Sequence[RunResult]) -> str:
    """Return the whole frame back to back, and on its own clock, with its energy."""
    rows = []
    for result in results:
        entry = next(e for e in result.cases if e.case.mode == DEFAULT_MODE)
        work, queued = (summarize(entry.samples.get(s, ())) for s in ("end_to_end", "queued"))
        assert work is not None
        assert work.p95 is not None
        assert entry.energy is not None
        rows.append(
            (
                result.settings.arrival or "back to back",
                milliseconds(work.p50),
                milliseconds(work.p95),
                NOT_MEASURED if queued is None else milliseconds(queued.p50),
                f"{entry.energy.per_frame:.2f}",
                f"{entry.energy.watts:.0f}",
                NOT_MEASURED if entry.arrived is None else str(entry.arrived.dropped),
            )
        )
    head = ("frames", "work p50, ms", "p95", "queued p50", "J per frame", "W", "dropped")
    return _table(head, rows, left=1)
