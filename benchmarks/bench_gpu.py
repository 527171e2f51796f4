"""The figures of the GPU pipeline, from one run on one GPU.

* ``sweep``: all dispatch modes x groups, tiles only, interleaved;
* ``frame``: whole frames (tiles and global) against bare inference with the same engine;
* ``peers``: a whole frame, and other tools on it;
* ``kernels``: bytes, time and share of the copy bandwidth of each kernel;
* ``agreement``: the same detections as on the CPU;
* ``soak``: memory over many frames.

    python -m benchmarks.bench_gpu ENGINE --source FRAME [--images DIR] [--rounds N] [--output FILE]

ENGINE is an engine of any backend (``yolotrt build MODEL --fp16 --backend onnxruntime``). The agreement
needs one that runs on the CPU too: the engine itself, or the same network's given by ``--reference``.
Peers are measured if they are installed and ``--weights`` names the same network for them.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.earlier_build import EarlierBuild
from benchmarks.gpu_agreement import agreement
from benchmarks.gpu_kernels import kernel_table
from benchmarks.gpu_peers import peers, same_as_ultralytics
from benchmarks.gpu_subjects import DeviceSubject, InferenceSubject
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar import read_engine
from yolotrt.bench.result import CaseResult
from yolotrt.bench.rounds import Running, measure_rounds
from yolotrt.bench.statistics import summarize
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.cuda.device import Device
from yolotrt.cuda.nvidia import NvidiaDriver
from yolotrt.data.measured import read_frames
from yolotrt.machine.environment import environment
from yolotrt.machine.nvml import gpu_state
from yolotrt.pipeline.device.dispatch import DEVICE_DISPATCH
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.settings import PipelineSettings

SECTIONS = ("sweep", "frame", "peers", "kernels", "agreement", "soak")
GROUPS = (1, 2, 4, 8)
"""Groups of tiles that are tried unless others are named."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.cudnn_of_torch:
        import_module("torch")
    frame = read_frames(str(options.source))[0]
    device = Device(NvidiaDriver(0))
    gpu = Gpu(device, loaded(options.engine, device))
    subjects = contextlib.ExitStack()
    sections: dict[str, Callable[[], Any]] = {
        "sweep": lambda: sweep(gpu, frame, options, subjects),
        "frame": lambda: whole_frames(gpu, frame, options, subjects),
        "peers": lambda: beside_peers(gpu, frame, options, subjects),
        "kernels": lambda: kernel_table(gpu, frame, PipelineSettings("tiled+global", measure=False)),
        "agreement": lambda: agreements(options, device),
        "soak": lambda: soak(gpu, frame, options.soak, options.groups[-1]),
    }
    report: dict[str, Any] = {
        "environment": {
            **as_values(environment(os.cpu_count() or 1, device.info.pci_bus_id)),
            "device": asdict(device.info),
        },
        "engine": {k: str(v) for k, v in vars(gpu.engine.file).items() if k in ("sha256", "precision")},
        "frame_px": f"{frame.shape[1]}x{frame.shape[0]}",
    }
    for name in options.sections:
        report[name] = sections[name]()
        gc.collect()
        _print(name, report[name])
        report["libraries"] = loaded_libraries()
        report["gpu_after"] = gpu_state(device.info.pci_bus_id)
        write_document(options.output, format="yolotrt.gpu-bench", version=1, body=report)
    subjects.close()
    device.close()
    return 0


def loaded(path: Path, device: Device) -> Any:
    """Return an engine on the GPU, whatever backend built it."""
    file = read_engine(path)
    return backend(file.backend).load_on(file, device)


