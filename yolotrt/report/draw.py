"""Pictures with detections: masks, outlines, boxes and labels that stay readable at any size."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.geometry.detections import Detections, Mask

Picture = npt.NDArray[np.uint8]

MASK_OPACITY = 0.45
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(image: Picture, detections: Detections, names: Sequence[str]) -> Picture:
    """Return a copy of the image with every detection drawn, the most certain on top.

    Args:
        image: (h, w, 3) uint8, BGR.
        detections: In px of the image.
        names: Class names by index.
    """
    canvas: Picture = image.copy()
    pen = max(1, round(min(image.shape[:2]) / 720))
    order = np.argsort(detections.scores, kind="stable")
    for i in order:
        color = class_color(int(detections.classes[i]), len(names))
        if detections.masks is not None:
            _draw_mask(canvas, detections.masks[i], color, pen)
        left, top, right, bottom = (round(float(v)) for v in detections.boxes[i])
        cv2.rectangle(canvas, (left, top), (right, bottom), color, pen, cv2.LINE_AA)
    for i in order:  # labels last: no mask may cover them
        color = class_color(int(detections.classes[i]), len(names))
        label = f"{names[int(detections.classes[i])]} {detections.scores[i]:.2f}"
        _draw_label(canvas, label, detections.boxes[i], color, pen)
    return canvas


def class_color(index: int, count: int) -> tuple[int, int, int]:
    """Return a BGR colour; neighbouring classes get hues far apart (golden-ratio steps)."""
    hue = (index * 0.618034 + 0.05) % 1.0
    value = 1.0 if index % 2 == 0 or count < 8 else 0.85
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.78, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_mask(canvas: Picture, mask: Mask, color: tuple[int, int, int], pen: int) -> None:
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
    canvas: Picture, label: str, box: npt.NDArray[np.float32], color: tuple[int, int, int], pen: int
) -> None:
    scale = 0.36 + 0.14 * pen
    (width, height), below = cv2.getTextSize(label, _FONT, scale, pen)
    if box[2] - box[0] < width / 3:  # a label three times as wide as its object would hide its neighbours
        return
    x = int(np.clip(box[0], 0, max(0, canvas.shape[1] - width)))
    y = int(box[1]) if box[1] > height + below else int(min(box[1] + height + below, canvas.shape[0]))
    cv2.rectangle(canvas, (x, y - height - below), (x + width, y), color, cv2.FILLED)
    dark = sum(color) > 380
    cv2.putText(
        canvas,
        label,
        (x, y - below // 2),
        _FONT,
        scale,
        (0, 0, 0) if dark else (255, 255, 255),
        pen,
        cv2.LINE_AA,
    )
