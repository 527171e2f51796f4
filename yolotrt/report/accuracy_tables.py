"""Accuracy tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yolotrt.evaluation.coco import Scores
from yolotrt.evaluation.comparison import Difference
from yolotrt.report.tables import milliseconds
from yolotrt.workflow.evaluate import EngineAccuracy

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "-"


def accuracy_table(entries: Sequence[EngineAccuracy]) -> Table:
    """Return two rows per engine and pass, boxes and masks: mAP in points, time of an image, and loss.

    Losses are against the first engine in the same pass.
    """
    from rich.table import Table

    accuracy = entries[0].evaluation.accuracy
    title = f"mAP in points on {accuracy.images} images with {accuracy.objects} objects"
    table = Table(title=title, title_justify="left")
    table.add_column("engine", overflow="fold")
    table.add_column("pass", no_wrap=True)
    table.add_column("of")
    columns = "mAP50-95", "mAP50", "small", "medium", "large", "ms"
    for name in (*columns, "loss, pt", "loss, %", "95 % interval, pt"):
        table.add_column(name, justify="right")
    for entry in entries:
        found, against = entry.evaluation.accuracy, entry.comparison
        loss = _loss(against.box if against else None)
        names, time = (entry.file.path.name, entry.mode), milliseconds(entry.median_seconds)
        table.add_row(*names, "box", *_scores(found.box), time, *loss)
        if found.mask is not None:
            loss = _loss(against.mask if against else None)
            table.add_row("", "", "mask", *_scores(found.mask), "", *loss)
    return table


def class_table(entries: Sequence[EngineAccuracy]) -> Table:
    """Return one row per class: box and mask mAP50-95 of each engine, in points."""
    from rich.table import Table

    table = Table(title="mAP50-95 per class, points (box / mask)", title_justify="left")
    table.add_column("class")
    for entry in entries:
        table.add_column(f"{entry.file.path.name}, {entry.mode}", justify="right")
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


def _loss(difference: Difference | None) -> tuple[str, str, str]:
    """Return absolute and relative loss (positive is worse) and the interval of the absolute one."""
    if difference is None:
        return NOTHING, NOTHING, NOTHING
    relative = NOTHING if difference.relative is None else f"{-difference.relative * 100:+.2f}"
    interval = f"{-difference.high * 100:+.2f} to {-difference.low * 100:+.2f}"
    noise = " (noise)" if difference.within_noise else ""
    return f"{-difference.absolute * 100:+.2f}", relative, interval + noise
