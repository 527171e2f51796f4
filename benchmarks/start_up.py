"""How long ``yolotrt predict`` of a picture takes, beside a program that only loads the session and runs it.

Both are processes of their own, in turns, from start to end: Python's start, imports, loading, one picture
read, letterboxed and run once. The bare program decodes nothing and says nothing. Ratios are medians over
pairs of neighbours. Processor time is told beside the wall's, since on a machine that others use only that
says much; ``yolotrt --help`` is there for scale. What is imported is told by package, as Python's own
``-X importtime`` has it.

    python -m benchmarks.start_up ENGINE... [--picture FILE] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import cv2

from benchmarks.output import emit
from yolotrt.data.scenes.scene import make_scene
from yolotrt.machine.environment import environment

THREADS = len(os.sched_getaffinity(0))
PICTURE_WH = (640, 640)
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As installed programs run, what Python compiled is kept."""

MOST = 12
"""Packages that are told, of those that take longest to import."""

BARE = """
import sys
import cv2
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
picture = cv2.imread(sys.argv[2])
entry = session.get_inputs()[0]
high, wide = entry.shape[2:]
scale = min(high / picture.shape[0], wide / picture.shape[1])
small = cv2.resize(picture, (round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
boxed = np.full((high, wide, 3), 114, np.uint8)
boxed[: small.shape[0], : small.shape[1]] = small
images = boxed[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
session.run(None, {entry.name: images})
"""


def process(command: list[str]) -> dict[str, float]:
    """Run a program to its end, and return its seconds by the wall and of the processor."""
    begin = time.perf_counter()
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRON)
    _, status, used = os.wait4(started.pid, 0)
    seconds = time.perf_counter() - begin
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, command)
    return {"wall": seconds, "cpu": used.ru_utime + used.ru_stime}


def imported(arguments: list[str]) -> dict[str, float]:
    """Return the seconds that importing takes in a run of yolotrt, by package, largest first."""
    command = [sys.executable, "-X", "importtime", "-m", "yolotrt", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRON)
    found: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and "self [us]" not in line:
            own, _, name = line.removeprefix("import time:").split("|")
            found[name.strip().partition(".")[0]] += int(own)
    return {name: microseconds / 1e6 for name, microseconds in found.most_common(MOST)}


def measure(engine: Path, picture: Path, rounds: int) -> dict[str, Any]:
    """Return samples of both programs, and the medians of their ratios."""
    program = [sys.executable, "-m", "yolotrt", "-q"]
    arguments = ["predict", str(engine), str(picture), "--mode", "global"]
    commands = {
        "predict": [*program, *arguments],
        "bare": [sys.executable, "-c", BARE, str(engine), str(picture), str(THREADS)],
        "help": [*program, "--help"],
    }
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for round_ in range(rounds + 1):
        for name, command in commands.items():
            took = process(command)
            if round_:  # the first of each fills the caches
                samples[name].append(took)
    pairs = list(zip(samples["predict"], samples["bare"], strict=True))
    return {
        "engine": engine.name,
        "ratio": {clock: median(mine[clock] / bare[clock] for mine, bare in pairs) for clock in pairs[0][0]},
        "median_s": {
            name: {clock: median(entry[clock] for entry in taken) for clock in taken[0]}
            for name, taken in samples.items()
        },
        "samples_s": samples,
        "imports_s": imported(arguments),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engines", type=Path, nargs="+", metavar="ENGINE")
    parser.add_argument("--picture", type=Path, help="default: a drawn scene")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = given.picture or Path(folder) / "scene.png"
        if given.picture is None:
            cv2.imwrite(str(picture), make_scene(0, PICTURE_WH).image)
        rows = [measure(engine, picture, given.rounds) for engine in given.engines]
    emit({"programs": rows, "environment": environment(THREADS)}, given.json)


if __name__ == "__main__":
    main()
