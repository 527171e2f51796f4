"""yolotrt: fast YOLO segmentation on NVIDIA GPUs, measured honestly.

What is exported here, and the errors of :mod:`yolotrt.errors`, is the public interface; other modules may
change with any version. In an application, one object replaces the thread pool around the engine::

    import cv2

    from yolotrt import TiledPipeline

    frame = cv2.imread("street.jpg")
    assert frame is not None, "no such picture"
    with TiledPipeline.open("engine.onnx", groups=4, dispatch="threads") as pipeline:
        result = pipeline(frame)
        found = result.detections
        for box, score, index in zip(found.boxes, found.scores, found.classes):
            left, top, right, bottom = box
            print(f"{pipeline.names[index]} {score:.2f} at {left:.0f},{top:.0f}")
        for mask in found.masks or ():
            frame[mask.y : mask.y + mask.bits.shape[0], mask.x : mask.x + mask.bits.shape[1]][mask.bits] = 255
        print(f"{result.seconds * 1e3:.1f} ms")
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from yolotrt.distribution import __version__

# From 1.29 on ONNX Runtime tells its maker about every network that it loads (names, hashes, times): threads,
# sockets and a database that nobody asked for. It reads this when it is imported, so it has to be set here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from yolotrt.errors import YoloTrtError as YoloTrtError
    from yolotrt.geometry.detections import Detections as Detections
    from yolotrt.geometry.mask import Mask as Mask
    from yolotrt.pipeline.decode import DecodeSettings as DecodeSettings
    from yolotrt.pipeline.frames import FrameResult as FrameResult
    from yolotrt.pipeline.merge import MergeSettings as MergeSettings
    from yolotrt.pipeline.settings import PipelineSettings as PipelineSettings
    from yolotrt.pipeline.tile_choice import TileChoice as TileChoice
    from yolotrt.pipeline.tiled import TiledPipeline as TiledPipeline
    from yolotrt.timing.trace import FrameTrace as FrameTrace

__all__ = [
    "DecodeSettings",
    "Detections",
    "FrameResult",
    "FrameTrace",
    "Mask",
    "MergeSettings",
    "PipelineSettings",
    "TileChoice",
    "TiledPipeline",
    "YoloTrtError",
    "__version__",
]

_HOMES = {
    "DecodeSettings": "yolotrt.pipeline.decode",
    "Detections": "yolotrt.geometry.detections",
    "FrameResult": "yolotrt.pipeline.frames",
    "FrameTrace": "yolotrt.timing.trace",
    "Mask": "yolotrt.geometry.mask",
    "MergeSettings": "yolotrt.pipeline.merge",
    "PipelineSettings": "yolotrt.pipeline.settings",
    "TileChoice": "yolotrt.pipeline.tile_choice",
    "TiledPipeline": "yolotrt.pipeline.tiled",
    "YoloTrtError": "yolotrt.errors",
}

if not TYPE_CHECKING:  # a type checker would take any name for exported

    def __getattr__(name: str) -> object:
        """Import a name when it is first asked for: ``import yolotrt`` alone stays free."""
        if name not in _HOMES:
            raise AttributeError(f"module 'yolotrt' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
