"""What calibration costs: its CPU time over that of plain inference of the same images, and its memory.

Each run has a process of its own: imports, reading and letterboxing the images count for both; histograms
and the audit count for calibration. Runs alternate, and the ratio is the median over pairs. Memory is
the peak of the whole process.

    python -m benchmarks.calibration_cost NETWORK.onnx IMAGES [--method entropy] [--limit 160] [--rounds 3] \
        [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.data.images import list_images
from yolotrt.machine.environment import environment
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.quantization.algorithms import ALGORITHMS
from yolotrt.quantization.batches import ImageFeed, Preprocessing
from yolotrt.quantization.cache import BATCH, load_or_calibrate
from yolotrt.quantization.observe import open_session

THREADS = len(os.sched_getaffinity(0))
PLAIN = "plain"


def run_here(method: str, network: Path, images: list[Path]) -> None:
    model = load_onnx(network)
    spec = read_spec(model, network.stem)
    if method != PLAIN:
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder) / "calib.json"
            load_or_calibrate(network, spec, images, cache, algorithm=method, threads=THREADS)  # type: ignore[arg-type]
        return
    run = open_session(model, THREADS)
    for batch in ImageFeed(images, Preprocessing(spec.input_wh), batch=spec.batch or BATCH):
        run([spec.head_output, spec.proto_output], {spec.input_name: batch})


def measured(method: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run one method in a process of its own; return CPU and wall seconds and its peak memory in MiB."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.calibration_cost",
        str(arguments.network),
        str(arguments.images),
    ]
    command += ["--limit", str(arguments.limit), "--run", method]
    begin = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{method} failed with {child.returncode}")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "wall_s": round(time.perf_counter() - begin, 2),
        "peak_rss_mib": round(used.ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path, help="the FP32 network")
    parser.add_argument("images", type=Path, help="folder of calibration images")
    parser.add_argument("--method", choices=ALGORITHMS, default="entropy")
    parser.add_argument("--limit", type=int, default=160, help="number of images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        images = list_images(arguments.images)[: arguments.limit]
        run_here(arguments.run, arguments.network, images)
        return
    rounds: list[dict[str, dict[str, float]]] = []
    for _ in range(arguments.rounds):
        rounds.append(
            {"plain": measured(PLAIN, arguments), "calibration": measured(arguments.method, arguments)}
        )
    result = summary(arguments, rounds)
    print(
        f"{arguments.method}, {result['images']} images: {result['cpu_ratio']:.2f}x the CPU time of plain "
        f"inference ({result['wall_ratio']:.2f}x by the clock), peak {result['peak_rss_mib']} MiB"
    )
    if arguments.json:
        write_text(arguments.json, json.dumps(as_values(result), indent=1) + "\n")


def summary(arguments: argparse.Namespace, rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    def ratio(what: str) -> float:
        return statistics.median(r["calibration"][what] / r["plain"][what] for r in rounds)

    return {
        "method": arguments.method,
        "images": min(arguments.limit, len(list_images(arguments.images))),
        "cpu_ratio": round(ratio("cpu_s"), 3),
        "wall_ratio": round(ratio("wall_s"), 3),
        "peak_rss_mib": max(r["calibration"]["peak_rss_mib"] for r in rounds),
        "rounds": rounds,
        "environment": environment(THREADS),
    }


if __name__ == "__main__":
    main()
