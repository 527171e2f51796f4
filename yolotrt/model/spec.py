"""What the rest of the toolkit needs to know about a YOLO segmentation model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from yolotrt.artifacts.fields import Few, Share

MAX_SIDE = 16_384
"""Largest input size, batch size and number of mask coefficients."""

MIN_SIDE = 32
"""Smallest input size: the usual largest stride."""

InputSide = Annotated[int, Meta(ge=MIN_SIDE, le=MAX_SIDE)]
Names = Annotated[tuple[str, ...], Meta(min_length=1)]

Precision = Literal["fp32", "fp16", "int8", "fp8"]
"""What a network computes its layers in, the narrowest if it is mixed."""

Head = Literal["raw", "end2end"]
"""``raw``: (B, 4 + classes + coefficients, anchors), xywh boxes, needs NMS.
``end2end``: (B, detections, 6 + coefficients), xyxy boxes, score, class; no NMS inside one image."""


@dataclass(frozen=True)
class ModelSpec:
    """The interface of a YOLO-seg network, read from its ONNX file and not from its name.

    Attributes:
        name: Short name for tables and file names, such as ``yolo11n-seg``.
        names: Class names by index.
        input_name: The image input, (B, 3, height, width), RGB in [0, 1].
        input_wh: Width and height of the input, px.
        batch: Fixed batch size, or None when the batch dimension is dynamic.
        head: Which detection head the graph ends in.
        head_output: Name of the detection output.
        proto_output: Name of the prototype output, (B, mask_coeffs, height/4, width/4).
        mask_coeffs: Number of mask coefficients (and prototypes), usually 32.
        stride: Largest stride of the network, px.
        own_nms: Least score that non-maximum suppression inside the network lets through, 0 if that is not
            known; None if there is no suppression in the network.
    """

    name: str
    names: Names
    input_name: str
    input_wh: tuple[InputSide, InputSide]
    batch: Few | None
    head: Head
    head_output: str
    proto_output: str
    mask_coeffs: Few
    stride: Few
    own_nms: Share | None = None
