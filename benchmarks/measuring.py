"""What measuring costs: the part of a frame that spans, samples and saving take.

Between two frames ``bench`` reads the trace, keeps the samples and may save and look at the machine; within a
frame each span reads the clock twice. Both are held against the frame's own time, on the frame given.

    python -m benchmarks.measuring ENGINE [--source IMAGE] [--frames N] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.output import emit
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.data.measured import read_frames
from yolotrt.machine.environment import environment
from yolotrt.timing.trace import FrameTrace

THREADS = len(os.sched_getaffinity(0))


def span_seconds(count: int = 20_000) -> float:
    """Return what one span costs, seconds."""
    trace = FrameTrace()
    begin = time.perf_counter()
    for _ in range(count):
        with trace.span("decode"):
            pass
    return (time.perf_counter() - begin) / count


def main() -> None:
    """Measure the frame, and what measuring adds to it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--source", default="scene")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = SweepSettings(
        modes=("tiled+global",), dispatch=("serial",), groups=(1,), threads=THREADS,
        iterations=arguments.frames, energy_s=0,
    )  # fmt: skip
    engine = load_engine(read_engine(arguments.engine))
    seen: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(settings, arguments.source, output=Path(folder, "r.json"))
        result = run_bench(
            [EnginePair(engine)], read_frames(arguments.source), request, say=lambda _: None,
            progress=lambda what, _done, _total: seen.append((what, time.perf_counter())),
        )  # fmt: skip
    engine.close()
    (entry,) = result.cases
    frames = np.array(entry.samples["end_to_end"], float)
    stamps = [at for what, at in seen if what == "measure"]
    between = (stamps[-1] - stamps[0] - frames.sum()) / len(frames)
    within = len(entry.timeline) * span_seconds()
    median = float(np.median(frames))
    emit(
        {
            "frame_s": median,
            "spans": len(entry.timeline),
            "within_s": within,
            "between_s": between,
            "part_of_a_frame": (within + between) / median,
            "environment": environment(THREADS),
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
