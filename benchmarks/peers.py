"""Other tools on the same frame, each at its best documented settings, beside yolotrt: one run, interleaved.

* Ultralytics' predict on the tiles as one batch and on the frame, eager and compiled; nothing merges them.
* SAHI's sliced prediction with batches of slices, and its pass over the whole frame.
* supervision's slicer with batches of slices and compact masks; it has no pass over the whole frame.
* lightly-train's ``predict_sahi``, on a network of its own, if a checkpoint is given.
* On a processor the network alone, batch 1 and 8: ONNX Runtime, and OpenVINO with the same file. On a GPU
  ``python -m benchmarks.fused_network`` has it: ONNX Runtime, and ``torch.compile`` with a CUDA graph.

Each row says its precision, batch and version. What is not installed is named and left out.

    python -m benchmarks.peers WEIGHTS.pt ENGINE... [--source IMAGE] [--device cpu|cuda:0] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.bench.case import Case
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.statistics import paired_ratio, summarize
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.data.measured import read_frames
from yolotrt.geometry.letterbox import network_input
from yolotrt.geometry.tiles import tile_grid
from yolotrt.machine.environment import environment
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import now, seconds_between

THREADS = len(os.sched_getaffinity(0))
CONF, IOU, MAX_DET, OVERLAP = 0.25, 0.7, 300, 0.2
TILE = 640


class ToolRow:
    """A tool in one setting: what it is called, and a call that returns how many objects it found."""

    def __init__(self, tool: str, precision: str, batch: int, note: str, call: Callable[[Any], int]) -> None:
        self.tool, self.precision, self.batch, self.note, self._call = tool, precision, batch, note, call
        self.case = Case(f"{tool}, {note}" if note else tool, precision, "tiled+global", "-", 1)

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        begin = now()
        found = self._call(frame)
        return Measurement({"end_to_end": seconds_between(begin, now())}, (), found)


def named(package: str) -> str:
    """Return a package's name with its version."""
    return f"{package} {version(package)}"


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
            pictures, imgsz=TILE, half=self._device != "cpu", device=self._device, conf=CONF, iou=IOU,
            max_det=MAX_DET, batch=len(pictures), verbose=False, compile=self._compiled,
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


def lightly(checkpoint: Path, device: str) -> Callable[[Any], int]:
    """Return lightly-train's prediction on tiles and frame, with a network of its own."""
    import lightly_train
    import torch

    model = lightly_train.load_model(str(checkpoint), device=device)

    def call(frame: Any) -> int:
        picture = torch.from_numpy(np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1))).to(device)
        return len(model.predict_sahi(picture, overlap=OVERLAP)["labels"])

    return call


def others(weights: Path, device: str, batch: int, checkpoint: Path | None) -> Iterator[ToolRow]:
    """Yield every other tool that is installed."""
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
    if find_spec("lightly_train") and checkpoint is not None:
        yield ToolRow(
            named("lightly-train"), "fp32", 33, f"predict_sahi with {checkpoint.name}, another network",
            lightly(checkpoint, device),
        )  # fmt: skip


def networks(paths: list[Path], device: str) -> Iterator[ToolRow]:
    """Yield the networks of the engines alone, on tiles of the frame."""
    for path in paths if device == "cpu" else ():
        precision = read_engine(path).precision
        for batch in (1, 8):
            note = f"network alone, batch {batch}"
            yield ToolRow(named("onnxruntime"), precision, batch, note, _onnxruntime(path, batch))
            if find_spec("openvino"):
                yield ToolRow(named("openvino"), precision, batch, note, _openvino(path, batch))


def _tiles(frame: Any, batch: int) -> np.ndarray:
    tiles = tile_grid((frame.shape[1], frame.shape[0]), (TILE, TILE), OVERLAP).cut(frame)
    return np.asarray(network_input(tiles[:batch]))


def _onnxruntime(path: Path, batch: int) -> Callable[[Any], int]:
    """Return a session as yolotrt makes one for a processor, called with a batch."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda frame: len(session.run(None, {name: _tiles(frame, batch)})[0])


def _openvino(path: Path, batch: int) -> Callable[[Any], int]:
    """Return the same ONNX file in OpenVINO, told to answer soon."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape([batch, 3, TILE, TILE])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    compiled = core.compile_model(model, "CPU", settings)
    return lambda frame: len(compiled([_tiles(frame, batch)])[0])


def measured(rows: list[ToolRow], frame: Any, rounds: int) -> list[dict[str, Any]]:
    """Measure all rows in turn, and return what each took, beside the first of them."""
    running = [Running(row) for row in rows]
    measure_rounds(running, [frame], StopRule(rounds), WarmupRule(1))
    found = []
    for row, entry in zip(rows, running, strict=True):
        samples = entry.samples["end_to_end"]
        summary, ratio = summarize(samples), paired_ratio(samples, running[0].samples["end_to_end"])
        assert summary is not None
        found.append(
            {
                "tool": row.tool, "how": row.note, "precision": row.precision, "batch": row.batch,
                "objects": entry.detections, "median_s": summary.p50, "interval_s": summary.p50_interval,
                "times_the_first": ratio and ratio.value, "samples_s": samples,
            }
        )  # fmt: skip
        print(
            f"{row.case.engine} ({row.precision}, batch {row.batch}): {summary.p50 * 1e3:.1f} ms", flush=True
        )
    return found


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
    parser.add_argument("--lightly-train", type=Path, help="a checkpoint of lightly-train")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    frame = read_frames(arguments.source)[0]
    missing = [name for name in ("sahi", "supervision", "openvino") if find_spec(name) is None]
    if arguments.lightly_train is None:
        missing.append("lightly-train (needs --lightly-train CHECKPOINT: its networks are its own)")
    print(f"left out: {', '.join(missing)}", file=sys.stderr)
    rows = [
        *ours(arguments.engines, arguments.device),
        *others(arguments.weights, arguments.device, arguments.batch, arguments.lightly_train),
    ]
    result = {
        "frame_px": f"{frame.shape[1]}x{frame.shape[0]}",
        "rounds": arguments.rounds,
        "frames": measured(rows, frame, arguments.rounds),
        "left_out": missing,
        "environment": environment(THREADS),
    }
    if alone := [*networks(arguments.engines, arguments.device)]:
        result["networks"] = measured(alone, frame, 2 * arguments.rounds)
    emit(result, arguments.json)


if __name__ == "__main__":
    main()
