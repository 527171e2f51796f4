"""What ``yolotrt batch`` costs beside the work: of Ray against local processes, and of many inputs in memory.

* 500 pictures of 1280 x 720 (tiles of 640 and the whole, the demo network) by two workers, in local processes
  and on a running Ray cluster, in turn, the first one alternating; the wall time of the whole command, with
  starting Python, importing and connecting to Ray, planning, starting workers and loading engines; and of
  the part from the first worker's start on (the report's). Once also the same plan through Ray Data, whose
  workers are the same, beside that part.
* A list of 1,000 and one of 20,000 lines: the driver's peak memory (VmHWM). The files are pictures that break
  off behind their first bytes: planned, hashed, dealt out and written like others, and soon looked at.

    python -m benchmarks.batch_cost [--pairs 3] [--only overhead] [--json FILE]     (extra ray)
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.batch_world import World, demo_world, make_world, report, results
from benchmarks.ray_cluster import running
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.scale.crew import Hand
from yolotrt.scale.job import Job
from yolotrt.scale.plan import read_plan
from yolotrt.scale.ray_crew import connected


def run(arguments: list[object], out: Path) -> tuple[float, int]:
    """Run a batch; return the wall time, seconds, and the driver's peak memory, KiB."""
    shutil.rmtree(out, ignore_errors=True)
    begin, peak = time.perf_counter(), 0
    words = [sys.executable, "-m", "yolotrt", "batch", *map(str, arguments), "-o", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(0.05)
    took = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"it failed: {process.stderr.read() if process.stderr else ''}")
    return took, peak


def overhead(world: World, folder: Path, pairs: int, pictures: int) -> dict[str, object]:
    """Run both in turn, and compare."""
    given: list[object] = [world.engine, world.pictures, "--workers", 2, "--shard", 16]
    found: dict[str, list[dict[str, float]]] = {"local": [], "ray": [], "ray_data": []}
    with running(2) as cluster:
        ways: list[tuple[str, list[str]]] = [("local", []), ("ray", ["--ray", cluster.address])]
        for turn in range(pairs):
            for name, more in ways[:: -1 if turn % 2 else 1]:
                took, _peak = run([*given, *more], folder / name)
                worked = float(str(report(folder / name)["seconds"]))
                found[name].append({"wall_s": round(took, 3), "worked_s": round(worked, 3)})
                print(f"{name}: {took:.1f} s, of it {worked:.1f} s worked", flush=True)
        took = by_ray_data(cluster.address, world, folder / "ray", folder / "data", pictures)
        found["ray_data"].append({"worked_s": round(took, 3)})
        print(f"Ray Data: {took:.1f} s worked", flush=True)
    if not results(folder / "local") == results(folder / "ray") == results(folder / "data"):
        raise SystemExit("the results differ")
    keys = ("wall_s", "worked_s")
    local, ray = ({key: median(r[key] for r in found[name]) for key in keys} for name in ("local", "ray"))
    ratios = {key: round(ray[key] / local[key], 4) for key in keys}
    more_s = {key: round(ray[key] - local[key], 3) for key in keys}
    print(f"Ray takes {ratios['wall_s']:.3f} times as long, {more_s['wall_s']:.1f} s more", flush=True)
    return {"pictures": pictures, "runs": found, "ratios": ratios, "more_s": more_s}


class DataHand:
    """The worker as Ray Data wants it: a row in, a row out."""

    def __init__(self, job: Job) -> None:
        self._hand = Hand(job)
        self._hand.begin()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Compute a shard."""
        said = self._hand.do(pickle.loads(row["item"]))
        return {"frames": getattr(said, "frames", 0)}


def by_ray_data(address: str, world: World, plan: Path, out: Path, pictures: int) -> float:
    """Compute a plan by Ray Data on a cluster; return the wall time, seconds."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "shards").mkdir(parents=True)
    job = Job(str(world.engine), PipelineSettings(), str(out))
    with connected(address, local_cpus=2):
        from ray import data as ray_data

        with read_plan(plan) as (_, shards):
            rows = [pickle.dumps(shard) for shard in shards]
        begin = time.perf_counter()
        data = ray_data.from_items(rows, override_num_blocks=len(rows))
        pool = ray_data.ActorPoolStrategy(size=2)
        data = data.map(DataHand, fn_constructor_args=(job,), compute=pool, num_cpus=1)
        frames = sum(row["frames"] for row in data.iter_rows())
        took = time.perf_counter() - begin
    if frames != pictures:
        raise SystemExit(f"Ray Data looked at {frames} frames")
    return took


def memory(world: World, folder: Path) -> dict[str, object]:
    """Run lists of two lengths, each of as many files."""
    begin = next(world.pictures.iterdir()).read_bytes()[:100]
    (folder / "listed").mkdir()
    peaks = {}
    for count in (1_000, 20_000):
        listed = folder / f"{count}.txt"
        with listed.open("w") as lines:
            for index in range(count):
                path = folder / "listed" / f"{index:06d}.jpg"
                path.write_bytes(begin)
                lines.write(f"{path}\n")
        _took, peaks[count] = run([world.engine, listed, "--workers", 1], folder / "memory")
        print(f"{count} inputs: {peaks[count] / 1024:.1f} MiB", flush=True)
    ratio = round(peaks[20_000] / peaks[1_000], 4)
    return {"peak_kib": {str(count): peak for count, peak in peaks.items()}, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--only", choices=("overhead", "memory"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found: dict[str, object] = {"environment": as_values(environment(os.cpu_count() or 1))}
    with tempfile.TemporaryDirectory(prefix="cost-") as name:
        folder = Path(name)
        for part in ("many", "much"):
            (folder / part).mkdir()
        if chosen.only != "overhead":
            found["memory"] = memory(make_world(folder / "many", 1), folder / "many")
        if chosen.only != "memory":
            world = demo_world(folder / "much", chosen.pictures, wh=(1280, 720))
            found["overhead"] = overhead(world, folder / "much", chosen.pairs, chosen.pictures)
    if chosen.json:
        write_text(chosen.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
