"""Frames on their own clock, as docs show what ``yolotrt bench`` measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolotrt.bench.result import DOCUMENT
from yolotrt.bench.statistics import summarize
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.report.figures import NOT_MEASURED, milliseconds


def paced_rows(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the frame back to back and on its own clock, with its energy, below a head.

    Args:
        found: Results of ``yolotrt bench`` as they are written.
    """
    head = ("frames", "work p50, ms", "p95", "queued p50", "J per frame", "W", "dropped")
    rows: list[tuple[str, ...]] = [head]
    for result in (DOCUMENT.parse(Path("paced.json"), one) for one in found):
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
    return rows
