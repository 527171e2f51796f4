"""Other tools on the same frame and GPU: Ultralytics on the tiles, and slicers of SAHI and supervision."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_subjects import CallSubject
from yolotrt.cuda.device import Device
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device.found import FrameFound
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.settings import PipelineSettings

THRESHOLDS = DecodeSettings(conf=0.25, iou=0.7, max_det=300)


class Ultralytics:
    """Ultralytics' own predict on the tiles as one batch, torch in FP16."""

    def __init__(self, weights: Path, device: Device, *, compiled: bool = False) -> None:
        import ultralytics

        how = ", compile=True" if compiled else ""
        self.name = f"ultralytics {ultralytics.__version__} predict on the tiles{how}"
        self._model = ultralytics.YOLO(weights)
        self._device, self._compiled = device.info.index, compiled

    def predict(self, frame: Any) -> list[Detections]:
        """Return the boxes of each tile, in px of the tile."""
        results = self.results(tile_grid((frame.shape[1], frame.shape[0])).cut(frame))
        tables = [result.boxes.data.float().cpu().numpy() for result in results]
        return [Detections(t[:, :4], t[:, 4], t[:, 5].astype(np.int64)) for t in tables]

    def results(self, tiles: list[Any]) -> list[Any]:
        """Return Ultralytics' own results for some tiles."""
        found: list[Any] = self._model.predict(
            tiles, imgsz=640, half=True, device=self._device, conf=THRESHOLDS.conf, iou=THRESHOLDS.iou,
            max_det=THRESHOLDS.max_det, batch=len(tiles), verbose=False, compile=self._compiled,
        )  # fmt: skip
        return found


class Sahi:
    """SAHI's sliced prediction with the same network, and its prediction on the whole frame."""

    def __init__(self, weights: Path, device: Device, batch: int) -> None:
        import sahi

        self.name = f"sahi {sahi.__version__} sliced prediction, batch_size={batch}"
        self._batch = batch
        self._model = sahi.AutoDetectionModel.from_pretrained(
            "ultralytics", model_path=str(weights), confidence_threshold=THRESHOLDS.conf, device=device.name
        )

    def predict(self, frame: Any) -> int:
        """Return how many objects were found."""
        from sahi.predict import get_sliced_prediction

        result = get_sliced_prediction(
            frame[..., ::-1], self._model, slice_height=640, slice_width=640, overlap_height_ratio=0.2,
            overlap_width_ratio=0.2, perform_standard_pred=True, verbose=0,
            batch_size=self._batch,
        )  # fmt: skip
        return len(result.object_prediction_list)


class Supervision:
    """supervision's slicer with Ultralytics' predict on batches of tiles, and its merging."""

    def __init__(self, weights: Path, device: Device, batch: int) -> None:
        import supervision

        self.name = f"supervision {supervision.__version__} InferenceSlicer, batch_size={batch}"
        model = Ultralytics(weights, device)

        def found(tiles: list[Any]) -> list[Any]:
            return [supervision.Detections.from_ultralytics(r) for r in model.results(tiles)]

        self._slicer = supervision.InferenceSlicer(
            found, slice_wh=640, overlap_wh=128, batch_size=batch, thread_workers=1, compact_masks=True
        )

    def predict(self, frame: Any) -> int:
        """Return how many objects were found."""
        return len(self._slicer(frame))


def peers(weights: Path, device: Device) -> Iterator[CallSubject]:
    """Yield what is installed."""
    eager = Ultralytics(weights, device)
    yield CallSubject(eager.name, "fp16", lambda f: sum(map(len, eager.predict(f))))
    compiled = Ultralytics(weights, device, compiled=True)
    yield CallSubject(compiled.name, "fp16", lambda f: sum(map(len, compiled.predict(f))))
    if find_spec("sahi"):
        for batch in (1, 32):
            sahi = Sahi(weights, device, batch)
            yield CallSubject(sahi.name, "fp32", sahi.predict)
    if find_spec("supervision"):
        supervision = Supervision(weights, device, 32)
        yield CallSubject(supervision.name, "fp16", supervision.predict)


def same_as_ultralytics(weights: Path, gpu: Gpu, frame: Any) -> dict[str, Any]:
    """Compare our detections of each tile, before merging, with Ultralytics'."""
    settings = PipelineSettings("tiled", 1, "graph", decode=THRESHOLDS)
    with DevicePipeline([gpu], settings) as pipeline:
        pipeline(frame)
        (worker,) = pipeline.workers
        ours = FrameFound([worker.read(0)]).tiles
    origins = tile_grid((frame.shape[1], frame.shape[0])).origins
    theirs = [
        d.moved(x, y)
        for d, (x, y) in zip(Ultralytics(weights, gpu.device).predict(frame), origins, strict=True)
    ]
    matched = sum(_matched(a, b) for a, b in zip(ours, theirs, strict=True))
    return {"ours": sum(map(len, ours)), "theirs": sum(map(len, theirs)), "matched": matched}


def _matched(a: Detections, b: Detections) -> int:
    """Return how many boxes of one class overlap by at least 0.5, each used once."""
    overlap = box_overlap(a.boxes, b.boxes)
    overlap[a.classes[:, None] != b.classes[None]] = 0
    pairs = 0
    while overlap.size and overlap.max() >= 0.5:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        overlap[i], overlap[:, j] = 0, 0
        pairs += 1
    return pairs
