"""What ``yolotrt batch`` costs beside the work: of Ray against local processes, and of many inputs in memory.

* 500 pictures by two workers, in local processes and on a running Ray cluster, in turn; the wall time of the
  whole command, and of the part without starting Python, planning and loading (the report's).
* A list of 1,000 and one of 20,000 lines: the driver's peak memory (VmHWM).

    python -m benchmarks.batch_cost [--pairs 3] [--json FILE]     (extra ray)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.batch_world import World, make_world, report, results
from benchmarks.ray_cluster import running
from yolotrt.artifacts.files import write_text
from yolotrt.machine.environment import environment


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


def overhead(world: World, folder: Path, pairs: int) -> dict[str, object]:
    """Run both in turn, and compare."""
    given: list[object] = [world.engine, world.pictures, "--workers", 2, "--shard", 16]
    found: dict[str, list[dict[str, float]]] = {"local": [], "ray": []}
    with running(2) as cluster:
        for _ in range(pairs):
            for name, more in (("local", []), ("ray", ["--ray", cluster.address])):
                took, _peak = run([*given, *more], folder / name)
                worked = float(str(report(folder / name)["seconds"]))
                found[name].append({"wall_s": round(took, 3), "worked_s": round(worked, 3)})
                print(f"{name}: {took:.1f} s, of it {worked:.1f} s worked", flush=True)
            if results(folder / "local") != results(folder / "ray"):
                raise SystemExit("the results differ")
    ratios = {
        key: round(median(r[key] for r in found["ray"]) / median(r[key] for r in found["local"]), 4)
        for key in ("wall_s", "worked_s")
    }
    print(f"Ray takes {ratios['wall_s']:.3f} times as long", flush=True)
    return {"runs": found, "ratios": ratios}


def memory(world: World, folder: Path) -> dict[str, object]:
    """Run lists of two lengths, which name the same pictures again and again."""
    pictures = sorted(world.pictures.iterdir())[:50]
    peaks = {}
    for count in (1_000, 20_000):
        listed = folder / f"{count}.txt"
        listed.write_text("".join(f"{pictures[k % len(pictures)]}\n" for k in range(count)))
        given: list[object] = [world.engine, listed, "--workers", 1, "--mode", "global", "--shard", 100]
        _took, peaks[count] = run([*given, "--classes", "1"], folder / "memory")
        print(f"{count} inputs: {peaks[count] / 1024:.1f} MiB", flush=True)
    ratio = round(peaks[20_000] / peaks[1_000], 4)
    return {"peak_kib": {str(count): peak for count, peak in peaks.items()}, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", choices=("overhead", "memory"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found: dict[str, object] = {"environment": environment(os.cpu_count() or 1)}
    with tempfile.TemporaryDirectory(prefix="cost-") as name:
        folder = Path(name)
        world = make_world(folder, 500)
        if chosen.only != "overhead":
            found["memory"] = memory(world, folder)
        if chosen.only != "memory":
            found["overhead"] = overhead(world, folder, chosen.pairs)
    if chosen.json:
        write_text(chosen.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
