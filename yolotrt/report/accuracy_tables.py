"""Accuracy tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yolotrt.evaluation.coco import Scores
from yolotrt.evaluation.comparison import Difference
from yolotrt.report.labels import short_names
from yolotrt.report.tables import milliseconds, signed
from yolotrt.workflow.evaluate import EngineAccuracy

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "-"


def accuracy_table(entries: Sequence[EngineAccuracy]) -> Table:
    """Return two rows per engine and pass, boxes and masks: mAP in points, and median time of an image."""
    accuracy = entries[0].evaluation.accuracy
    images = f"{accuracy.images} image{'s' * (accuracy.images != 1)}"
    title = f"mAP in points on {images} with {accuracy.objects} objects"
    table = _table(title, "mAP50-95", "mAP50", "small", "medium", "large", "ms")
    for names, entry in zip(_names(entries), entries, strict=True):
        found = entry.evaluation.accuracy
        table.add_row(*names, "box", *_scores(found.box), _milliseconds(entry.median_seconds))
        if found.mask is not None:
            table.add_row("", "", "mask", *_scores(found.mask), "")
    return table


def loss_table(entries: Sequence[EngineAccuracy]) -> Table | None:
    """Return what each engine loses against the first one in the same pass; None with nothing to compare."""
    if not any(entry.comparison for entry in entries):
        return None
    table = _table(f"Loss of mAP50-95 against {entries[0].file.name}", "points", "%", "95 % interval, points")
    for names, entry in zip(_names(entries), entries, strict=True):
        if entry.comparison is not None:
            table.add_row(*names, "box", *_loss(entry.comparison.box))
            if entry.comparison.mask is not None:
                table.add_row("", "", "mask", *_loss(entry.comparison.mask))
    return table


def _table(title: str, *figures: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("engine", overflow="fold")
    table.add_column("pass", overflow="fold")
    table.add_column("of", no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _names(entries: Sequence[EngineAccuracy]) -> list[tuple[str, str]]:
    """Return the short name and the pass of each entry."""
    files = [entry.file.name for entry in entries]
    short = short_names(list(dict.fromkeys(files)))
    return [(short[name], entry.mode) for name, entry in zip(files, entries, strict=True)]


def class_table(entries: Sequence[EngineAccuracy]) -> Table:
    """Return one row per class: box and mask mAP50-95 of each engine, in points."""
    from rich.table import Table

    table = Table(title="mAP50-95 per class, points (box / mask)", title_justify="left")
    table.add_column("class")
    for name, passes in _names(entries):
        table.add_column(f"{name}, {passes}", justify="right")
    for name in entries[0].evaluation.accuracy.box.per_class:
        cells = []
        for entry in entries:
            found = entry.evaluation.accuracy
            mask = found.mask.per_class[name] if found.mask else None
            cells.append(f"{_points(found.box.per_class[name])} / {_points(mask)}")
        table.add_row(name, *cells)
    return table


def _scores(scores: Scores) -> tuple[str, ...]:
    values = (scores.ap, scores.ap50, scores.small, scores.medium, scores.large)
    return tuple(_points(value) for value in values)


def _points(value: float | None) -> str:
    return NOTHING if value is None else f"{value * 100:.2f}"


def _milliseconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else milliseconds(seconds)


def _loss(difference: Difference) -> tuple[str, str, str]:
    """Return absolute and relative loss (positive is worse) and the interval of the absolute one."""
    relative = NOTHING if difference.relative is None else signed(-difference.relative * 100, 2)
    interval = NOTHING
    if difference.low is not None and difference.high is not None:
        interval = " to ".join(signed(-end * 100, 2) for end in (difference.high, difference.low))
        interval += " (noise)" if difference.within_noise else ""
    return signed(-difference.absolute * 100, 2), relative, interval
