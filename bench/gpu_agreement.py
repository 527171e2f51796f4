"""Whether the GPU pipeline finds what the CPU pipeline finds, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yolotrt.backends.base import Engine
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.mask import shared_pixels
from yolotrt.pipeline.device import DevicePipeline
from yolotrt.pipeline.device_share import Gpu
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline


def agreement(
    gpu: Gpu, on_cpu: Engine, images: Sequence[Any], settings: PipelineSettings, threads: int
) -> dict[str, Any]:
    """Compare both pipelines on whole frames, after merging.

    A detection whose score is within 0.01 of the threshold may be on one side only.
    """
    cpu = PipelineSettings(
        settings.mode, overlap=settings.overlap, cpu_threads=threads, decode=settings.decode,
        merge=settings.merge,
    )  # fmt: skip
    totals: dict[str, list[float]] = {"box_px": [], "mask_iou": [], "score": []}
    counts = {"cpu": 0, "gpu": 0, "matched": 0, "unmatched_beyond_threshold": 0}
    with TiledPipeline(on_cpu, cpu) as reference, DevicePipeline([gpu], settings) as pipeline:
        for image in images:
            expected, found = reference(image).detections, pipeline(image).detections
            _compare(expected, found, settings.decode.conf, totals, counts)
    boxes, masks = np.array(totals["box_px"]), np.array(totals["mask_iou"])
    return {
        "images": len(images),
        "mode": settings.mode,
        **counts,
        "box_px_max": float(boxes.max(initial=0)),
        "box_px_p99": float(np.percentile(boxes, 99)) if len(boxes) else None,
        "mask_iou_min": float(masks.min(initial=1)),
        "mask_iou_p1": float(np.percentile(masks, 1)) if len(masks) else None,
        "score_max": float(np.max(totals["score"], initial=0)),
    }


def _compare(
    expected: Detections,
    found: Detections,
    conf: float,
    totals: dict[str, list[float]],
    counts: dict[str, int],
) -> None:
    counts["cpu"] += len(expected)
    counts["gpu"] += len(found)
    overlap = box_overlap(expected.boxes, found.boxes)
    overlap[expected.classes[:, None] != found.classes[None]] = 0
    free = np.ones(len(found), bool)
    for i in range(len(expected)):
        j = int(np.argmax(overlap[i] * free)) if len(found) else -1
        if j < 0 or overlap[i, j] * free[j] < 0.5:
            counts["unmatched_beyond_threshold"] += bool(expected.scores[i] > conf + 0.01)
            continue
        free[j] = False
        counts["matched"] += 1
        totals["box_px"].append(float(np.abs(expected.boxes[i] - found.boxes[j]).max()))
        totals["score"].append(float(abs(expected.scores[i] - found.scores[j])))
        a, b = (expected.masks or ())[i], (found.masks or ())[j]
        both = shared_pixels(a, b)
        union = a.area + b.area - both
        totals["mask_iou"].append(both / union if union else 1.0)
    counts["unmatched_beyond_threshold"] += int(np.count_nonzero(found.scores[free] > conf + 0.01))
