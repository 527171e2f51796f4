"""The eight classes of shapes: outlines, exact rasterisation and fills.

Everything is integer arithmetic. A pixel belongs to a shape if its centre lies inside the outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np

from yolotrt.arrays import I64, U8, Bits
from yolotrt.data.scenes.draws import TURN, UNIT, Draws, average, clipped, cosine, ramp, sine

Bgr = tuple[int, int, int]

CLASS_NAMES = ("disc", "ring", "square", "triangle", "star", "cross", "crescent", "heart")
"""Class names by index."""

SUBPIXEL = 256
"""Positions are in 1/256 px."""

_RADIUS = 4096
"""Half the size of a shape in the units of its outline."""


@dataclass(frozen=True)
class Outline:
    """A shape before it is turned, scaled and placed, in a circle of radius 4096 around (0, 0).

    Attributes:
        body: (n, 2) int64 corners x, y; y points down.
        cut: A polygon taken out of the body, or None.
    """

    body: I64
    cut: I64 | None = None


@dataclass(frozen=True)
class Fill:
    """How a shape is coloured.

    Attributes:
        colours: (256, 3) uint8 BGR, run through along the field.
        field: ``linear`` across the shape, ``radial`` from its centre.
        angle: Direction of a linear field, of :data:`~yolotrt.data.scenes.draws.TURN` steps.
        rim: Colour of the outline, or None for none.
        rim_width: Width of the outline, px.
    """

    colours: U8
    field: Literal["linear", "radial"]
    angle: int
    rim: Bgr | None
    rim_width: int


@dataclass(frozen=True)
class Sprite:
    """A drawn shape, not yet cut to the frame.

    Attributes:
        x: Column of its left edge in the frame, px; may be negative.
        y: Row of its upper edge in the frame, px; may be negative.
        bits: (h, w) bool, the pixels it owns.
        alpha: (h, w) uint8 coverage, soft at the edge.
        bgr: (h, w, 3) uint8 colours.
    """

    x: int
    y: int
    bits: Bits
    alpha: U8
    bgr: U8


def outline(class_id: int, draws: Draws) -> Outline:
    """Return an outline of the class, varied within what still is that class."""
    name = CLASS_NAMES[class_id]
    if name == "disc":
        return Outline(_circle())
    if name == "ring":
        return Outline(_circle(), _circle() * draws.between(42, 62) // 100)
    if name == "square":
        return Outline(_star(4, 1000))
    if name == "triangle":
        return Outline(_star(3, 1000))
    if name == "star":
        return Outline(_star(5, draws.between(400, 520)))
    if name == "cross":
        return Outline(_cross(draws.between(28, 40)))
    if name == "crescent":
        shift = draws.between(34, 50) * _RADIUS // 100
        return Outline(_circle(), _circle() * draws.between(78, 88) // 100 + np.array([shift, 0]))
    return Outline(_heart())


def random_fill(draws: Draws, base: Bgr, size: int) -> Fill:
    """Return a flat, shaded, striped or two-tone fill that starts from the colour ``base``.

    Shapes below 40 px get calm fills: a few pixels cannot show both a pattern and a form.
    """
    spread = 70 if size >= 40 else 25
    other = tuple(clipped(c + draws.between(-spread, spread)) for c in base)
    partner: Bgr = (other[0], other[1], other[2])
    style = draws.one_of(("flat", "shaded", "shaded", "shaded", "striped", "two-tone"))
    colours = ramp([base, base if style == "flat" else partner])
    if style in ("striped", "two-tone") and size >= 40:
        band = (np.arange(256) >> (5 if style == "striped" else 7)) & 1
        colours = np.where(band[:, None] == 1, colours[255], colours[0])
    rim: Bgr | None = None
    if size >= 28 and draws.chance(45):
        step = draws.one_of((-80, -60, 70, 110))
        rim = (clipped(base[0] + step), clipped(base[1] + step), clipped(base[2] + step))
    field: Literal["linear", "radial"] = "radial" if draws.chance(30) else "linear"
    width = max(1, size * draws.between(3, 6) // 100)
    return Fill(colours, field, draws.between(0, TURN - 1), rim, width)


def draw_sprite(shape: Outline, fill: Fill, size: int, angle: int, centre: tuple[int, int]) -> Sprite:
    """Rasterise and colour a shape.

    Args:
        shape: Its outline.
        fill: Its colours.
        size: Diameter of the circle around it, px.
        angle: Its rotation, of :data:`~yolotrt.data.scenes.draws.TURN` steps.
        centre: Its centre (x, y) in the frame, 1/256 px.
    """
    margin = 3
    x, y = ((c // SUBPIXEL) - size // 2 - margin for c in centre)
    side = 2 * (size // 2 + margin) + 1
    origin = np.array([centre[0] - x * SUBPIXEL, centre[1] - y * SUBPIXEL])
    bits = _rasterise(_placed(shape.body, size, angle) + origin, side)
    if shape.cut is not None:
        bits &= ~_rasterise(_placed(shape.cut, size, angle) + origin, side)
    field = _field(fill, side, size, angle)
    bgr: U8 = cv2.LUT(cv2.merge([field, field, field]), fill.colours[None])  # type: ignore[assignment]
    if fill.rim is not None:
        bgr[bits & ~_eroded(bits, fill.rim_width)] = fill.rim
    return Sprite(x, y, bits, _softened(bits), bgr)


def _placed(polygon: I64, size: int, angle: int) -> I64:
    """Return a polygon turned and scaled, in 1/256 px around its centre."""
    cos, sin = cosine(angle), sine(angle)
    turned = np.stack(
        [polygon[:, 0] * cos - polygon[:, 1] * sin, polygon[:, 0] * sin + polygon[:, 1] * cos], axis=1
    )
    result: I64 = turned * (size * SUBPIXEL) // (2 * _RADIUS * UNIT)
    return result


def _rasterise(polygon: I64, side: int) -> Bits:
    """Fill a polygon by the even-odd rule: (n, 2) corners in 1/256 px to (side, side) bool.

    Each edge toggles, in every row whose centre it crosses, the pixels right of the crossing.
    """
    half = SUBPIXEL // 2
    ends = np.stack([polygon, np.roll(polygon, -1, axis=0)])
    down = ends[0, :, 1] <= ends[1, :, 1]
    (x0, y0), (x1, y1) = (np.where(down, a, b) for a, b in ((ends[0].T, ends[1].T), (ends[1].T, ends[0].T)))
    first, last = (np.clip(-((half - y) // SUBPIXEL), 0, side) for y in (y0, y1))
    crossed = last - first
    edge = np.repeat(np.arange(len(polygon)), crossed)
    row = np.arange(len(edge)) + np.repeat(first - np.cumsum(crossed) + crossed, crossed)
    rise = np.maximum(y1 - y0, 1)  # level edges cross no row
    crossing = x0[edge] + (row * SUBPIXEL + half - y0[edge]) * (x1 - x0)[edge] // rise[edge]
    toggles = np.zeros((side, side + 1), np.uint8)
    np.bitwise_xor.at(toggles, (row, np.clip(-((half - crossing) // SUBPIXEL), 0, side)), 1)
    inside: Bits = np.bitwise_xor.accumulate(toggles, axis=1)[:, :side].astype(np.bool_)
    return inside


def _field(fill: Fill, side: int, size: int, angle: int) -> U8:
    """Return where each pixel lies on the fill's colours, 0 to 255."""
    radius = max(size // 2, 1)
    along = np.arange(side, dtype=np.int32) - side // 2
    if fill.field == "radial":
        square = along * along
        field = (square[:, None] + square[None, :]) * 255 // (radius * radius)
    else:
        turn = fill.angle + angle
        step = (128 << 8) // radius
        columns = (along * (cosine(turn) >> 8)) * step >> 8
        rows = (along * (sine(turn) >> 8)) * step >> 8
        field = (rows[:, None] + columns[None, :] >> 8) + 128
    result: U8 = np.clip(field, 0, 255).astype(np.uint8)
    return result


def _eroded(bits: Bits, width: int) -> Bits:
    """Return the pixels whose eight neighbours at this distance are all inside."""
    height, columns = bits.shape
    padded = np.pad(bits, width)
    result: Bits = bits.copy()
    for angle in range(0, TURN, TURN // 8):
        x = width + width * cosine(angle) // UNIT
        y = width + width * sine(angle) // UNIT
        result &= padded[y : y + height, x : x + columns]
    return result


def _softened(bits: Bits) -> U8:
    """Return the mask's coverage with an edge about two pixels wide."""
    soft: U8 = bits * np.uint8(255)
    for axis in (0, 1):
        before = average(soft, np.roll(soft, 1, axis))
        soft = average(before, np.roll(before, -1, axis))
    return soft


@cache
def _circle() -> I64:
    steps = range(0, TURN, 8)
    return np.array([[cosine(a) * _RADIUS // UNIT, sine(a) * _RADIUS // UNIT] for a in steps])


def _star(points: int, inner: int) -> I64:
    """Return a star; ``inner`` is its inner radius in thousandths, 1000 for a regular polygon."""
    corners = []
    for i in range(points if inner == 1000 else 2 * points):
        step = 1 if inner == 1000 else 2
        radius = _RADIUS if i % step == 0 else _RADIUS * inner // 1000
        turn = i * TURN // (points * step)
        corners.append([sine(turn) * radius // UNIT, -cosine(turn) * radius // UNIT])
    return np.array(corners)


def _cross(arm: int) -> I64:
    """Return a plus sign; ``arm`` is half its arm's width in percent of its radius."""
    far, near = _RADIUS * 91 // 100, _RADIUS * arm // 100
    quarter = [(near, -far), (near, -near), (far, -near)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return np.array(corners)


@cache
def _heart() -> I64:
    """Return the curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    corners = []
    for t in range(0, TURN, 8):
        x = 16 * sine(t) ** 3 // UNIT**2
        y = 13 * cosine(t) - 5 * cosine(2 * t) - 2 * cosine(3 * t) - cosine(4 * t)
        # Shifted by 1, the curve fits a circle of radius 17.4.
        corners.append([10 * x * _RADIUS // (174 * UNIT), -10 * (y + UNIT) * _RADIUS // (174 * UNIT)])
    return np.array(corners)
