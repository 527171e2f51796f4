"""Latency and accuracy of each engine and pass in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import summarize
from yolotrt.evaluation.recall import SMALL_PX
from yolotrt.pipeline.tiled import PassMode
from yolotrt.report.tables import NOT_MEASURED, milliseconds
from yolotrt.workflow.evaluate import EngineAccuracy
from yolotrt.workflow.passes import fastest

if TYPE_CHECKING:
    from rich.table import Table


def story_table(result: RunResult, accuracy: Mapping[PassMode, Sequence[EngineAccuracy]]) -> Table:
    """Return one row per engine and pass: its fastest way to run, and what it finds.

    Args:
        result: A sweep.
        accuracy: Accuracy of the engines, by pass; engines are matched by the hash of their bytes.
    """
    from rich.table import Table

    images = next(iter(accuracy.values()))[0].evaluation.accuracy.images
    table = Table(
        title=f"Fastest case of each engine and pass, and its accuracy on {images} unseen scene(s); "
        f"small objects: up to {SMALL_PX} px",
        title_justify="left",
    )
    for name in ("engine", "pass", "dispatch"):
        table.add_column(name)
    for name in ("groups", "median ms", "box mAP", "mask mAP", "small found, %", "loss, %"):
        table.add_column(name, justify="right")
    for mode, entries in accuracy.items():
        for entry in entries:
            best = fastest(result, entry.file.path.name, mode)
            if best is not None:
                table.add_row(
                    entry.file.precision,
                    mode,
                    best.case.dispatch,
                    str(best.case.groups),
                    *_figures(best, entry),
                )
    return table


def _figures(best: CaseResult, entry: EngineAccuracy) -> tuple[str, ...]:
    summary = summarize(best.samples["end_to_end"])
    found = entry.evaluation.accuracy
    loss = entry.comparison.box.relative if entry.comparison else None
    return (
        NOT_MEASURED if summary is None else milliseconds(summary.p50),
        _points(found.box.ap),
        _points(found.mask.ap if found.mask else None),
        _points(entry.small_recall),
        NOT_MEASURED if loss is None else f"{-loss * 100:+.2f}",
    )


def _points(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.1f}"
