"""The network alone on a processor, on tiles of a frame that are prepared before: ours, and others' runtimes.

* yolotrt's context of ONNX Runtime, as its pipeline runs it.
* OpenVINO with the same ONNX file, told to answer soon (its documented hint for latency).
  By its own choice it computes floats in bfloat16 on processors that can, so it is also told not to.
* ``torch.compile`` of the same FP32 file, channels last, weights frozen into the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tool_rows import OVERLAP, THREADS, TILE, ToolRow, named
from benchmarks.torch_network import torch_module
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.geometry.letterbox import network_input
from yolotrt.geometry.tiles import tile_grid
from yolotrt.model.onnxfile import load_onnx

BATCHES = (1, 8)
OPENVINO_PRECISIONS = (None, "f32")


def networks(engines: list[Path], frame: Any) -> Iterator[ToolRow]:
    """Yield every runtime that is installed, ours first.

    Args:
        engines: Engines of the same network for the processor.
        frame: (h, w, 3) uint8 BGR, at least as large as a batch of tiles wants it.
    """
    for batch in BATCHES:
        tiles = tile_grid((frame.shape[1], frame.shape[0]), (TILE, TILE), OVERLAP).cut(frame)
        images = np.ascontiguousarray(network_input(tiles[:batch]))
        for path in engines:
            precision = read_engine(path).precision
            note = f"{named('onnxruntime')}, as yolotrt runs it"
            yield ToolRow("yolotrt", precision, batch, note, _ours(path, images))
            if find_spec("openvino"):
                for rest in OPENVINO_PRECISIONS:
                    call, computes = openvino_network(path, images, rest)
                    how = "the same file, its own choice" if rest is None else "the same file, told f32"
                    yield ToolRow(named("openvino"), _computed(precision, computes), batch, how, call)
            if precision == "fp32" and find_spec("torch"):
                yield ToolRow(named("torch"), precision, batch, "torch.compile", _torch(path, images))


def _computed(file: str, floats: str) -> str:
    """Return what is computed in, where what the file has in FP32 may be computed in less."""
    return floats if file == "fp32" else f"{file}, rest {floats}"


def _ours(path: Path, images: np.ndarray) -> Callable[[Any], int]:
    context = load_engine(read_engine(path)).new_context(len(images), threads=THREADS)
    context.images[:] = images
    return lambda _frame: len(context.run()[0])


def openvino_network(
    path: Path, images: np.ndarray, floats: str | None = None
) -> tuple[Callable[[Any], int], str]:
    """Return OpenVINO on the images with an ONNX file as it is, and what it computes floats in.

    Args:
        path: The file.
        images: (batch, 3, h, w) float32.
        floats: What to compute in where the file has FP32; None leaves it to OpenVINO.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape([*images.shape])
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
    if floats is not None:
        settings["INFERENCE_PRECISION_HINT"] = floats
    compiled = core.compile_model(model, "CPU", settings)
    chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    names = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
    return lambda _frame: len(compiled([images])[0]), names.get(chosen, chosen)


def _torch(path: Path, images: np.ndarray) -> Callable[[Any], int]:
    import torch

    torch.set_num_threads(THREADS)
    torch.compiler.reset()  # of another batch size seen before, it would compile for any
    module = torch_module(load_onnx(path)).eval().to(memory_format=torch.channels_last)
    compiled = torch.compile(module, options={"freezing": True})
    given = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)

    def call(_frame: Any) -> int:
        with torch.inference_mode():
            return len(compiled(given)[0])

    return call
