"""Labels in pictures: as large as the picture needs, on free places, and none lost without a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.arrays import Frame
from yolotrt.geometry.detections import Detections

Color = tuple[int, int, int]
Area = tuple[int, int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_UNIT = 22
"""Height of a capital of this font at scale 1, px."""

_SHARE = 1 / 60
"""Height of a capital as part of the picture's shorter side: 36 px at 4K, 9 in a quarter of that."""

_LEAST = 8
"""Least height of a capital that can be read, px."""

_SMALLER = (1.0, 0.6)
"""Sizes that are tried, as shares of the usual one."""

_WIDEST = 4.0
"""A label wider than so many times its object would hide its neighbours."""


def draw_labels(
    canvas: Frame,
    detections: Detections,
    names: Sequence[str],
    labels: Sequence[str],
    colors: Sequence[Color],
    order: Sequence[int],
) -> None:
    """Draw the label of each detection, the most certain first; count those without a free place.

    Args:
        canvas: (h, w, 3) uint8, drawn on.
        detections: In px of the canvas.
        names: Class names by index, safe to show.
        labels: What is written at each detection.
        colors: Of each detection, BGR.
        order: Of the detections, the most certain first.
    """
    usual = max(_LEAST, min(canvas.shape[:2]) * _SHARE)
    taken: list[Area] = []
    left_out: Counter[str] = Counter()
    for i in order:
        name = names[int(detections.classes[i])]
        if not _placed(canvas, labels[i], detections.boxes[i], colors[i], usual, taken):
            left_out[name] += 1
    if left_out:
        listed = ", ".join(f"{count} {name}" for name, count in left_out.most_common(5))
        more = ", ..." if len(left_out) > 5 else ""
        text = f"+{left_out.total()} without a label: {listed}{more}"
        scale, width, tall, _, _ = _measured(text, usual)
        if width > canvas.shape[1]:
            scale, width, tall, _, _ = _measured(text, max(4.0, usual * canvas.shape[1] / width))
        _write(canvas, text, (0, canvas.shape[0] - tall), scale, (40, 40, 40))


def _placed(
    canvas: Frame, label: str, box: npt.NDArray[np.float32], color: Color, usual: float, taken: list[Area]
) -> bool:
    for share in _SMALLER:
        scale, width, tall, _, _ = _measured(label, max(_LEAST, usual * share))
        if width > _WIDEST * max(float(box[2] - box[0]), 1.0):
            continue
        for x, y in _places(canvas, box, width, tall):
            area = (x, y, x + width, y + tall)
            if not any(_meet(area, other) for other in taken):
                taken.append(area)
                _write(canvas, label, (x, y), scale, color)
                return True
    return False


def _places(canvas: Frame, box: npt.NDArray[np.float32], width: int, tall: int) -> Iterator[tuple[int, int]]:
    """Give upper left corners around a box: above it, at its top inside, below it, at its bottom inside."""
    height, right = canvas.shape[0], max(0, canvas.shape[1] - width)
    left, top, far, bottom = (round(float(v)) for v in box)
    for x in dict.fromkeys((min(max(left, 0), right), min(max(far - width, 0), right))):
        for y in (top - tall, top, bottom, bottom - tall):
            if 0 <= y <= height - tall:
                yield x, y


def _measured(text: str, capital: float) -> tuple[float, int, int, int, int]:
    """Return scale, width and height with margins, stroke and descent, px, for capitals of a height."""
    scale = capital / _UNIT
    stroke = max(1, round(capital / 10))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, stroke)
    margin = max(1, round(capital / 5))
    return scale, width + 2 * margin, height + below + margin, stroke, below


def _write(canvas: Frame, text: str, corner: tuple[int, int], scale: float, color: Color) -> None:
    _, width, tall, stroke, below = _measured(text, scale * _UNIT)
    x, y = corner
    cv2.rectangle(canvas, (x, y), (x + width, y + tall), color, cv2.FILLED)
    ink = (0, 0, 0) if sum(color) > 380 else (255, 255, 255)
    margin = max(1, round(scale * _UNIT / 5))
    cv2.putText(canvas, text, (x + margin, y + tall - below), _FONT, scale, ink, stroke, cv2.LINE_AA)


def _meet(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
