"""The fused engine against others on one GPU: the network alone, batch by batch.

Every executor is captured in a CUDA graph, gets the same images, and is measured in turn, round by round,
with CUDA events. Each is compared with ONNX Runtime on the CPU in FP32 before it is timed. Layers are timed
alone and set against their floor.

    python -m benchmarks.fused_network NETWORK.onnx ... --images PICTURES [--batches 1,4,32] [--output FILE]
        [--calibration NETWORK.calib.json] [--engines ENGINE ...]

NETWORK is what ``yolotrt export`` writes. Peers: torch.compile, and ONNX Runtime's CUDA provider;
``--peers`` names those that are there. With a calibration, which ``yolotrt calibrate`` writes, its INT8
engine is measured too, and compared with the network with Q/DQ on the CPU as well. Engines are built here
and their kernels timed, unless ``--engines`` names those that ``yolotrt build`` wrote, perhaps elsewhere.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.fused_agreement import agreement, on_cpu
from benchmarks.fused_engines import LoadedFused, build, built_before
from benchmarks.torch_network import captured
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.backends.base import EngineFile
from yolotrt.backends.fused.file import read
from yolotrt.backends.fused.profiler import step_seconds
from yolotrt.backends.fused.roofline import Figures, roofline
from yolotrt.backends.onnxruntime.gpu import load as load_onnxruntime
from yolotrt.backends.sidecar import write_engine
from yolotrt.cuda.device import Device, Scope
from yolotrt.cuda.machine import HERE
from yolotrt.data.measured import read_frames
from yolotrt.machine.environment import environment
from yolotrt.machine.nvml import gpu_state
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.quantization.cache import read_ranges
from yolotrt.quantization.qdq import quantize
from yolotrt.workflow.precision import in_precision

MEASURED = Figures(4.3e12, 790e12, "copy and matrix product measured on an H200")
"""What floors are set against: what was reached, not what the datasheet says."""

PEERS = ("torch", "onnxruntime")

COMPARED = 4
"""Images that the CPU computes too."""

Start = Callable[[], float]
"""Runs a graph and returns its milliseconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    device = HERE.gpu()
    batches = [int(text) for text in options.batches.split(",")]
    report: dict[str, Any] = {
        "environment": {
            **as_values(environment(os.cpu_count() or 1, device.info.pci_bus_id)),
            "device": asdict(device.info),
        },
        "gpu_before": gpu_state(device.info.pci_bus_id),
        "networks": {},
    }  # fmt: skip

    def measured(name: str, found: dict[str, Any]) -> None:
        report["networks"][name] = found
        report["gpu_after"] = gpu_state(device.info.pci_bus_id)
        write_document(options.output, format="yolotrt.fused-bench", version=1, body=report)

    for path in options.networks:
        network(path, device, batches, options, measured)
    return 0


