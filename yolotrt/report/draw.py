"""Pictures with detections: masks, outlines, boxes and labels that stay readable at any size."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.arrays import Frame
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.text import visible

MASK_OPACITY = 0.4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHADES = (1.0, 0.78, 0.6)
"""Brightness of the colours of one class, in turn, so that neighbours in a crowd can be told apart."""

Color = tuple[int, int, int]
Area = tuple[int, int, int, int]


def draw(image: Frame, detections: Detections, names: Sequence[str]) -> Frame:
    """Return a copy of the image with every detection drawn, the most certain on top.

    In a crowd the labels of the most certain ones are drawn; those without a free place are left out.

    Args:
        image: (h, w, 3) uint8, BGR.
        detections: In px of the image.
        names: Class names by index.
    """
    canvas: Frame = image.copy()
    names = [visible(name) for name in names]
    pen = max(1, round(min(image.shape[:2]) / 720))
    order = np.argsort(-detections.scores, kind="stable").tolist()
    colors = _instance_colors(detections, order, len(names))
    for i in reversed(order):
        if detections.masks is not None:
            _draw_mask(canvas, detections.masks[i], colors[i], pen)
        left, top, right, bottom = (round(float(v)) for v in detections.boxes[i])
        cv2.rectangle(canvas, (left, top), (right, bottom), colors[i], pen, cv2.LINE_AA)
    taken: list[Area] = []
    for i in order:  # labels last: no mask may cover them
        label = f"{names[int(detections.classes[i])]} {detections.scores[i]:.2f}"
        _draw_label(canvas, label, detections.boxes[i], colors[i], pen, taken)
    return canvas


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


def _draw_label(
    canvas: Frame, label: str, box: npt.NDArray[np.float32], color: Color, pen: int, taken: list[Area]
) -> None:
    """Draw a label above its box, or inside it at the top, and note its place; nothing if both are taken."""
    scale = 0.36 + 0.14 * pen
    (width, height), below = cv2.getTextSize(label, _FONT, scale, pen)
    if box[2] - box[0] < width / 3:  # a label three times as wide as its object would hide its neighbours
        return
    tall = height + below
    x = int(np.clip(box[0], 0, max(0, canvas.shape[1] - width)))
    for y in (int(box[1]), int(box[1]) + tall):  # of the label's lower edge
        area = (x, y - tall, x + width, y)
        if y >= tall and y <= canvas.shape[0] and not any(_meet(area, other) for other in taken):
            break
    else:
        return
    taken.append(area)
    cv2.rectangle(canvas, area[:2], area[2:], color, cv2.FILLED)
    dark = sum(color) > 380
    text = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(canvas, label, (x, y - below // 2), _FONT, scale, text, pen, cv2.LINE_AA)


def _meet(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