def loaded_libraries() -> list[str]:
    """Return the files of NVIDIA's libraries that this process computes with; their names hold versions."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    files = {Path(line.split()[-1]).resolve() for line in maps if "libcudnn" in line or "libcublas" in line}
    return sorted(file.name for file in files)


def sweep(
    gpu: Gpu, frame: Any, options: argparse.Namespace, open_subjects: contextlib.ExitStack
) -> dict[str, Any]:
    """Measure all dispatch modes and group counts on tiles alone."""
    subjects = [
        DeviceSubject("tiles", gpu, PipelineSettings("tiled", groups, dispatch, measure=True))
        for dispatch in DEVICE_DISPATCH
        for groups in options.groups
    ]
    return _measured(subjects, frame, options.rounds, gpu.device, open_subjects)


def whole_frames(
    gpu: Gpu, frame: Any, options: argparse.Namespace, open_subjects: contextlib.ExitStack
) -> dict[str, Any]:
    """Measure whole frames from pageable and from page-locked memory, and bare inference.

    Bare inference is all batches of the same engine one after another as one graph, from prepared input.
    """
    plain = PipelineSettings("tiled+global", 1, "graph")
    after = replace(plain, global_order="after")
    subjects: list[Any] = [InferenceSubject("bare inference, one batch after another", gpu, after, frame)]
    for measured_too, groups in ((False, options.groups), (True, (1, 4))):
        for n in groups:
            for pinned in (False, True):
                name = "frame" + ", page-locked source" * pinned + ", stages measured" * measured_too
                settings = replace(plain, groups=n, measure=measured_too)
                subjects.append(DeviceSubject(name, gpu, settings, pinned=pinned))
    subjects += [
        DeviceSubject("frame, global after the tiles", gpu, replace(after, measure=True)),
        DeviceSubject("tiles only", gpu, PipelineSettings("tiled", 1, "graph", measure=True)),
        *_earlier(options),
    ]
    measured = _measured(subjects, frame, options.rounds, gpu.device, open_subjects)
    bare, *others = (case["p50_s"]["end_to_end"] for case in measured["cases"])
    measured["against_bare_inference"] = {
        f"{case['engine']}, groups={case['groups']}": round(spent / bare, 3)
        for case, spent in zip(measured["cases"][1:], others, strict=True)
    }
    measured["depth"] = {str(depth): throughput(gpu, frame, depth, options.rounds) for depth in (1, 2)}
    return measured


def beside_peers(
    gpu: Gpu, frame: Any, options: argparse.Namespace, open_subjects: contextlib.ExitStack
) -> dict[str, Any]:
    """Measure whole frames and other tools in turn; nothing without their weights."""
    if not options.weights:
        return {}
    ours = PipelineSettings("tiled+global", 1, "graph")
    subjects = [
        DeviceSubject("frame", gpu, ours), *_earlier(options), *peers(options.weights, gpu.device)
    ]  # fmt: skip
    measured = _measured(subjects, frame, options.peer_rounds, gpu.device, open_subjects)
    measured["tiles_same_as_ultralytics"] = same_as_ultralytics(options.weights, gpu, frame)
    return measured


def throughput(gpu: Gpu, frame: Any, depth: int, rounds: int) -> dict[str, float]:
    """Return the latency of frames, and the time from one result to the next, at a pipeline depth."""
    from yolotrt.timing.clock import now, seconds_between

    settings = PipelineSettings("tiled+global", 1, "graph", depth=depth)
    with DevicePipeline([gpu], settings) as pipeline:
        for _ in pipeline.frames([frame] * 5):
            pass
        begin = now()
        latencies = [r.trace.seconds("end_to_end") or 0.0 for r in pipeline.frames([frame] * rounds)]
        return {
            "latency_p50_s": float(np.median(latencies)),
            "frame_interval_s": seconds_between(begin, now()) / rounds,
        }


def agreements(options: argparse.Namespace, device: Device) -> dict[str, Any]:
    """Compare GPU and CPU on real images with each engine given for it."""
    paths = sorted(options.images.iterdir()) if options.images else []
    images = [read_frames(str(path))[0] for path in paths][: options.compare]
    threads = len(os.sched_getaffinity(0))
    found = {}
    for path in options.compared or [options.engine]:
        file = read_engine(path)
        on_cpu = OnnxRuntimeEngine(read_engine(options.reference) if options.reference else file)
        engine = loaded(path, device)
        settings = PipelineSettings("tiled+global", measure=False)
        found[path.name] = agreement(Gpu(device, engine), on_cpu, images, settings, threads)
        on_cpu.close()
        engine.close()
    return found


def soak(gpu: Gpu, frame: Any, frames: int, groups: int) -> dict[str, Any]:
    """Process many frames and compare memory early on and at the end."""
    samples = []
    process = psutil.Process()
    settings = PipelineSettings("tiled+global", groups, "graph", depth=2)
    with DevicePipeline([gpu], settings) as pipeline:
        for index, _ in enumerate(pipeline.frames(frame for _ in range(frames))):
            if index % max(frames // 20, 1) == max(frames // 20, 1) - 1:
                samples.append((index + 1, gpu.device.memory()[0], process.memory_info().rss))
    free, resident = zip(*[(f, r) for _, f, r in samples[1:]], strict=True)
    return {
        "frames": frames,
        "gpu_bytes_lost": free[0] - free[-1],
        "host_bytes_gained": resident[-1] - resident[0],
        "samples": samples,
        "live_after": gpu.device.live,
    }


def _earlier(options: argparse.Namespace) -> list[EarlierBuild]:
    return [EarlierBuild(*options.earlier)] if options.earlier else []


def _measured(
    subjects: list[Any], frame: Any, rounds: int, device: Device, open_subjects: contextlib.ExitStack
) -> dict[str, Any]:
    """Measure subjects in turn and return raw samples, medians, memory, and the GPU before and after."""
    running = [Running(subject) for subject in subjects]
    for subject in subjects:
        open_subjects.callback(subject.close)
        subject.measure(frame)  # makes contexts and graphs, so that the GPU is seen under load
    before = gpu_state(device.info.pci_bus_id)
    measure_rounds(running, [frame], StopRule(rounds), WarmupRule(3))
    after = gpu_state(device.info.pci_bus_id)
    return {
        "cases": [_case(subject, entry.result()) for subject, entry in zip(subjects, running, strict=True)],
        "gpu_before": before,
        "gpu_after": after,
        "gpu_free_bytes": device.memory()[0],
    }


def _case(subject: Any, result: CaseResult) -> dict[str, Any]:
    workers = subject.pipeline.workers if isinstance(subject, DeviceSubject) else ()
    return {
        **asdict(result.case),
        "detections": result.detections,
        "group_bytes": [worker.group_bytes for worker in workers],
        "p50_s": {k: s.p50 for k, v in result.samples.items() if (s := summarize(v)) is not None},
        "samples_s": {k: v for k, v in result.samples.items() if summarize(v) is not None},
    }


def _print(name: str, section: Any) -> None:
    print(f"== {name}", file=sys.stderr)
    if "cases" not in section:
        print(_rounded(section), file=sys.stderr)
        return
    for case in section["cases"]:
        times = " ".join(f"{k}={v * 1e3:.2f}" for k, v in case["p50_s"].items())
        label = f"{case['engine']} {case['mode']} {case['dispatch']} groups={case['groups']}"
        print(f"{label}: {times} ms, {case['detections']} found", file=sys.stderr)
    print(_rounded({k: v for k, v in section.items() if k != "cases"}), file=sys.stderr)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="the frame")
    parser.add_argument("--images", type=Path, help="folder of images for the agreement")
    parser.add_argument("--compare", type=int, default=12, help="how many of them")
    parser.add_argument("--reference", type=Path, help="engine that the CPU runs for the agreement")
    parser.add_argument("--compared", type=Path, nargs="*", help="engines for the agreement")
    parser.add_argument("--weights", type=Path, help="weights (.pt) of the same network for the peers")
    parser.add_argument(
        "--earlier", type=Path, nargs=2, help="folder of an earlier package and its engine, for whole frames"
    )
    parser.add_argument(
        "--cudnn-of-torch",
        action="store_true",
        help="import torch first, whose cuDNN is used then;\notherwise ONNX Runtime takes what it finds",
    )
    parser.add_argument("--groups", type=int, nargs="*", default=GROUPS, help="groups of tiles to try")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--peer-rounds", type=int, default=10, help="of the peers, which take long")
    parser.add_argument("--soak", type=int, default=2000)
    parser.add_argument("--sections", nargs="*", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