def network(
    path: Path, device: Device, batches: list[int], options: argparse.Namespace,
    measured: Callable[[str, dict[str, Any]], None],
) -> None:  # fmt: skip
    """Build an engine of a network and measure it and its peers; tell what is known after each batch size."""
    model = onnx.load(path)
    spec = read_spec(model, path.stem)
    half = to_fp16(model, spec)
    built = built_before(options.engines, spec, device)
    if "fused" not in built:
        built["fused"] = build(half, spec, "fp16", device, batches, options.work)
    wholes = {"fp32": model}
    if options.calibration:
        ranges = read_ranges(options.calibration)
        wholes["q/dq"] = quantize(model, ranges, "gpu")
        if "fused INT8" not in built:
            whole = in_precision(model, spec, "int8", "gpu", ranges)
            sizes = [n for n in batches if n in (options.int8_batches or batches)]
            built["fused INT8"] = build(whole, spec, "int8", device, sizes, options.work)
    pictures = _pictures(options.images, spec.input_wh)
    fused, file = built["fused"], built["fused"].engine.file
    found: dict[str, Any] = {
        "steps": len(fused.layers), "engine_bytes": len(fused.data), "batches": {},
        "types": {k: [[y.name, y.kind, *y.weights] for y in b.layers] for k, b in built.items()},
    }  # fmt: skip
    for batch in batches:
        images = np.concatenate([pictures] * (-(-batch // len(pictures))))[:batch]
        count = min(batch, COMPARED)
        wanted = {k: on_cpu(network, spec, images[:count]) for k, network in wholes.items()}
        with device.scope() as scope:
            runs: dict[str, tuple[Start, list[np.ndarray]]] = {
                k: _context(device, scope, b.engine.new_context(batch), spec, images)
                for k, b in built.items()
                if batch in b.engine.file.batches
            }
            if "onnxruntime" in options.peers:
                peer = _onnxruntime(half, file, options.work, device)
                runs["onnxruntime"] = _context(device, scope, peer.new_context(batch), spec, images)
            if "torch" in options.peers:
                runs["torch.compile"] = _torch(half, images)
            found["batches"][str(batch)] = {
                "agreement": {k: agreement(v[1], wanted["fp32"], spec.head) for k, v in runs.items()},
                "samples_ms": _measured({k: v[0] for k, v in runs.items()}, options.rounds),
                "layers": _layers(fused.engine, read(fused.data), batch),
            }
            if "fused INT8" in runs:
                found["batches"][str(batch)] |= _int8(built["fused INT8"], runs, wanted, batch, spec.head)
            found["batches"][str(batch)] |= {"tuned_on": fused.engine.file.environment.get("tuned_on")}
        result = found["batches"][str(batch)]
        medians = {k: float(np.median(v)) for k, v in result["samples_ms"].items()}
        result["p50_ms"] = medians
        print(path.stem, batch, {k: round(v, 4) for k, v in medians.items()}, file=sys.stderr)
        for name, numbers in result["agreement"].items():
            print("   ", name, {k: float(f"{v:.3g}") for k, v in numbers.items()}, file=sys.stderr)
        measured(path.stem, found)
    for one in built.values():
        one.engine.close()


def _int8(
    built: LoadedFused, runs: dict[str, Any], wanted: dict[str, list[np.ndarray]], batch: int, head: str
) -> dict[str, Any]:
    """Return the INT8 engine's layers, and how far it and the network with Q/DQ are from each other."""
    found: dict[str, Any] = {"layers_int8": _layers(built.engine, read(built.data), batch)}
    if "q/dq" in wanted:
        found["noise"] = {
            "q/dq against fp32": agreement(wanted["q/dq"], wanted["fp32"], head),
            "fused INT8 against q/dq": agreement(runs["fused INT8"][1], wanted["q/dq"], head),
        }
    return found


def _context(
    device: Device, scope: Scope, context: Any, spec: Any, images: np.ndarray
) -> tuple[Start, list[np.ndarray]]:
    """Return how to run a context as a graph, and what it gives on memory that held NaN."""
    stream = scope.stream()
    tensors = context.tensors
    image = scope.constant(images.astype(tensors[spec.input_name].dtype))
    outputs = {name: scope.pinned(tensors[name].nbytes) for name in (spec.head_output, spec.proto_output)}
    results = {name: scope.buffer(tensors[name].nbytes) for name in outputs}
    context.input_pointer = image.address
    context.output_pointers = {name: buffer.address for name, buffer in results.items()}
    context.enqueue(stream.handle)
    stream.synchronize()
    graph = scope.capture(stream, lambda: context.enqueue(stream.handle))
    for name, buffer in results.items():
        outputs[name].array[:] = 0xFF
        stream.copy(buffer.address, outputs[name].address, buffer.nbytes)
    graph.launch(stream)
    for name, buffer in results.items():
        stream.copy(outputs[name].address, buffer.address, buffer.nbytes)
    stream.synchronize()
    begin, end = scope.event(timing=True), scope.event(timing=True)

    def start() -> float:
        stream.record(begin)
        graph.launch(stream)
        stream.record(end)
        stream.synchronize()
        return device.seconds(begin, end) * 1e3

    given = [
        outputs[name]
        .array[: tensors[name].nbytes]
        .view(tensors[name].dtype)
        .reshape(tensors[name].shape)
        .copy()
        for name in outputs
    ]
    return start, given


def _onnxruntime(half: onnx.ModelProto, file: EngineFile, work: Path, device: Device) -> Any:
    """Return today's engine of the same network."""
    like = EngineFile(work / f"{file.path.stem}.onnx", "onnxruntime", "fp16", file.spec, (), "")
    return load_onnxruntime(write_engine(like, half.SerializeToString()), device)


def _torch(half: onnx.ModelProto, images: np.ndarray) -> tuple[Start, list[np.ndarray]]:
    import torch

    graph, outputs = captured(half, images.astype(np.float16))
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def start() -> float:
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end))

    start()
    return start, [t.float().cpu().numpy() for t in outputs]


def _measured(starts: dict[str, Start], rounds: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in starts}
    for turn in range(rounds + 5):
        for name, start in starts.items():
            spent = start()
            if turn >= 5:
                samples[name].append(round(spent, 5))
    return samples


def _layers(engine: Any, content: Any, batch: int) -> list[dict[str, Any]]:
    measured = step_seconds(engine, batch)
    rows = roofline(content, batch, MEASURED)
    return [
        {"name": r.name, "us": round(s * 1e6, 2), "floor_us": round(r.floor * 1e6, 2), "bound": r.bound,
         "bytes": r.nbytes, "operations": r.operations}
        for (_, s), r in zip(measured, rows, strict=True)
    ]  # fmt: skip


def _pictures(folder: Path, size: tuple[int, int]) -> np.ndarray:
    """Return some pictures of a folder as (count, 3, height, width) FP16 in [0, 1]."""
    import cv2

    paths = sorted(folder.iterdir())[:8]
    frames = [cv2.resize(read_frames(str(path))[0], size) for path in paths]
    rgb = np.stack(frames)[..., ::-1].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(rgb.astype(np.float16) / 255)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--batches", default="1,4,32")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("engines"), help="folder for engines and timings")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--engines", type=Path, nargs="*", default=[], help="FP16 and INT8, of any NETWORK")
    parser.add_argument("--calibration", type=Path, help="of the network, for its INT8 engine")
    parser.add_argument(
        "--int8-batches", type=int, nargs="*", help="those that INT8 is measured at, if not all"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/fused.json"))
    options = parser.parse_args(arguments)
    if "torch" in options.peers:
        import_module("torch")  # whose cuDNN ONNX Runtime uses then
    return options


if __name__ == "__main__":
    raise SystemExit(main())
