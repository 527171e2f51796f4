"""Just enough SVG for charts: shapes with classes, axes with round numbers, escaped text.

Charts are drawn 400 units wide: that is about what a phone shows, and two fit side by side on a screen, so
that letters have a readable size on both without any script. Colours are left to the page's style sheet
wherever they depend on light, dark or paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from yolotrt.text import html_text

WIDTH = 400.0

_DASHES = ("", "6 3", "1.5 3", "8 3 2 3")


def number(value: float) -> str:
    """Return a coordinate without needless digits."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass
class SvgCanvas:
    """An SVG picture that grows by appending shapes."""

    height: float
    width: float = WIDTH
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, color: str = "") -> None:
        """Draw a straight line."""
        ends = "".join(f' {k}="{number(v)}"' for k, v in (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)))
        stroke = f' stroke="{color}"' if color else ""
        self.parts.append(f'<line class="{style}"{ends}{stroke}/>')

    def rect(self, x: float, y: float, w: float, h: float, color: str, tip: str = "") -> None:
        """Draw a filled rectangle; ``tip`` is shown when it is pointed at."""
        box = f'x="{number(x)}" y="{number(y)}" width="{w:.2f}" height="{number(h)}"'
        self.parts.append(f'<rect {box} fill="{color}"><title>{html_text(tip)}</title></rect>')

    def mark(self, x: float, y: float, color: str, tip: str = "", radius: float = 3.5, kind: int = 0) -> None:
        """Draw a mark: filled or hollow circle, filled or hollow square, by ``kind`` 0 to 3."""
        radius += 1.5 * (kind % 2)  # so that a hollow one shows around a filled one in the same place
        size = f'x="{number(x - radius)}" y="{number(y - radius)}" width="{number(2 * radius)}"'
        shape = (
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
            if kind < 2
            else f'<rect {size} height="{number(2 * radius)}"'
        )
        paint = f'class="hollow" stroke="{color}"' if kind % 2 else f'fill="{color}"'
        end = "circle" if kind < 2 else "rect"
        self.parts.append(f"{shape} {paint}><title>{html_text(tip)}</title></{end}>")

    def path(
        self, points: Sequence[tuple[float, float]], color: str, kind: int = 0, style: str = "curve"
    ) -> None:
        """Draw a line through points: solid, dashed, dotted or dash-dotted, by ``kind`` 0 to 3."""
        steps = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        dashes = f' stroke-dasharray="{_DASHES[kind]}"' if kind else ""
        self.parts.append(f'<polyline class="{style}" points="{steps}" stroke="{color}"{dashes}/>')

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", style: str = "") -> None:
        """Write one line of text."""
        kind = f' class="{style}"' if style else ""
        self.parts.append(
            f'<text{kind} x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{html_text(text)}</text>'
        )

    def render(self, description: str) -> str:
        """Return the picture; ``description`` is what a screen reader says."""
        box = f"0 0 {number(self.width)} {number(self.height)}"
        label = html_text(description)
        return f'<svg viewBox="{box}" role="img" aria-label="{label}">{"".join(self.parts)}</svg>'


@dataclass(frozen=True)
class Scale:
    """Maps values to coordinates."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        part = (value - self.low) / ((self.high - self.low) or 1)
        return self.begin + part * (self.end - self.begin)


def round_ticks(high: float, most: int = 6) -> list[float]:
    """Return 0, a round step, twice that and so on, the last at or above ``high``."""
    if high <= 0:
        return [0.0, 1.0]
    raw = high / (most - 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * (1 - 1e-9))
    return [index * step for index in range(math.ceil(high / step - 1e-9) + 1)]


def tick_label(value: float) -> str:
    """Return a tick's value without needless digits."""
    return f"{value:.6g}"


def y_axis(canvas: SvgCanvas, scale: Scale, ticks: Sequence[float], left: float, right: float) -> None:
    """Draw horizontal grid lines with their values."""
    for tick in ticks:
        y = scale(tick)
        canvas.line(left, y, right, y, "grid")
        canvas.text(left - 6, y + 4, tick_label(tick), anchor="end", style="tick")


def x_axis(canvas: SvgCanvas, scale: Scale, ticks: Sequence[float], top: float, bottom: float) -> None:
    """Draw vertical grid lines with their values below."""
    for tick in ticks:
        x = scale(tick)
        canvas.line(x, top, x, bottom, "grid")
        anchor = "end" if tick == ticks[-1] else "middle"  # the last one would leave the picture
        canvas.text(x, bottom + 14, tick_label(tick), anchor=anchor, style="tick")
