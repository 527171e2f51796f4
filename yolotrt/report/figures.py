"""How figures are written, on every medium."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolotrt.bench.statistics import Interval, Ratio

NOT_MEASURED = "-"

LARGE = 3.0
"""From this ratio on, a change is said in times and not in percent."""


def milliseconds(seconds: float) -> str:
    """Return milliseconds with three significant digits or more."""
    value = seconds * 1e3
    return (
        f"{value:.3f}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else f"{value:.0f}"
    )


def quantiles_text(values: Sequence[float | None]) -> str:
    """Return milliseconds of several statistics; one that too few frames cannot tell is a ``-``."""
    return " / ".join(NOT_MEASURED if value is None else milliseconds(value) for value in values)


def milliseconds_exactly(seconds: float) -> float:
    """Return milliseconds as a number for a program, to a nanosecond."""
    return round(seconds * 1e3, 6)


def interval_text(interval: Interval) -> str:
    """Return an interval in milliseconds."""
    return " to ".join(milliseconds(end) for end in interval)


def points(value: float) -> str:
    """Return a score in [0, 1] in points."""
    return f"{value * 100:.2f}"


def signed_points(value: float) -> str:
    """Return a difference of scores in [-1, 1] in points, with its sign."""
    return signed(value * 100, 2)


def mebibytes(size: float) -> str:
    """Return bytes in MiB."""
    return f"{size / 2**20:.0f}"


def signed(value: float, digits: int) -> str:
    """Return a number with its sign; what rounds to zero is ``+0.00``, never ``-0.00``."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def signed_percent(ratio: float, interval: Interval | None = None) -> str:
    """Return a ratio as a change: 1.05 is ``+5.0 %``; one that is large as what it is: 73.6 is ``74x``.

    With its interval both are said in the same way, here and by :func:`interval_percent`.
    """
    return _times(ratio) if _is_large(ratio, interval) else f"{signed((ratio - 1) * 100, 1)} %"


def _is_large(ratio: float, interval: Interval | None) -> bool:
    return max(ratio, interval.high if interval else ratio) >= LARGE


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def interval_percent(interval: Interval | None, ratio: float = 0.0) -> str:
    """Return an interval of ratios as changes, in the way in which the ratio itself is said."""
    if interval is None:
        return NOT_MEASURED
    if _is_large(ratio, interval):
        return f"{_times(interval.low)} to {_times(interval.high)}"
    return " to ".join(signed((end - 1) * 100, 1) for end in interval) + " %"


def ratio_text(ratio: Ratio | None) -> str:
    """Return ``1.31x``, with a tilde in front where its interval contains 1: it may be no difference."""
    if ratio is None:
        return NOT_MEASURED
    return f"{'' if ratio.certain or ratio.interval is None else '~'}{ratio.value:.2f}x"
