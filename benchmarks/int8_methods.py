"""Ways to INT8 that are compared: ours, and those of others that are installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.quantization.batches import ImageFeed, Preprocessing
from yolotrt.quantization.cache import load_or_calibrate
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.observe import open_session
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.styles import QdqStyle

THREADS = len(os.sched_getaffinity(0))
NOT_INSTALLED = 77

Calibrate = Callable[[Path, list[Path], Path], None]
"""Takes the FP32 network, calibration images and the file to write."""


@dataclass(frozen=True)
class Quantiser:
    """A way to INT8.

    Attributes:
        calibrate: Writes the network; None for the FP32 network itself.
        fake_quantized: Judge by fake quantisation rather than as it runs on this CPU.
    """

    calibrate: Calibrate | None
    fake_quantized: bool


def batches(network: Path, images: list[Path]) -> Iterator[np.ndarray]:
    """Yield (1, 3, h, w) float32 network input."""
    spec = read_spec(load_onnx(network), network.stem)
    return iter(ImageFeed(images, Preprocessing(spec.input_wh), batch=1))


def plain(network: Path, images: list[Path], _target: Path) -> None:
    model = load_onnx(network)
    run = open_session(model, THREADS)
    view = GraphView(model)
    for batch in batches(network, images):
        run(view.outputs, {view.inputs[0]: batch})


def ours(style: QdqStyle) -> Calibrate:
    def calibrate(network: Path, images: list[Path], target: Path) -> None:
        model = load_onnx(network)
        spec = read_spec(model, network.stem)
        cache = target.with_suffix(".calib.json")
        ranges, _ = load_or_calibrate(network, spec, images, cache, threads=THREADS)
        onnx.save(quantize(model, ranges, style), target)

    return calibrate


def onnxruntime_weighted_only(network: Path, images: list[Path], target: Path) -> None:
    """Quantise Conv, Gemm and MatMul only, as Ultralytics does.

    By default everything is: one scale for boxes of 0 to 640 px and scores of 0 to 1 makes every score 0.
    """
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    name = read_spec(load_onnx(network), network.stem).input_name
    feed = batches(network, images)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(feed, None)
            return None if batch is None else {name: batch}

    weighted = {"Conv", "Gemm", "MatMul"}
    others = [n.name for n in onnx.load(network).graph.node if n.op_type not in weighted]
    quantize_static(str(network), str(target), Reader(), nodes_to_exclude=others)


def modelopt(**options: Any) -> Calibrate:
    def calibrate(network: Path, images: list[Path], target: Path) -> None:
        try:
            quantize_by_modelopt = import_module("modelopt.onnx.quantization").quantize
        except ImportError as exc:
            print(f"ModelOpt cannot be imported ({exc}).", file=sys.stderr)
            raise SystemExit(NOT_INSTALLED) from exc
        name = read_spec(load_onnx(network), network.stem).input_name
        data = np.concatenate(list(batches(network, images)))
        quantize_by_modelopt(
            str(network),
            quantize_mode="int8",
            calibration_data={name: data},
            calibration_eps=["cpu"],
            output_path=str(target),
            high_precision_dtype="fp32",
            **options,
        )

    return calibrate


METHODS = {
    "fp32": Quantiser(None, fake_quantized=False),
    "ours, TensorRT": Quantiser(ours("gpu"), fake_quantized=True),
    "ours, CPU, as it runs": Quantiser(ours("cpu"), fake_quantized=False),
    "quantize_static as Ultralytics calls it": Quantiser(onnxruntime_weighted_only, fake_quantized=True),
    "ModelOpt": Quantiser(modelopt(), fake_quantized=True),
    "ModelOpt as Ultralytics calls it": Quantiser(
        modelopt(calibration_method="max", nodes_to_exclude=[r".*\.2/Conv$", r".*/dfl/"]), fake_quantized=True
    ),
}
