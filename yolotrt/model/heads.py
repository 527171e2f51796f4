"""Which detection head a network ends in, decided from everything that is known about it.

The number of columns alone decides nothing: with two classes a transposed raw head has as many as an
end-to-end head, and with one class YOLOv5's and YOLOv7's have. What tells them apart is the number of
rows, which for all but the end-to-end head is that of the cells of the input. Where even that is the same
(end to end, a small input has no more detections than it has cells), the metadata and the graph decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from yolotrt.errors import ModelError
from yolotrt.model.interface import Interface
from yolotrt.model.names import parse_names

LEVELS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (4, 8, 16, 32, 64), (16, 32))
"""Strides of the levels of YOLO's heads: usual, P6, P2, both, and the small ones of tiny models."""

BOXES_PER_CELL = 3
"""Of the anchor-based heads of YOLOv5 and YOLOv7."""

Form = Literal["raw", "end2end", "transposed"]
"""A head that can be used; ``transposed`` is a raw head as (anchors, 4 + classes + coefficients)."""

SELECTING = ("TopK", "NonMaxSuppression", "ArgMax")
"""Operators that pick the best detections: no raw head has them behind it."""

NEWER = "Export a YOLOv8-seg, YOLO11-seg, YOLO26-seg or newer model: yolotrt export WEIGHTS.pt"


@dataclass(frozen=True)
class FoundHead:
    """A head that was recognised.

    Attributes:
        form: What it is.
        classes: Number of classes; None where the head does not tell.
        stride: Largest stride, px; None where the head does not tell.
    """

    form: Form
    classes: int | None
    stride: int | None


@dataclass(frozen=True)
class Evidence:
    """What is known besides the shape.

    Attributes:
        selects: Whether the network itself picks the best detections; None if nothing tells.
        names: Number of class names; None without any.
    """

    selects: bool | None
    names: int | None


def evidence_of(interface: Interface, known: Form | None = None) -> Evidence:
    """Return what metadata and operators say about a head.

    Args:
        interface: The network's.
        known: What the head was found to be when the network could be looked into.
    """
    properties = interface.properties
    names = parse_names(properties.get("names", ""))
    said = properties.get("end2end", "").lower() == "true" or has_own_nms(properties)
    picks = interface.operators is not None and not interface.operators.isdisjoint(SELECTING)
    if known is not None:
        selects: bool | None = known == "end2end"
    elif said or picks:
        selects = True
    else:
        selects = None if interface.operators is None else False
    return Evidence(selects, len(names) if names else None)


def has_own_nms(properties: Mapping[str, str]) -> bool:
    """Whether the metadata says that non-maximum suppression is part of the network.

    Ultralytics writes its export's arguments as a Python literal.
    """
    text = properties.get("args", "").replace('"', "'").replace(" ", "").lower()
    return properties.get("nms", "").lower() == "true" or "'nms':true" in text


def cells(input_wh: tuple[int, int], strides: tuple[int, ...]) -> int:
    """Return the number of cells of all levels, one anchor each in a raw head."""
    width, height = input_wh
    return sum(-(-width // s) * -(-height // s) for s in strides)


def recognise(
    rows: int, columns: int, coeffs: int, input_wh: tuple[int, int], evidence: Evidence, name: str
) -> FoundHead:
    """Return which head a detection output is.

    Args:
        rows: Its second dimension.
        columns: Its third.
        coeffs: Number of mask coefficients.
        input_wh: Width and height of the network's input, px.
        evidence: What else is known.
        name: What to call the network in a message.

    Raises:
        ModelError: It is a head that cannot be used, which is named, or none that is known.
    """
    anchors = {cells(input_wh, strides): max(strides) for strides in LEVELS}
    boxes = {BOXES_PER_CELL * n for n in anchors}
    end2end = columns == 6 + coeffs
    if columns in anchors and rows > 4 + coeffs:
        return FoundHead("raw", rows - 4 - coeffs, anchors[columns])
    if rows in anchors and columns > 4 + coeffs:
        classes = columns - 4 - coeffs
        if not (end2end and _selected(evidence, classes)):
            return FoundHead("transposed", classes, anchors[rows])
    for count, values in ((rows, columns), (columns, rows)):
        classes = values - 5 - coeffs
        if count in boxes and classes > 0 and not (end2end and _selected(evidence, classes)):
            raise ModelError(
                f"{name} has the anchor-based head of YOLOv5-seg or YOLOv7-seg: {rows} x {columns} are "
                f"{BOXES_PER_CELL} boxes per cell with objectness, {classes} class(es) and {coeffs} mask "
                "coefficients. yolotrt reads heads without anchors.",
                hint=NEWER,
            )
    if end2end:
        return FoundHead("end2end", None, None)
    usual, p6 = (cells(input_wh, strides) for strides in LEVELS[:2])
    raise ModelError(
        f"{name} has a detection head of {rows} x {columns}, which is neither (4 + classes + {coeffs}) x "
        f"{usual} ({p6} with stride 64), as {input_wh[0]}x{input_wh[1]} px give, nor detections x "
        f"{6 + coeffs}.",
        hint=NEWER,
    )


def _selected(evidence: Evidence, classes: int) -> bool:
    """Whether a head that could be either is end to end and not the one of this many classes."""
    return evidence.selects is True or evidence.names not in (None, classes)
