"""Run ``yolotrt run`` on the CPU backend for a long time and look for what grows.

The process is watched from outside, once a second: resident memory, threads, open descriptors, CPU time. It
fails (exit code 1) unless all of these hold after the first third, in which caches still fill:

* memory: the 95 % interval of its slope lies below 4 MiB per hour;
* threads and descriptors: never more than at the end of the first third;
* latency: the median of the last third is at most 1.25 times that of the third before it, as the run itself
  reports it, or the CPU time per frame is: other programs may slow a frame down, but not make it cost more;
* every frame that came out of the source was processed or counted as dropped.

    python -m benchmarks.soak --minutes 30 --json benchmarks/results/soak.json

One thread, two tiles and the global pass: about a seventh of a core per frame and second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.files import write_bytes, write_text
from yolotrt.bench.drift import SETTLING, late_over_early, slope
from yolotrt.data.scenes.scene import make_scene
from yolotrt.data.video_writer import new_video
from yolotrt.machine.environment import environment
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import demo_model

FRAME_WH = (960, 640)
MIB_PER_HOUR = 4.0
SLOWER = 1.25


@dataclass(frozen=True)
class Sample:
    """The process as proc(5) shows it, ``seconds`` after its start."""

    seconds: float
    memory_mib: float
    threads: int
    descriptors: int
    cpu_s: float


def clip(target: Path, frames: int, fps: float) -> Path:
    """Write a video of a scene that moves past the camera, two pixels a frame."""
    width, height = FRAME_WH
    image = make_scene(2026).image
    with new_video(target, fps, FRAME_WH) as append:
        for index in range(frames):
            x = 2 * index % (2 * (image.shape[1] - width))
            x = min(x, 2 * (image.shape[1] - width) - x)
            append(image[600 : 600 + height, x : x + width])
    return target


def observe(pid: int, begin: float) -> Sample | None:
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        descriptors = len(os.listdir(folder / "fd"))
    except (OSError, IndexError):
        return None
    ticks = int(stat[11]) + int(stat[12])  # utime and stime; the state is field 0 here
    return Sample(
        time.monotonic() - begin,
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        int(stat[17]),
        descriptors,
        ticks / os.sysconf("SC_CLK_TCK"),
    )


def watch(command: list[str], log: Path) -> tuple[int, list[Sample]]:
    """Run a command to its end and return its exit code and what was seen of it."""
    samples: list[Sample] = []
    with log.open("w") as words:
        begin = time.monotonic()
        running = subprocess.Popen(command, stdout=words, stderr=words)
        while running.poll() is None:
            if (seen := observe(running.pid, begin)) is not None and seen.memory_mib > 1:
                samples.append(seen)
            time.sleep(1)
    return running.returncode, samples


def frames_by_time(log: str) -> list[tuple[float, int]]:
    """Return (seconds, frames out) of the lines that ``yolotrt run`` writes now and then."""
    return [(float(s), int(n)) for s, n in re.findall(r"^ *(\d+) s .* out (\d+) ", log, re.MULTILINE)]


def cpu_per_frame(samples: list[Sample], log: str) -> list[tuple[float, float]]:
    """Return (seconds, CPU seconds per frame) between two lines of the log."""
    clock = np.array([s.seconds for s in samples])
    used = np.array([s.cpu_s for s in samples])
    course = []
    # The log's clock starts when the engine is loaded; both are about the same second, which only shifts.
    lines = frames_by_time(log)
    for (t0, n0), (t1, n1) in itertools.pairwise(lines):
        if n1 > n0:
            spent = np.interp(t1, clock, used) - np.interp(t0, clock, used)
            course.append((t1, float(spent) / (n1 - n0)))
    return course


def judge(samples: list[Sample], run: dict[str, Any], log: str) -> dict[str, Any]:
    """Return the figures, and by name whether each demand was met."""
    settled = samples[int(len(samples) * SETTLING) :]
    before = samples[: max(1, len(samples) - len(settled))]
    growth = slope([(s.seconds / 3600, s.memory_mib) for s in samples])
    cpu = late_over_early(cpu_per_frame(samples, log))
    drifts = [d for d in (run["latency_drift"], cpu) if d is not None]
    waiting = run["counts"]["read"] - run["processed"] - run["counts"]["dropped"] - run["failed"]
    return {
        "frames": run["processed"],
        "dropped": run["counts"]["dropped"],
        "latency_s": run["latency"],
        "latency_last_third_over_the_one_before": run["latency_drift"],
        "cpu_per_frame_last_third_over_the_one_before": cpu,
        "memory_mib": {"first": samples[0].memory_mib, "settled": settled[0].memory_mib,
                       "last": samples[-1].memory_mib, "most": max(s.memory_mib for s in samples)},
        "memory_mib_by_minute": _by_minute(samples),
        "memory_mib_per_hour": None if growth is None else vars(growth),
        "threads": {"settled": settled[0].threads, "most_after": max(s.threads for s in settled)},
        "descriptors": {"settled": settled[0].descriptors,
                        "most_after": max(s.descriptors for s in settled)},
        "held": {
            "memory": growth is not None and growth.high < MIB_PER_HOUR,
            "threads": max(s.threads for s in settled) <= max(s.threads for s in before),
            "descriptors": max(s.descriptors for s in settled) <= max(s.descriptors for s in before),
            "latency": bool(drifts) and min(drifts) <= SLOWER,
            "every frame accounted for": run["processed"] > 0 and 0 <= waiting <= 3,
        },
    }  # fmt: skip


def _by_minute(samples: list[Sample]) -> list[float]:
    minutes: dict[int, list[float]] = {}
    for sample in samples:
        minutes.setdefault(int(sample.seconds // 60), []).append(sample.memory_mib)
    return [round(float(np.median(seen)), 2) for seen in minutes.values()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--fps", type=float, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/soak"), help="engine, clip and log")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    out, seconds = arguments.out, arguments.minutes * 60

    model = write_bytes(out / "demo.onnx", demo_model())
    engine = build_engine(BuildRequest(model, backend="onnxruntime", engines=out, calib_data=out)).file.path
    source = clip(out / "video.mp4", int(seconds * arguments.fps) + 200, arguments.fps)
    options = ["--mode", "tiled+global", "--threads", "1", "--fps", str(arguments.fps)]
    options += ["--duration", str(seconds)]
    command = [
        *(sys.executable, "-m", "yolotrt", "run", str(engine), "--source", str(source)),
        *(*options, "--json", str(out / "run.json")),
    ]  # fmt: skip
    code, samples = watch(command, out / "log.txt")
    log = (out / "log.txt").read_text()
    if code:
        sys.exit(f"yolotrt run ended with {code}:\n{log[-2000:]}")
    # After its time it writes its report, which imports more libraries than frames need.
    samples = [sample for sample in samples if sample.seconds < seconds]
    write_text(out / "samples.json", json.dumps([vars(sample) for sample in samples]))
    found = judge(samples, read_json(out / "run.json"), log)
    command = ["yolotrt", "run", "ENGINE", "--source", "VIDEO", *options]
    found = {"command": " ".join(command), "minutes": arguments.minutes, **found}
    emit({**found, "environment": environment(1)}, arguments.json)
    broken = [name for name, held in found["held"].items() if not held]
    if broken:
        sys.exit(f"not held: {', '.join(broken)}")


if __name__ == "__main__":
    main()
