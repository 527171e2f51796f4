"""What measuring costs: the same frame with and without it, in turn, and what ``bench`` does between frames.

* Within a frame: ``end_to_end`` with device times against ``end_to_end`` without. Host spans are there in
  either; what one costs is told apart.
* Behind a frame: reading the device's events and adding up stages, before the caller has the result. It is in
  no stage, and without measuring it is not done.
* Between frames: keeping samples, saving, looking at the machine.

    python -m benchmarks.measuring ENGINE [--device cuda:0] [--source IMAGE] [--frames N] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.backends.base import Engine
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.bench.case import Case
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.statistics import paired_ratio
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.bench.sweep import EnginePair, SweepSettings, measured
from yolotrt.data.measured import read_frames
from yolotrt.machine.environment import environment
from yolotrt.pipeline.modes import DEFAULT_MODE
from yolotrt.pipeline.settings import Dispatch, PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import now, seconds_between
from yolotrt.timing.trace import FrameTrace

THREADS = len(os.sched_getaffinity(0))


class Called:
    """A pipeline, the time that a call of it takes, and what reading its trace takes."""

    def __init__(self, engine: Engine, dispatch: Dispatch, *, measure: bool) -> None:
        settings = PipelineSettings(DEFAULT_MODE, 1, dispatch, cpu_threads=THREADS, measure=measure)
        self.pipeline = TiledPipeline(engine, settings, takes_turns=True)
        self.case = Case("measured" if measure else "plain", "", DEFAULT_MODE, dispatch, 1)

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        begin = now()
        result = self.pipeline(frame)
        returned = now()
        found = measured(result)
        found.stages["call"] = seconds_between(begin, returned)
        found.stages["reading"] = seconds_between(returned, now())
        return found


def span_seconds(count: int = 20_000) -> float:
    """Return what one span costs, seconds."""
    trace = FrameTrace()
    begin = time.perf_counter()
    for _ in range(count):
        with trace.span("decode"):
            pass
    return (time.perf_counter() - begin) / count


def within_and_behind(engine: Engine, dispatch: Dispatch, frame: Any, frames: int) -> dict[str, Any]:
    """Measure frames with and without measuring in turn."""
    subjects = [Called(engine, dispatch, measure=measure) for measure in (False, True)]
    running = [Running(subject) for subject in subjects]
    measure_rounds(running, [frame], StopRule(frames), WarmupRule(5))
    for subject in subjects:
        subject.pipeline.close()
    plain, timed = (
        {s: np.array(r.samples[s], float) for s in ("end_to_end", "call", "reading")} for r in running
    )
    ratio = paired_ratio(timed["end_to_end"].tolist(), plain["end_to_end"].tolist())
    assert ratio is not None
    behind = timed["call"] - timed["end_to_end"] + timed["reading"]
    return {
        "plain_s": float(np.median(plain["end_to_end"])),
        "measured_s": float(np.median(timed["end_to_end"])),
        "measured_over_plain": ratio.value,
        "interval": ratio.interval,
        "behind_plain_s": float(np.median(plain["call"] - plain["end_to_end"])),
        "behind_s": float(np.median(behind)),
        "samples_s": {"plain": plain["end_to_end"].tolist(), "measured": timed["end_to_end"].tolist()},
    }


def between(engine: Engine, dispatch: Dispatch, source: str, frames: int) -> dict[str, Any]:
    """Return what a frame costs ``bench`` beyond itself."""
    settings = SweepSettings(
        modes=(DEFAULT_MODE,),
        dispatch=(dispatch,),
        groups=(1,),
        threads=THREADS,
        iterations=frames,
        energy_s=0,
    )
    seen: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(settings, source, output=Path(folder, "r.json"))
        result = run_bench(
            [EnginePair(engine)], read_frames(source), request, say=lambda _: None,
            progress=lambda what, _done, _total: seen.append((what, time.perf_counter())),
        )  # fmt: skip
    (entry,) = result.cases
    stamps = [at for what, at in seen if what == "measure"]
    spans = len(entry.timeline)
    spent = stamps[-1] - stamps[0] - np.array(entry.samples["end_to_end"], float).sum()
    return {"spans": spans, "spans_s": spans * span_seconds(), "between_s": spent / frames}


def main() -> None:
    """Measure the frame, and what measuring adds to it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--source", default="scene")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    engine = load_engine(read_engine(arguments.engine), arguments.device)
    frame = read_frames(arguments.source)[0]
    dispatch: Dispatch = "graph" if engine.parts else "serial"
    found = {
        "frame_px": f"{frame.shape[1]}x{frame.shape[0]}",
        "device": arguments.device,
        "frames": arguments.frames,
        **within_and_behind(engine, dispatch, frame, arguments.frames),
        **between(engine, dispatch, arguments.source, arguments.frames),
        "environment": environment(THREADS, *(p.device.info.pci_bus_id for p in engine.parts[:1])),
    }
    engine.close()
    emit(found, arguments.json)


if __name__ == "__main__":
    main()
