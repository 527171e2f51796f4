"""Results as CSV: one row per case, flat metric names, milliseconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from yolotrt.bench.metrics import METRICS, flat_metrics
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import summarize

_CASE = ("engine", "precision", "mode", "dispatch", "groups")
_SPREAD = ("p90", "p95", "p99", "mean", "stdev")


def to_csv(results: Sequence[RunResult]) -> str:
    """Return one row per case of every result; a value that was not measured is an empty cell.

    Columns are the case, ``frames``, the medians under :data:`METRICS`, and for each of these
    ``<name without _ms>_p95_ms`` and so on, with the 95 % interval of the median as ``_p50_low_ms`` and
    ``_p50_high_ms``.
    """
    spread = [
        f"{name.removesuffix('_ms')}_{s}_ms" for name in METRICS for s in (*_SPREAD, "p50_low", "p50_high")
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_CASE, "frames", *METRICS, *spread))
    for result in results:
        for entry in result.cases:
            case = [getattr(entry.case, name) for name in _CASE]
            medians = flat_metrics(entry.taken).values()
            writer.writerow((*case, len(entry.samples["end_to_end"]), *medians, *_spread(entry)))
    return text.getvalue()


def _spread(entry: CaseResult) -> list[float | None]:
    cells: list[float | None] = []
    for stage in METRICS.values():
        summary = summarize(entry.samples.get(stage, ()))
        if summary is None:
            cells += [None] * (len(_SPREAD) + 2)
            continue
        values = [getattr(summary, name) for name in _SPREAD]
        low_high = summary.p50_interval or (None, None)
        cells += [None if v is None else round(v * 1e3, 6) for v in (*values, *low_high)]
    return cells
