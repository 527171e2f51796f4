"""What became of frames that arrived on their own clock."""

from __future__ import annotations

from yolotrt.bench.case import CaseResult
from yolotrt.bench.statistics import measured


def late(entry: CaseResult, deadline_s: float) -> tuple[int, int] | None:
    """Return how many frames had no result at their deadline, dropped ones among them, and how many came.

    None for a case whose frames did not come on their own clock.
    """
    responses = measured(entry.samples.get("response", ()))
    if entry.arrived is None or responses is None:
        return None
    return int((responses > deadline_s).sum()) + entry.arrived.dropped, entry.arrived.offered
