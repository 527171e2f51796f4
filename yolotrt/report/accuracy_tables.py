"""Accuracy tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolotrt.evaluation.coco import Scores
from yolotrt.evaluation.comparison import Difference
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import milliseconds, points, signed_points
from yolotrt.report.fitting import terminal_table
from yolotrt.report.labels import short_names
from yolotrt.workflow.accuracy_file import EngineFigures

if TYPE_CHECKING:
    from rich.table import Table


WORST = 3
"""Classes that are named, those that lost most."""


@dataclass(frozen=True)
class AccuracyRow:
    """What boxes or masks of one engine reached in one pass; a second row does not name it again."""

    engine: str
    mode: str
    of: str
    images: str
    scores: Scores
    time: str | None
    difference: Difference | None


@dataclass(frozen=True)
class _Lost:
    """What boxes or masks, or boxes of one size, of one engine lose in one pass."""

    engine: str
    mode: str
    of: str
    difference: Difference


def _change(difference: Difference) -> str:
    absolute = signed_points(difference.absolute)
    if difference.low is None or difference.high is None:
        return absolute
    return f"{absolute} ({signed_points(difference.low)} to {signed_points(difference.high)})"


def _score(take: Callable[[Scores], float | None]) -> Callable[[AccuracyRow], float | None]:
    return lambda row: take(row.scores)


ACCURACY: tuple[Column[AccuracyRow], ...] = (
    Column("engine", lambda r: r.engine, words=True, key=True),
    Column("pass", lambda r: r.mode, words=True, key=True),
    Column("of", lambda r: r.of, words=True, key=True),
    Column("images", lambda r: r.images, media=("page",)),
    Column("mAP50-95", _score(lambda s: s.ap), points),
    Column("mAP50", _score(lambda s: s.ap50), points, rank=1),
    Column("small", _score(lambda s: s.small), points, rank=3),
    Column("medium", _score(lambda s: s.medium), points, rank=4),
    Column("large", _score(lambda s: s.large), points, rank=5),
    Column("ms", lambda r: r.time, rank=2),
    Column("against reference", lambda r: r.difference, _change, media=("page",)),
)
"""Of the terminal and the page; there a second table, :data:`LOSS`, says more about the differences."""

LOSS: tuple[Column[_Lost], ...] = (
    Column("engine", lambda r: r.engine, words=True, key=True),
    Column("pass", lambda r: r.mode, words=True, key=True),
    Column("of", lambda r: r.of, words=True, key=True),
    Column("points", lambda r: -r.difference.absolute, signed_points),
    Column("%", lambda r: None if r.difference.relative is None else -r.difference.relative, signed_points),
    Column("95 % interval, points", lambda r: _interval(r.difference)),
)
"""Positive is worse."""


def accuracy_table(entries: Sequence[EngineFigures], width: int | None = None) -> Table:
    """Return two rows per engine and pass, boxes and masks: mAP in points, and median time of an image."""
    first = entries[0]
    images = f"{first.images} image{'s' * (first.images != 1)}"
    title = f"mAP in points on {images} with {first.objects} objects"
    return terminal_table(RowTable(title, ACCURACY, accuracy_rows(entries)), width=width)


def accuracy_rows(entries: Sequence[EngineFigures]) -> list[AccuracyRow]:
    """Return two rows per engine and pass, boxes and masks; one where there are no masks."""
    rows = []
    for names, entry in zip(_names(entries), entries, strict=True):
        seconds, against = entry.median_seconds, entry.comparison
        time = None if seconds is None else milliseconds(seconds)
        box = against.box if against else None
        rows.append(AccuracyRow(*names, "box", str(entry.images), entry.box, time, box))
        if entry.mask is not None:
            mask = against.mask if against else None
            rows.append(AccuracyRow("", "", "mask", "", entry.mask, "", mask))
    return rows


def loss_table(entries: Sequence[EngineFigures], width: int | None = None) -> Table | None:
    """Return what each engine loses against the first one in the same pass; None with nothing to compare."""
    if not any(entry.comparison for entry in entries):
        return None
    rows = []
    for names, entry in zip(_names(entries), entries, strict=True):
        if entry.comparison is not None:
            rows.append(_Lost(*names, "box", entry.comparison.box))
            if entry.comparison.mask is not None:
                rows.append(_Lost("", "", "mask", entry.comparison.mask))
            rows += [_Lost("", "", f"{size} boxes", d) for size, d in entry.comparison.sizes.items()]
    title = f"Loss of mAP50-95 against {entries[0].engine}"
    return terminal_table(RowTable(title, LOSS, rows), width=width)


def worst_classes(entries: Sequence[EngineFigures]) -> list[str]:
    """Return for each engine the classes whose box mAP lost most against the first engine in its pass."""
    first: dict[str, EngineFigures] = {}
    said = []
    for (name, passes), entry in zip(_names(entries), entries, strict=True):
        before = first.setdefault(passes, entry).box.per_class
        lost = {
            key: was - now
            for key, was in before.items()
            if was is not None and (now := entry.box.per_class.get(key)) is not None and was > now
        }
        worst = sorted(lost, key=lambda key: -lost[key])[:WORST]
        if worst:
            classes = ", ".join(f"{key} {points(lost[key])}" for key in worst)
            said.append(f"{name}, {passes}: most points of box mAP lost: {classes}")
    return said


def class_table(entries: Sequence[EngineFigures], width: int | None = None) -> Table:
    """Return one row per class: box and mask mAP50-95 of each engine, in points."""
    columns: list[Column[str]] = [Column("class", lambda name: name, words=True, key=True)]
    columns += [
        Column(f"{name}, {passes}", _per_class(entry))
        for (name, passes), entry in zip(_names(entries), entries, strict=True)
    ]
    classes = list(entries[0].box.per_class)
    title = "mAP50-95 per class, points (box / mask)"
    return terminal_table(RowTable(title, columns, classes), width=width)


def _per_class(entry: EngineFigures) -> Callable[[str], str]:
    box, mask = entry.box, entry.mask
    score: Column[float | None] = Column("", lambda value: value, points)

    def take(name: str) -> str:
        values = (box.per_class[name], mask.per_class[name] if mask else None)
        return " / ".join(score.cell(value, "terminal") for value in values)

    return take


def _names(entries: Sequence[EngineFigures]) -> list[tuple[str, str]]:
    """Return the short name and the pass of each entry."""
    files = [entry.engine for entry in entries]
    short = short_names(list(dict.fromkeys(files)))
    return [(short[name], entry.mode) for name, entry in zip(files, entries, strict=True)]


def _interval(difference: Difference) -> str | None:
    if difference.low is None or difference.high is None:
        return None
    ends = " to ".join(signed_points(-end) for end in (difference.high, difference.low))
    return ends + (" (noise)" if difference.within_noise else "")
