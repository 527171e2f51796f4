"""The columns of frames that came on their own clock, and of energy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from yolotrt.bench.arrived import late
from yolotrt.bench.case import CaseResult
from yolotrt.bench.statistics import Summary
from yolotrt.report.columns import Column, Medium
from yolotrt.report.figures import milliseconds, quantiles_text
from yolotrt.report.result_row import ResultRow

SHOWN = ("p50", "p95", "p99")


def load_columns(
    cases: Iterable[CaseResult], quantiles: Sequence[str] = SHOWN
) -> tuple[Column[ResultRow], ...]:
    """Return the columns that any of the cases has figures for.

    Args:
        cases: Those of all rows.
        quantiles: What a terminal shows of the time from arrival to result.
    """
    entries = list(cases)
    paced = any(entry.arrived is not None for entry in entries)
    response: Column[ResultRow] = Column(
        "response", _of("response", *quantiles), quantiles_text, rank=2, media=("terminal",)
    )
    return (
        *((response, *ARRIVED) if paced else ()),
        *(ENERGY if any(entry.energy for entry in entries) else ()),
    )


def _of(stage: str, *names: str) -> Callable[[ResultRow], tuple[float | None, ...] | None]:
    def take(row: ResultRow) -> tuple[float | None, ...] | None:
        summary: Summary | None = row.of(stage)
        return None if summary is None else tuple(getattr(summary, name) for name in names)

    return take


def _statistic(stage: str, name: str) -> Callable[[ResultRow], float | None]:
    return lambda row: None if (found := _of(stage, name)(row)) is None else found[0]


def _late(row: ResultRow) -> tuple[int, int] | None:
    return None if row.deadline_s is None else late(row.entry, row.deadline_s)


def _dropped(row: ResultRow) -> int | None:
    return None if row.entry.arrived is None else row.entry.arrived.dropped


def _energy(row: ResultRow) -> float | None:
    return None if row.entry.energy is None else row.entry.energy.per_frame


def _watts(row: ResultRow) -> float | None:
    return None if row.entry.energy is None else row.entry.energy.watts


_PAPER: tuple[Medium, ...] = ("page", "markdown")

ARRIVED: tuple[Column[ResultRow], ...] = (
    *(Column(f"response {name}", _statistic("response", name), milliseconds, media=_PAPER) for name in SHOWN),
    Column("queued", _of("queued", "p50", "p95"), quantiles_text, rank=5, media=("terminal",)),
    *(Column(f"queued {name}", _statistic("queued", name), milliseconds, media=_PAPER) for name in SHOWN[:2]),
    Column(
        "late",
        _late,
        lambda found: f"{found[0]} of {found[1]}",
        number=lambda found: found[0],
        rank=3,
    ),
    Column("dropped", _dropped, rank=4),
)
"""From a frame's arrival on; late are those without a result at the deadline, dropped ones among them."""

ENERGY: tuple[Column[ResultRow], ...] = (
    Column("J/frame", _energy, "{:.2f}".format, rank=3),
    Column("W", _watts, "{:.0f}".format, rank=4, number=lambda value: round(value, 1)),
)
"""Of the GPUs that a case ran on."""
