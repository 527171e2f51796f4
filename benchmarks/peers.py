"""Other tools on the same frame, each at its best documented settings, beside yolotrt: one run, interleaved.

* Ultralytics' predict on the tiles as one batch and on the frame, eager and compiled; nothing merges them.
* SAHI's sliced prediction with batches of slices, and its pass over the whole frame.
* supervision's slicer with batches of slices and compact masks; it has no pass over the whole frame.
* lightly-train's ``predict_sahi``, on its own smallest network for segmentation: with a checkpoint if one is
  given, otherwise with random weights, which find nothing and so cost no merging.
* On a processor the network alone, batch 1 and 8 (:mod:`benchmarks.peer_networks`). On a GPU
  ``python -m benchmarks.fused_network`` has it: ONNX Runtime, and ``torch.compile`` with a CUDA graph.

Each row says its precision, batch and version. What is not installed is named and left out.

    python -m benchmarks.peers WEIGHTS.pt ENGINE... [--source IMAGE] [--device cpu|cuda:0] [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from benchmarks.peer_networks import networks
from benchmarks.tool_rows import OVERLAP, THREADS, TILE, ToolRow, measured, named
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.measured import read_frames
from yolotrt.geometry.tiles import tile_grid
from yolotrt.machine.environment import environment
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline

CONF, IOU, MAX_DET = 0.25, 0.7, 300
LIGHTLY = "ltdetrv2-seg-s"


def _objects(pipeline: TiledPipeline, frame: Any) -> int:
    return len(pipeline(frame).detections)


def ours(paths: list[Path], device: str) -> Iterator[ToolRow]:
    """Yield yolotrt's whole frame with each engine, in the dispatch that ``auto`` takes."""
    for path in paths:
        engine = load_engine(read_engine(path), device)
        pipeline = TiledPipeline(engine, PipelineSettings(cpu_threads=THREADS))
        backend = engine.file.backend
        yield ToolRow(
            f"yolotrt ({backend})",
            engine.file.precision,
            32,
            "tiles, frame, masks, merged",
            partial(_objects, pipeline),
        )


class UltralyticsOnFrame:
    """Ultralytics' model, in FP16 on a GPU."""

    def __init__(self, weights: Path, device: str, compiled: bool) -> None:
        import ultralytics

        self._model = ultralytics.YOLO(weights)
        self._device, self._compiled = device, compiled

    def results(self, pictures: list[Any]) -> list[Any]:
        """Return its own results for some pictures, as one batch."""
        found: list[Any] = self._model.predict(
            pictures, imgsz=TILE, quantize=None if self._device == "cpu" else 16, device=self._device,
            conf=CONF, iou=IOU, max_det=MAX_DET, batch=len(pictures), verbose=False, compile=self._compiled,
        )  # fmt: skip
        return found

    def on_tiles_and_frame(self, frame: Any) -> int:
        """Return how many objects all pictures together show; those of neighbouring tiles count twice."""
        tiles = tile_grid((frame.shape[1], frame.shape[0]), (TILE, TILE), OVERLAP).cut(frame)
        return sum(len(result) for result in (*self.results(list(tiles)), *self.results([frame])))


def sahi(weights: Path, device: str, batch: int) -> Callable[[Any], int]:
    """Return SAHI's sliced prediction with its pass over the whole frame."""
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    model = AutoDetectionModel.from_pretrained(
        "ultralytics", model_path=str(weights), confidence_threshold=CONF, device=device
    )

    def call(frame: Any) -> int:
        found = get_sliced_prediction(
            frame[..., ::-1], model, slice_height=TILE, slice_width=TILE, overlap_height_ratio=OVERLAP,
            overlap_width_ratio=OVERLAP, perform_standard_pred=True, verbose=0, batch_size=batch,
        )  # fmt: skip
        return len(found.object_prediction_list)

    return call


