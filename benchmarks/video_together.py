"""Frames of several cameras that wait at the same moment: one batch of the global pass, or one by one?

    python -m benchmarks.video_together ENGINE CLIP.mp4 [--cameras 2,4,8] [--rounds 300] [--output FILE]

ENGINE is one of ``yolotrt build`` for this GPU. The frames are different ones of the clip, as NVDEC decoded
them, and likewise as pictures on the host. One by one they go through the pipeline with two in flight. Both
ways take turns; each time is from when all frames wait to when the results of the first, and of all, are
there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.video_agreement import agreement
from benchmarks.video_gpu import frames_of
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.machine.environment import environment
from yolotrt.machine.nvml import gpu_state
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import now

WARM_UP = 20
"""Rounds that are left out."""

Way = Callable[[], tuple[float, float]]
"""Returns the ms until the first result, and until all."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("engine", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--cameras", default="2,4,8")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/video-together.json"))
    options = parser.parse_args(arguments)
    counts = [int(count) for count in options.cameras.split(",")]
    settings: dict[str, Any] = {"device": "cuda:0", "mode": "global", "depth": 2}
    with TiledPipeline.open(options.engine, **settings) as pipeline:
        device = pipeline.gpu
        assert device is not None, "opened on one GPU"
        bus = device.info.pci_bus_id
        report: dict[str, Any] = {
            "environment": as_values(environment(os.cpu_count() or 1, bus)), "gpu_before": gpu_state(bus),
            "engine": options.engine.name, "clip": options.clip.name, "settings": settings, "cases": [],
        }  # fmt: skip
        decoded = list(frames_of(options.clip, device, max(counts)))
        pictures = [np.ascontiguousarray(rgb_like(frame._copied())) for frame in decoded]
        for kind, frames in (("decoded", decoded), ("pictures", pictures)):
            for count in counts:
                found = compared(pipeline, frames[:count], options.rounds)
                report["cases"].append({"frames": kind, "cameras": count, **found})
                report["gpu_after"] = gpu_state(bus)
                write_document(options.output, format="yolotrt.video-together", version=1, body=report)
                shown = {way: round(ms["all_p50"], 3) for way, ms in found["ms"].items()}
                print(kind, count, shown, found["agreement"]["agree"], file=sys.stderr)
        del decoded, frames
    return 0


def rgb_like(samples: Any) -> Any:
    """Return (h, w, 3) of a frame's brightness: a picture of the frame's size, whatever its colours."""
    luma = samples[: samples.shape[0] * 2 // 3]
    return np.repeat(luma[..., None], 3, axis=2)


def compared(pipeline: TiledPipeline, frames: Sequence[Any], rounds: int) -> dict[str, Any]:
    """Measure both ways in turns, and compare what they find."""
    together = [result.detections for result in pipeline.together([(f, k) for k, f in enumerate(frames)])]
    alone = [result.detections for result in pipeline.frames(frames)]

    def one_by_one() -> tuple[float, float]:
        begin = now()
        done = [now() for _ in pipeline.frames(frames)]
        return (done[0] - begin) / 1e6, (done[-1] - begin) / 1e6

    def as_one_batch() -> tuple[float, float]:
        begin = now()
        pipeline.together([(frame, place) for place, frame in enumerate(frames)])
        return ((now() - begin) / 1e6,) * 2

    ways: dict[str, Way] = {"together": as_one_batch, "one by one": one_by_one}
    samples: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(WARM_UP + rounds):
        for way in sorted(ways, reverse=bool(turn % 2)):
            samples[way].append(ways[way]())
    kept = {way: np.array(found[WARM_UP:]) for way, found in samples.items()}
    return {
        "ms": {
            way: {"first_p50": float(np.median(ms[:, 0])), "all_p50": float(np.median(ms[:, 1]))}
            for way, ms in kept.items()
        },
        "samples_all_ms": {way: [round(float(x), 4) for x in ms[:, 1]] for way, ms in kept.items()},
        "agreement": agreement(alone, together),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
