"""Latency and accuracy of each engine and pass in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import median
from yolotrt.evaluation.recall import SMALL_PX
from yolotrt.pipeline.tiled import PassMode
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import milliseconds, signed_points
from yolotrt.report.fitting import terminal_table
from yolotrt.workflow.evaluate import EngineAccuracy
from yolotrt.workflow.passes import fastest

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class _Way:
    """An engine in one pass, and its fastest case."""

    mode: PassMode
    entry: EngineAccuracy
    best: CaseResult


def _mask(way: _Way) -> float | None:
    mask = way.entry.evaluation.accuracy.mask
    return mask.ap if mask else None


def _loss(way: _Way) -> float | None:
    against = way.entry.comparison
    return None if against is None or against.box.relative is None else -against.box.relative


def _tenths(value: float) -> str:
    return f"{value * 100:.1f}"


WAYS: tuple[Column[_Way], ...] = (
    Column("engine", lambda w: w.entry.file.precision, words=True, key=True),
    Column("pass", lambda w: w.mode, words=True, key=True),
    Column("dispatch", lambda w: w.best.case.way, words=True, key=True),
    Column("groups", lambda w: w.best.case.groups, rank=4, key=True),
    Column("median ms", lambda w: median(w.best.samples["end_to_end"]), milliseconds),
    Column("box mAP", lambda w: w.entry.evaluation.accuracy.box.ap, _tenths, rank=1),
    Column("mask mAP", _mask, _tenths, rank=2),
    Column("small found", lambda w: w.entry.small_recall, _tenths, unit="%", rank=5),
    Column("loss", _loss, signed_points, unit="%", rank=3),
)


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
        _Way(mode, entry, best)
        for mode, entries in accuracy.items()
        for entry in entries
        if (best := fastest(result, entry.file.name, mode)) is not None
    ]
    title = (
        f"Fastest case of each engine and pass, and its accuracy on {images} unseen scene(s); "
        f"small objects: up to {SMALL_PX} px"
    )
    return terminal_table(RowTable(title, WAYS, rows), width=width)
