"""The table of an annotated video: all tiles against chosen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.report.columns import Column, RowTable
from yolotrt.report.figures import milliseconds
from yolotrt.report.fitting import terminal_table
from yolotrt.workflow.tile_trial import Percentiles, WayFigures
from yolotrt.workflow.video_accuracy import VideoAccuracy

if TYPE_CHECKING:
    from rich.table import Table


def _tenths(value: float) -> str:
    return f"{value * 100:.1f}"


def _frames(value: Percentiles) -> str:
    return f"{value.p50:.0f} / {value.p95:.0f}"


WAYS: tuple[Column[WayFigures], ...] = (
    Column("tiles", lambda w: w.tiles, words=True, key=True),
    Column("run on average", lambda w: None if w.use is None else w.use.on_average, "{:.1f}".format),
    Column(
        "all ran in", lambda w: None if w.use is None else w.use.all / w.use.frames, "{:.0%}".format, rank=3
    ),
    Column("found", lambda w: w.recall, _tenths, unit="%"),
    Column("small found", lambda w: w.small_recall, _tenths, unit="%"),
    Column("first seen after p50 / p95", lambda w: w.delay, _frames, unit="frames", rank=2),
    Column("later than all tiles p50 / p95", lambda w: w.later, _frames, unit="frames"),
    Column("never seen", lambda w: w.missed, rank=4),
    Column("IDF1", lambda w: w.identities and w.identities.idf1, _tenths, unit="%", rank=1),
    Column("HOTA", lambda w: w.identities and w.identities.hota, _tenths, unit="%", rank=1),
    Column("p50", lambda w: w.latency and w.latency.p50, milliseconds, unit="ms"),
    Column("choosing", lambda w: w.decide, milliseconds, unit="ms", rank=5),
)


def video_table(found: VideoAccuracy, width: int | None = None) -> Table:
    """Return a row for each way to choose tiles."""
    wide, high = found.frame_wh
    title = f"{found.engine} on {found.video}: {found.frames} frames of {wide}x{high} px, {found.mode}"
    return terminal_table(RowTable(title, WAYS, found.ways), width=width)
