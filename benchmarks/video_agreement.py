"""How far detections of the same frames, read in two ways, are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.data.colours import BT601, BT709, FULL_RANGE, VIDEO_RANGE, matrix_of
from yolotrt.data.pixels import has_full_range
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.mask import Mask

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

EXACT = 2 | 0x2000 | 0x40000
"""FFmpeg's SWS_BILINEAR, SWS_FULL_CHR_H_INT and SWS_ACCURATE_RND: interpolates colours, rounds levels."""

IOU, SCORE = 0.98, 0.02
"""What agrees."""


def exact_bgr(frame: VideoFrame) -> Frame:
    """Return a frame as BGR by FFmpeg's exact conversion, which is many times slower than its usual one."""
    from av.video.reformatter import VideoReformatter

    matrix = matrix_of(int(frame.colorspace), frame.height)
    picture = VideoReformatter().reformat(
        frame,
        format="bgr24",
        src_colorspace=matrix,
        dst_colorspace=BT709 if matrix == BT601 else BT601,
        src_color_range=FULL_RANGE if has_full_range(frame) else VIDEO_RANGE,
        dst_color_range=FULL_RANGE,
        interpolation=EXACT,
    )
    return np.asarray(picture.to_ndarray(), np.uint8)


def agreement(wanted: Sequence[Detections], found: Sequence[Detections]) -> dict[str, Any]:
    """Match each object to the one of its class that overlaps it most, and compare masks and scores.

    Returns:
        Objects of both, those without a match, and of the matched: how many agree, the IoU of each pair of
        masks and the difference of each pair of scores.
    """
    ious: list[float] = []
    scores: list[float] = []
    alone = 0
    for one, other in zip(wanted, found, strict=True):
        overlap = box_overlap(one.boxes, other.boxes) * (one.classes[:, None] == other.classes[None])
        for i in range(len(one)):
            j = int(overlap[i].argmax()) if len(other) else 0
            if not len(other) or overlap[i, j] < 0.5:
                alone += 1
                continue
            assert one.masks is not None
            assert other.masks is not None
            ious.append(mask_iou(one.masks[i], other.masks[j]))
            scores.append(float(abs(one.scores[i] - other.scores[j])))
    good = np.array(ious) >= IOU
    near = np.array(scores) <= SCORE
    return {
        "objects": [sum(map(len, wanted)), sum(map(len, found))], "without_match": alone,
        "agree": int((good & near).sum()), "mask_iou": [round(x, 4) for x in sorted(ious)],
        "score_difference": [round(x, 4) for x in sorted(scores)],
    }  # fmt: skip


def mask_iou(one: Mask, other: Mask) -> float:
    """Return the IoU of two masks in px of one frame; 1 if both are empty."""
    left, top = min(one.x, other.x), min(one.y, other.y)
    right = max(m.x + m.bits.shape[1] for m in (one, other))
    bottom = max(m.y + m.bits.shape[0] for m in (one, other))
    drawn = np.zeros((2, bottom - top, right - left), np.bool_)
    for into, m in zip(drawn, (one, other), strict=True):
        into[m.y - top : m.y - top + m.bits.shape[0], m.x - left : m.x - left + m.bits.shape[1]] = m.bits
    either = int((drawn[0] | drawn[1]).sum())
    return int((drawn[0] & drawn[1]).sum()) / either if either else 1.0
