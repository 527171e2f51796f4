"""Made-up results of a GPU: four dispatch modes, host and device times, and spans of streams that overlap.

No GPU is needed and nothing here was measured; the shape is that of real results.
"""

from __future__ import annotations

import numpy as np

from yolotrt.bench.budgets import Budgets
from yolotrt.bench.result import Case, CaseResult, Endings, RunResult, TimelineSpan
from yolotrt.bench.settings import Settings
from yolotrt.evaluation.coco import Scores
from yolotrt.evaluation.comparison import AccuracyComparison, Difference
from yolotrt.machine.environment import EngineRecord, Environment
from yolotrt.machine.nvml import GpuState
from yolotrt.machine.watch import During, WatchedGpu
from yolotrt.timing.trace import STAGES
from yolotrt.workflow.accuracy_file import EngineFigures

ENGINE = "yolo26n-seg.fp16.engine"
HOST = ("prepare_batch", "enqueue", "stream_sync", "decode", "merge")
DEVICE = ("upload", "prepare_batch", "enqueue", "decode")

ENQUEUE_MS = {"serial": 1.0, "threads": 1.2, "streams": 1.1, "graph": 0.1}
"""Host time to enqueue one group."""

GPU_MS = {"serial": 1.0, "threads": 0.55, "streams": 0.5, "graph": 0.35}
"""Growth of the device's time per further group."""


def gpu_result(rounds: int = 60, engines: tuple[str, ...] = (ENGINE,)) -> RunResult:
    """Return a sweep of dispatch modes and groups on a made-up GPU."""
    rng = np.random.default_rng(0)
    cases = [
        _case(rng, Case(engine, "fp16", mode, dispatch, groups), rounds, scale)
        for engine, scale in zip(engines, (1.0, 0.7), strict=False)
        for mode, variants in (
            ("tiled+global", [(d, g) for d in ENQUEUE_MS for g in (1, 2, 4, 8)]),
            ("global", [("-", 1)]),
        )
        for dispatch, groups in variants
    ]
    gpu = GpuState("Made-up GPU", "580.1", 2400, 180.0, 61, (), 16_384, 14_000)
    environment = Environment(
        time="2026-01-02T03:04:05+00:00", yolotrt="0", python="3.12", platform="Linux",
        cpu="Made-up CPU", cores=16, threads=16, governor="performance", load_1min=0.1,
        git=None, gpu=gpu, packages={"tensorrt": "10.16"},
        engines={name: EngineRecord(sha256=name, precision="fp16") for name in engines},
    )  # fmt: skip
    return RunResult(
        Settings(source="made up", frames=1, frame_px="3840x2160"),
        environment,
        tuple(cases),
        during=During(gpu=WatchedGpu(**vars(gpu)), other_cores=0.0),
        stopped=Endings("iterations", "stable"),
        budgets=Budgets({"tiles": 0.015, "end_to_end": 0.033}, "p95"),
    )


def _case(rng: np.random.Generator, case: Case, rounds: int, scale: float) -> CaseResult:
    tiled = case.mode != "global"
    enqueue = ENQUEUE_MS.get(case.dispatch, 0.3) * (case.groups if tiled else 1)
    device_ms = {
        "upload": 0.5,
        "prepare_batch": 0.05,
        "enqueue": scale * (9 + GPU_MS[case.dispatch] * (case.groups - 1)) if tiled else scale,
        "decode": 0.3,
    }
    busy = sum(device_ms.values())
    host_ms = {
        "prepare_batch": 2.0, "enqueue": enqueue, "stream_sync": max(0.2, busy - enqueue), "decode": 0.8,
        "merge": 0.9,
    }  # fmt: skip
    noise = np.exp(rng.normal(0, 0.02, rounds))
    if rounds > 20:
        noise[17] = 1.6

    def samples(ms: float) -> list[float | None]:
        return [float(ms * n / 1e3) for n in noise]

    total = sum(host_ms.values())
    found: dict[str, list[float | None]] = {stage: [None] * rounds for stage in STAGES}
    found |= {stage: samples(ms) for stage, ms in host_ms.items()}
    found |= {f"device_{stage}": samples(ms) for stage, ms in device_ms.items()}
    found |= {"end_to_end": samples(total), "device_end_to_end": samples(busy)}
    if tiled:
        found["tiles"] = samples(total - 0.9)
    return CaseResult(case, found, samples(total)[:3], 57, tuple(_spans(case, host_ms, device_ms)))


def _spans(case: Case, host: dict[str, float], device: dict[str, float]) -> list[TimelineSpan]:
    """Return host stages one after another, and device stages whose groups run side by side."""
    spans, at = [], 0.0
    for stage in HOST:
        spans.append(TimelineSpan(stage, None, "frame", "host", at / 1e3, (at + host[stage]) / 1e3))
        at += host[stage]
    spans.append(TimelineSpan("end_to_end", None, "frame", "host", 0.0, at / 1e3))
    scope = "global" if case.mode == "global" else "tiles"
    begin = at = host["prepare_batch"]
    for stage in DEVICE:
        end = at + device[stage]
        if stage == "enqueue" and case.groups > 1:
            spans += _groups(case, at, device[stage])
        else:
            where = "frame" if stage == "upload" else scope
            spans.append(TimelineSpan(stage, None, where, "device", at / 1e3, end / 1e3))
        at = end
    if case.mode == "tiled+global":  # beside the tiles, and nothing divides it
        spans.append(TimelineSpan("global", None, "global", "device", (begin + 0.6) / 1e3, (begin + 2) / 1e3))
    spans.append(TimelineSpan("end_to_end", None, "frame", "device", begin / 1e3, at / 1e3))
    return spans


def _groups(case: Case, begin: float, length: float) -> list[TimelineSpan]:
    share = length / case.groups
    overlap = 1.0 if case.dispatch == "serial" else min(3.0, case.groups)
    return [
        TimelineSpan(
            "enqueue",
            group,
            "tiles",
            "device",
            (begin + group * share * (1 if overlap == 1 else 0.6)) / 1e3,
            min(begin + length, begin + group * share * (1 if overlap == 1 else 0.6) + share * overlap) / 1e3,
        )
        for group in range(case.groups)
    ]


def accuracy_figures(
    engine: str, sha256: str, box: float, mask: float | None, change: tuple[float, float, float] | None = None
) -> EngineFigures:
    """Return what an evaluation of 100 images found; ``change`` is a difference and its interval."""

    def scores(ap: float) -> Scores:
        return Scores(ap, ap, ap, None, ap, ap, {})

    def difference(ap: float) -> Difference | None:
        if change is None:
            return None
        absolute, low, high = change
        return Difference(ap - absolute, ap, absolute, absolute / (ap - absolute), low, high, False)

    box_difference = difference(box)
    compared = None
    if box_difference is not None:
        compared = AccuracyComparison(box_difference, None if mask is None else difference(mask), 1000)
    return EngineFigures(
        images=100, objects=300, detections=200, box=scores(box), mask=None if mask is None else scores(mask),
        unknown_classes=(), unmeasured_classes=(), engine=engine, precision="fp32", sha256=sha256,
        mode="global", comparison=compared,
    )  # fmt: skip
