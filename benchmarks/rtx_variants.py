"""What TensorRT-RTX makes of a network in each form of it that we can hand over: bytes moved for each frame.

No GPU is needed: an engine is built for a named one, and the builder reports its layers. The size of what all
layers read and write for one image, constants aside, is the best predictor of speed that there is without a
card. INT8 is built in our own form and in those that it was chosen from.

    python -m benchmarks.rtx_variants NETWORK.onnx IMAGES [--target SM120] [--limit 40] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from benchmarks.output import emit
from yolotrt.backends.base import BuildConfig, Precision
from yolotrt.backends.layers import is_convolution, summarise
from yolotrt.backends.profiles import parse_profiles
from yolotrt.backends.registry import backend
from yolotrt.data.images import list_images
from yolotrt.model.fp8 import to_fp8
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import no_progress
from yolotrt.quantization.batches import spread
from yolotrt.quantization.cache import load_or_calibrate
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.quantization.styles import QdqStyle

NARROW = ("INT8", "FP8")
OURS = "INT8, one scale for each weight, its channels told apart behind it (ours)"


def variants(
    model: onnx.ModelProto, spec: ModelSpec, ranges: CalibrationRanges
) -> dict[str, tuple[Precision, Callable[[], onnx.ModelProto]]]:
    """Return what makes each form of a network, and its precision, by name."""

    def int8(style: QdqStyle, **options: Any) -> onnx.ModelProto:
        return quantize(model, ranges, style, **options)

    def fp8(style: QdqStyle) -> onnx.ModelProto:
        return to_fp8(int8(style, floating=True), model)

    forms: dict[str, tuple[Precision, Callable[[], onnx.ModelProto]]] = {
        "FP32": ("fp32", lambda: model),
        "FP16": ("fp16", lambda: to_fp16(model, spec)),
        "INT8, a scale for each output channel": ("int8", lambda: to_fp16(int8("gpu"), spec)),
        "INT8, one scale for each weight": ("int8", lambda: to_fp16(int8("rtx", floating=True), spec)),
        OURS: ("int8", lambda: to_fp16(int8("rtx"), spec)),
        "INT8, the same, no layer left out": ("int8", lambda: to_fp16(int8("rtx", exclude=()), spec)),
        "FP8, a scale for each output channel": ("fp8", lambda: to_fp16(fp8("gpu"), spec)),
        "FP8, one scale for each weight (ours)": ("fp8", lambda: to_fp16(fp8("rtx"), spec)),
    }
    return forms


def built(network: onnx.ModelProto, spec: ModelSpec, precision: Precision, target: str) -> dict[str, Any]:
    """Build for batches of one image, and return what the builder reports."""
    config = BuildConfig(spec, parse_profiles("1"), precision, compute_capabilities=(target,))
    engine = backend("tensorrt-rtx").build(network, config, no_progress)
    summary = summarise(engine.layers)
    narrow = [x for x in engine.layers if is_convolution(x) and x.inputs and x.inputs[0] in NARROW]
    return {
        "bytes": len(engine.data),
        "layers": summary.layers,
        "convolutions": dict(summary.convolutions),
        "writing_fp32": sum("FP32" in x.outputs for x in narrow),
        "activations_not_fused": len(summary.unfused),
        "moved_bytes": summary.moved_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--target", default="SM120")
    parser.add_argument("--limit", type=int, default=40, help="calibrate on so many images")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_onnx(arguments.network)
    spec = read_spec(model, arguments.network.stem)
    images = spread(list_images(arguments.images), arguments.limit)
    with tempfile.TemporaryDirectory() as folder:
        ranges, _ = load_or_calibrate(arguments.network, spec, images, Path(folder) / "found.calib.json")
    rows = []
    for name, (precision, make) in variants(model, spec, ranges).items():
        rows.append({"variant": name, **built(make(), spec, precision, arguments.target)})
        print(rows[-1], flush=True)
    config = BuildConfig(spec, parse_profiles("1"), "fp16", compute_capabilities=(arguments.target,))
    made_by = dict(backend("tensorrt-rtx").environment(config))
    emit({"network": spec.name, "images": len(images), "engines": rows, "made_by": made_by}, arguments.json)


if __name__ == "__main__":
    main()
