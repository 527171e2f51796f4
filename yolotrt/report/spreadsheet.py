"""Results as CSV: one row per case, flat metric names, milliseconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from yolotrt.artifacts.kinds import begins
from yolotrt.bench.metrics import flat_metrics, metric_stages
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import summarize
from yolotrt.text import csv_text

_CASE = ("engine", "precision", "mode", "dispatch", "groups")
CSV = begins("a table of yolotrt", ",".join((*_CASE, "frames")))
_SPREAD = ("p90", "p95", "p99", "mean", "stdev")


def to_csv(results: Sequence[RunResult]) -> str:
    """Return one row per case of every result; a value that was not measured is an empty cell.

    Columns are the case, ``frames``, the medians under :func:`yolotrt.bench.metrics.metric_stages`, and for
    each of these ``<name without _ms>_p95_ms`` and so on, with the 95 % interval of the median as
    ``_p50_low_ms`` and ``_p50_high_ms``. Texts that a spreadsheet would compute are quoted.
    """
    metrics = metric_stages(stage for result in results for entry in result.cases for stage in entry.samples)
    spread = [
        f"{name.removesuffix('_ms')}_{s}_ms" for name in metrics for s in (*_SPREAD, "p50_low", "p50_high")
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_text, (*_CASE, "frames", *metrics, *spread)))
    for result in results:
        for entry in result.cases:
            case = [entry.case.way if n == "dispatch" else getattr(entry.case, n) for n in _CASE]
            known = flat_metrics(entry.samples)
            medians = [known.get(name) for name in metrics]
            count = len(entry.samples["end_to_end"])
            writer.writerow(map(csv_text, (*case, count, *medians, *_spread(entry, metrics.values()))))
    return text.getvalue()


def _spread(entry: CaseResult, stages: Iterable[str]) -> list[float | None]:
    cells: list[float | None] = []
    for stage in stages:
        summary = summarize(entry.taken(stage))
        if summary is None:
            cells += [None] * (len(_SPREAD) + 2)
            continue
        values = [getattr(summary, name) for name in _SPREAD]
        low_high = summary.p50_interval or (None, None)
        cells += [None if v is None else round(v * 1e3, 6) for v in (*values, *low_high)]
    return cells
