"""The fused engine against others on one GPU: the network alone, batch by batch.

Every executor is captured in a CUDA graph, gets the same images, and is measured in turn, round by round,
with CUDA events. Each is compared with ONNX Runtime on the CPU in FP32 before it is timed. Layers are timed
alone and set against their floor.

    python -m benchmarks.fused_network NETWORK.onnx ... --images PICTURES [--batches 1,4,32] [--output FILE]

NETWORK is what ``yolotrt export`` writes. Peers: torch.compile, and ONNX Runtime's CUDA provider;
``--peers`` names those that are there.
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
import onnxruntime as ort

from benchmarks.torch_network import captured
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.backends.base import BuildConfig, EngineFile
from yolotrt.backends.fused.backend import FusedBackend
from yolotrt.backends.fused.file import read
from yolotrt.backends.fused.profiler import step_seconds
from yolotrt.backends.fused.roofline import Figures, roofline
from yolotrt.backends.fused.runtime import load
from yolotrt.backends.onnxruntime.gpu import load as load_onnxruntime
from yolotrt.backends.profiles import Profile
from yolotrt.backends.sidecar import write_engine
from yolotrt.cuda.device import Device, Scope
from yolotrt.cuda.machine import HERE
from yolotrt.data.sources import read_frames
from yolotrt.machine.environment import environment
from yolotrt.machine.nvml import gpu_state
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import no_progress

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
    for path in options.networks:
        report["networks"][path.stem] = network(path, device, batches, options)
        report["gpu_after"] = gpu_state(device.info.pci_bus_id)
        write_document(options.output, format="yolotrt.fused-bench", version=1, body=report)
    return 0


def network(path: Path, device: Device, batches: list[int], options: argparse.Namespace) -> dict[str, Any]:
    """Build an engine of a network and measure it and its peers."""
    model = onnx.load(path)
    spec = read_spec(model, path.stem)
    half = to_fp16(model, spec)
    config = BuildConfig(
        spec, tuple(Profile.fixed(n) for n in batches), "fp16", timing_cache=options.work / "timing.cache"
    )
    backend = FusedBackend()
    backend.check(config)
    built = backend.build(half, config, no_progress)
    file = EngineFile(
        options.work / f"{path.stem}.fused", backend.name, "fp16", spec, tuple(batches), "",
        environment=backend.environment(config),
    )  # fmt: skip
    options.work.mkdir(parents=True, exist_ok=True)
    engine = load(write_engine(file, built.data), device)
    pictures = _pictures(options.images, spec.input_wh)
    found: dict[str, Any] = {"steps": len(built.layers), "engine_bytes": len(built.data), "batches": {}}
    for batch in batches:
        images = np.concatenate([pictures] * (-(-batch // len(pictures))))[:batch]
        count = min(batch, COMPARED)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        wanted = session.run(
            [spec.head_output, spec.proto_output], {spec.input_name: images[:count].astype(np.float32)}
        )
        with device.scope() as scope:
            runs: dict[str, tuple[Start, list[np.ndarray]]] = {
                "fused": _context(device, scope, engine.new_context(batch), spec, images)
            }
            if "onnxruntime" in options.peers:
                peer = _onnxruntime(half, file, options.work, device)
                runs["onnxruntime"] = _context(device, scope, peer.new_context(batch), spec, images)
            if "torch" in options.peers:
                runs["torch.compile"] = _torch(half, images)
            found["batches"][str(batch)] = {
                "agreement": {k: _agreement(v[1], wanted, spec.head) for k, v in runs.items()},
                "samples_ms": _measured({k: v[0] for k, v in runs.items()}, options.rounds),
                "layers": _layers(engine, read(built.data), batch),
            }
        result = found["batches"][str(batch)]
        medians = {k: float(np.median(v)) for k, v in result["samples_ms"].items()}
        result["p50_ms"] = medians
        print(path.stem, batch, {k: round(v, 4) for k, v in medians.items()}, file=sys.stderr)
        for name, numbers in result["agreement"].items():
            print("   ", name, {k: float(f"{v:.3g}") for k, v in numbers.items()}, file=sys.stderr)
    engine.close()
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


def _agreement(given: list[np.ndarray], wanted: list[np.ndarray], head: str) -> dict[str, float]:
    """Return the largest differences to FP32 on the CPU: boxes in px, scores, prototypes, coefficients."""
    rows, protos = (
        given[0][: len(wanted[0])].astype(np.float64),
        given[1][: len(wanted[1])].astype(np.float64),
    )
    found = {
        "finite": float(np.isfinite(given[0]).all() and np.isfinite(given[1]).all()),
        "protos_max": float(np.abs(protos - wanted[1]).max()),
        "protos_relative": float(np.linalg.norm(protos - wanted[1]) / np.linalg.norm(wanted[1])),
    }
    if head == "raw":
        difference = np.abs(rows - wanted[0])
        coeffs = wanted[1].shape[1]
        found |= {
            "boxes_px_max": float(difference[:, :4].max()),
            "scores_max": float(difference[:, 4:-coeffs].max()),
        }
    else:  # rounding changes the order of detections that score alike
        found["scores_max"] = float(np.abs(rows[..., 4] - wanted[0][..., 4]).max())
    return found


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
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/fused.json"))
    options = parser.parse_args(arguments)
    if "torch" in options.peers:
        import_module("torch")  # whose cuDNN ONNX Runtime uses then
    return options


if __name__ == "__main__":
    raise SystemExit(main())