def slicer(weights: Path, device: str, batch: int) -> Callable[[Any], int]:
    """Return supervision's slicer over Ultralytics' model."""
    import supervision

    model = UltralyticsOnFrame(weights, device, compiled=False)

    def found(tiles: list[Any]) -> list[Any]:
        return [supervision.Detections.from_ultralytics(result) for result in model.results(tiles)]

    cut = supervision.InferenceSlicer(
        found, slice_wh=TILE, overlap_wh=round(TILE * OVERLAP), batch_size=batch, compact_masks=True
    )
    return lambda frame: len(cut(frame))


def lightly(checkpoint: Path | None, device: str, batch: int) -> ToolRow:
    """Return lightly-train's prediction on tiles and frame, with a network of its own."""
    import lightly_train
    import torch

    if checkpoint is None:
        from lightly_train._task_models.ltdetr_instance_segmentation.task_model import (
            LTDETRInstanceSegmentation,
        )

        model = LTDETRInstanceSegmentation(
            model_name=LIGHTLY, classes={n: str(n) for n in range(80)}, image_size=(TILE, TILE),
            load_weights=False,
        ).to(device).eval()  # fmt: skip
    else:
        model = lightly_train.load_model(str(checkpoint), device=device)

    def call(frame: Any) -> int:
        picture = torch.from_numpy(np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1))).to(device)
        with torch.inference_mode():
            return len(model.predict_sahi(picture, overlap=OVERLAP, batch_size=batch)["labels"])

    of = f"{LIGHTLY}, random weights" if checkpoint is None else checkpoint.name
    return ToolRow(named("lightly-train"), "fp32", batch, f"predict_sahi, another network ({of})", call)


def others(weights: Path, device: str, batch: int) -> Iterator[ToolRow]:
    """Yield every other tool that is installed and runs the same network."""
    precision = "fp32" if device == "cpu" else "fp16"
    for compiled in (False, True):
        model = UltralyticsOnFrame(weights, device, compiled)
        how = "predict, compile=True" if compiled else "predict"
        note = f"{how} on tiles and frame, not merged"
        yield ToolRow(named("ultralytics"), precision, 32, note, model.on_tiles_and_frame)
    for size in (1, batch):
        if find_spec("sahi"):
            note = "sliced and whole frame, merged"
            yield ToolRow(named("sahi"), "fp32", size, note, sahi(weights, device, size))
    if find_spec("supervision"):
        note = "InferenceSlicer, tiles only, merged"
        yield ToolRow(named("supervision"), precision, batch, note, slicer(weights, device, batch))


def main() -> None:
    """Measure what is installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("engines", type=Path, nargs="+", help="yolotrt engines of the same network")
    parser.add_argument("--source", default="scene")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32, help="slices per batch, of tools that ask")
    parser.add_argument("--lightly-train", type=Path, help="a checkpoint of lightly-train's own")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    frame = read_frames(arguments.source)[0]
    asked = ["sahi", "supervision", "lightly_train", *(["openvino"] if arguments.device == "cpu" else [])]
    missing = [name for name in asked if find_spec(name) is None]
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}", file=sys.stderr)
    device = arguments.device
    mine = [*ours(arguments.engines, device)]
    result: dict[str, Any] = {
        "frame_px": f"{frame.shape[1]}x{frame.shape[0]}",
        "rounds": arguments.rounds,
        "left_out": missing,
        "environment": environment(THREADS),
    }
    if device == "cpu":
        result["networks"] = measured([*networks(arguments.engines, frame)], frame, 2 * arguments.rounds)
        emit(result, arguments.json)
    result["frames"] = measured(
        [*mine, *others(arguments.weights, device, arguments.batch)], frame, arguments.rounds
    )
    emit(result, arguments.json)
    if find_spec(
        "lightly_train"
    ):  # beside ours alone, and less often: on a processor a frame takes it minutes
        row = lightly(arguments.lightly_train, device, arguments.batch)
        result["frames"] += measured([mine[0], row], frame, -(-arguments.rounds // 2))[1:]
        emit(result, arguments.json)


if __name__ == "__main__":
    main()
