"""Latency and accuracy of each engine and pass in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import summarize
from yolotrt.evaluation.recall import SMALL_PX
from yolotrt.pipeline.tiled import PassMode
from yolotrt.report.fitting import Column, fitted
from yolotrt.report.tables import NOT_MEASURED, milliseconds, signed
from yolotrt.workflow.evaluate import EngineAccuracy
from yolotrt.workflow.passes import fastest

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = (
    ("engine", 0), ("pass", 0), ("dispatch", 0), ("groups", 4), ("median ms", 0), ("box mAP", 1),
    ("mask mAP", 2), ("small found, %", 5), ("loss, %", 3),
)  # fmt: skip
"""Headings, and the order in which they make room on a narrow terminal: the highest first, 0 never."""


def demo_table(
    result: RunResult, accuracy: Mapping[PassMode, Sequence[EngineAccuracy]], width: int | None = None
) -> Table:
    """Return one row per engine and pass: its fastest way to run, and what it finds.

    Args:
        result: A sweep.
        accuracy: Accuracy of the engines, by pass; engines are matched by the hash of their bytes.
        width: Characters of a line; None is as wide as is needed.
    """
    images = next(iter(accuracy.values()))[0].evaluation.accuracy.images
    rows = [
        (entry.file.precision, mode, best.case.dispatch, str(best.case.groups), *_figures(best, entry))
        for mode, entries in accuracy.items()
        for entry in entries
        if (best := fastest(result, entry.file.name, mode)) is not None
    ]
    columns = [
        Column(name, cells, rank=rank, words=rank == 0 and name != "median ms")
        for (name, rank), cells in zip(_COLUMNS, zip(*rows, strict=True), strict=True)
    ]
    title = (
        f"Fastest case of each engine and pass, and its accuracy on {images} unseen scene(s); "
        f"small objects: up to {SMALL_PX} px"
    )
    return fitted(title, columns, width)


def _figures(best: CaseResult, entry: EngineAccuracy) -> tuple[str, ...]:
    summary = summarize(best.samples["end_to_end"])
    found = entry.evaluation.accuracy
    loss = entry.comparison.box.relative if entry.comparison else None
    return (
        NOT_MEASURED if summary is None else milliseconds(summary.p50),
        _points(found.box.ap),
        _points(found.mask.ap if found.mask else None),
        _points(entry.small_recall),
        NOT_MEASURED if loss is None else signed(-loss * 100, 2),
    )


def _points(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.1f}"
