"""yolotrt: fast YOLO segmentation on NVIDIA GPUs, measured honestly.

In an application, one object replaces the thread pool around the engine::

    import cv2

    from yolotrt import TiledPipeline

    frame = cv2.imread("street.jpg")
    with TiledPipeline.open("engine.onnx", groups=4, dispatch="threads") as pipeline:
        result = pipeline(frame)
        found = result.detections
        for box, score, index in zip(found.boxes, found.scores, found.classes):
            left, top, right, bottom = box
            print(f"{pipeline.names[index]} {score:.2f} at {left:.0f},{top:.0f}")
        for mask in found.masks:
            frame[mask.y : mask.y + mask.bits.shape[0], mask.x : mask.x + mask.bits.shape[1]][mask.bits] = 255
        print(f"{result.trace.seconds('end_to_end') * 1e3:.1f} ms")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from yolotrt.distribution import __version__

# From 1.29 on ONNX Runtime tells its maker about every network that it loads (names, hashes, times): threads,
# sockets and a database that nobody asked for. It reads this when it is imported, so it has to be set here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from yolotrt.pipeline.tiled import FrameResult as FrameResult
    from yolotrt.pipeline.tiled import PipelineSettings as PipelineSettings
    from yolotrt.pipeline.tiled import TiledPipeline as TiledPipeline

_PIPELINE = ("FrameResult", "PipelineSettings", "TiledPipeline")
__all__ = ["__version__", *_PIPELINE]


def __getattr__(name: str) -> Any:
    """Import the pipeline when it is first asked for: ``import yolotrt`` alone stays free."""
    if name not in _PIPELINE:
        raise AttributeError(f"module 'yolotrt' has no attribute {name!r}")
    from yolotrt.pipeline import tiled

    return getattr(tiled, name)
