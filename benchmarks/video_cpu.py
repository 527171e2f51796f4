"""Reading a 1080p video on the host: PyAV, as ``run`` does, against OpenCV, as it once did.

    python -m benchmarks.video_cpu CLIP.mp4 [--rounds 8] [--output FILE]

Both go through the path of ``yolotrt run`` with the demo's network, in turns. What counts is the time of the
processor, of all threads: it does not depend on who else uses the machine, as the time on the clock does.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.video_sources import OpenCvFile
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.bench.sustain import sustain
from yolotrt.data.feed import Feed
from yolotrt.data.video import FileSource, MovingSource
from yolotrt.machine.environment import environment
from yolotrt.pipeline.tiled import TiledPipeline

NETWORK = Path(__file__).parents[1] / "yolotrt/data/assets/demo-yolo26-seg.onnx"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/video-cpu.json"))
    options = parser.parse_args(arguments)
    ways: dict[str, Callable[[Path], MovingSource]] = {"pyav": FileSource, "opencv": OpenCvFile}
    samples: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    threads = len(os.sched_getaffinity(0))
    with TiledPipeline.open(NETWORK, trust=True, mode="global", cpu_threads=threads) as pipeline:
        for way in ways:  # the first time, memory is taken and files are read
            once(ways[way](options.clip), pipeline)
        for turn in range(options.rounds):
            for way in sorted(ways, reverse=bool(turn % 2)):
                samples[way].append(once(ways[way](options.clip), pipeline))
    pairs = [a["cpu_ms"] / b["cpu_ms"] for a, b in zip(samples["pyav"], samples["opencv"], strict=True)]
    report: dict[str, Any] = {
        "environment": as_values(environment(threads)), "clip": options.clip.name, "samples": samples,
        "cpu_ratio": {"median": float(np.median(pairs)), "rounds": pairs},
    }  # fmt: skip
    write_document(options.output, format="yolotrt.video-cpu", version=1, body=report)
    for way, found in samples.items():
        print(way, {k: round(float(np.median([s[k] for s in found])), 2) for k in found[0]}, file=sys.stderr)
    print("pyav / opencv, processor time:", round(report["cpu_ratio"]["median"], 3), file=sys.stderr)
    return 0


def once(source: MovingSource, pipeline: TiledPipeline) -> dict[str, float]:
    """Run a whole clip; return milliseconds per frame, of the processor and of the clock."""
    begin, cpu = time.perf_counter(), time.process_time()
    feed = Feed(source, policy="block").start()
    try:
        done = sustain(pipeline, feed).processed
    finally:
        feed.close()
    return {
        "frames": done,
        "cpu_ms": (time.process_time() - cpu) * 1e3 / done,
        "clock_ms": (time.perf_counter() - begin) * 1e3 / done,
    }


if __name__ == "__main__":
    sys.exit(main())
