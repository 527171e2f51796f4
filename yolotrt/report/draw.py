"""Pictures with detections: masks, outlines, boxes and labels that stay readable at any size."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from yolotrt.arrays import I64, Bits, Frame
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.tiles import TileGrid
from yolotrt.report.drawn_labels import Color, draw_labels
from yolotrt.text import visible

MASK_OPACITY = 0.4
TILE_COLOR = (220, 220, 220)
_SHADES = (1.0, 0.78, 0.6)
"""Brightness of the colours of one class, in turn, so that neighbours in a crowd can be told apart."""


def draw(
    image: Frame,
    detections: Detections,
    names: Sequence[str],
    *,
    line_width: int | None = None,
    labels: bool = True,
    grid: TileGrid | None = None,
    ids: I64 | None = None,
    carried: Bits | None = None,
) -> Frame:
    """Return a copy of the image with every detection drawn, the most certain on top.

    In a crowd labels move around their boxes, and get smaller. Those that find no free place even so are
    counted at the lower edge of the picture.

    Args:
        image: (h, w, 3) uint8, BGR.
        detections: In px of the image.
        names: Class names by index.
        line_width: Width of lines, px; None takes one that suits the picture's size.
        labels: Whether names and scores are drawn.
        grid: Tiles whose borders are drawn, too.
        ids: (n,) numbers of the objects, for their labels; -1 for none.
        carried: (n,) which were carried from an earlier frame: they have ``~`` in their labels.
    """
    canvas: Frame = image.copy()
    names = [visible(name) for name in names]
    pen = line_width or max(1, round(min(image.shape[:2]) / 720))
    order = np.argsort(-detections.scores, kind="stable").tolist()
    colors = _instance_colors(detections, order, len(names))
    if grid is not None:
        _draw_tiles(canvas, grid, max(1, pen // 2))
    for i in reversed(order):
        if detections.masks is not None:
            _draw_mask(canvas, detections.masks[i], colors[i], pen)
        left, top, right, bottom = (round(float(v)) for v in detections.boxes[i])
        cv2.rectangle(canvas, (left, top), (right, bottom), colors[i], pen, cv2.LINE_AA)
    if labels:
        texts = [_label(detections, names, i, ids, carried) for i in range(len(order))]
        draw_labels(canvas, detections, names, texts, [colors[i] for i in range(len(order))], order)
    return canvas


def _label(
    detections: Detections, names: Sequence[str], i: int, ids: I64 | None, carried: Bits | None
) -> str:
    number = "" if ids is None or ids[i] < 0 else f"#{ids[i]} "
    mark = "~" if carried is not None and carried[i] else ""
    return f"{mark}{number}{names[int(detections.classes[i])]} {detections.scores[i]:.2f}"


def _draw_tiles(canvas: Frame, grid: TileGrid, pen: int) -> None:
    for x, y in grid.origins:
        far = (x + grid.content_wh[0] - 1, y + grid.content_wh[1] - 1)
        cv2.rectangle(canvas, (x, y), far, TILE_COLOR, pen)


def _instance_colors(detections: Detections, order: Sequence[int], count: int) -> dict[int, Color]:
    """Return a colour for each detection: its class's hue, and shades in turn from left to right."""
    colors: dict[int, Color] = {}
    seen: dict[int, int] = {}
    for i in sorted(order, key=lambda i: float(detections.boxes[i, 0])):
        index = int(detections.classes[i])
        seen[index] = seen.get(index, -1) + 1
        blue, green, red = class_color(index, count)
        shade = _SHADES[seen[index] % len(_SHADES)]
        colors[i] = round(blue * shade), round(green * shade), round(red * shade)
    return colors


def class_color(index: int, count: int) -> Color:
    """Return a BGR colour; neighbouring classes get hues far apart (golden-ratio steps)."""
    hue = (index * 0.618034 + 0.05) % 1.0
    value = 1.0 if index % 2 == 0 or count < 8 else 0.85
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.78, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_mask(canvas: Frame, mask: Mask, color: Color, pen: int) -> None:
    height, width = mask.bits.shape
    if not height or not width:
        return
    region = canvas[mask.y : mask.y + height, mask.x : mask.x + width]
    bits = mask.bits[: region.shape[0], : region.shape[1]]
    tint = np.array(color, np.float32) * MASK_OPACITY
    region[bits] = (region[bits] * (1 - MASK_OPACITY) + tint).astype(np.uint8)
    contours, _ = cv2.findContours(bits.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shift = (mask.x, mask.y)
    cv2.drawContours(canvas, contours, -1, color, pen, cv2.LINE_AA, offset=shift)
