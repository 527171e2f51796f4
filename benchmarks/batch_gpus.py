"""``yolotrt batch`` on one GPU, by two workers on it, on all GPUs, and with a worker killed on one of them.

    python -m benchmarks.batch_gpus ENGINE FRAMES [--pictures N] [--size WxH] [--json FILE]     (extra ray)

Pictures are windows of large frames, each somewhere else, written as JPEG: as many different ones as asked
for. Every case is the whole command, with workers on a Ray cluster of its own or in processes. Three
durations come of each: of the command, of the batch (the report's: planning, Python's and Ray's start are not
in it), and of the work (from about the first result's beginning to the last one's end). What must hold:

* every case finds what one GPU finds, byte for byte;
* with a worker killed (SIGKILL) after some results the command completes, and finds the same.

``parts`` says where a picture's time goes in a worker: reading and hashing, decoding, detecting, records.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import cv2
import numpy as np
import psutil

from benchmarks.batch_world import report, results, states
from benchmarks.output import emit
from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.data.coco.names import category_ids
from yolotrt.data.images import decode_image
from yolotrt.machine.environment import environment
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.workflow.identity import RecordIds
from yolotrt.workflow.predict import Found
from yolotrt.workflow.records import frame_record

TARGET = 1.85
"""Times one GPU, at least."""
SHARD = 32
"""Pictures of a result, as ``batch`` has it."""
ONE, SHARED, ALL = "one GPU", "two workers on one GPU", "all GPUs"


@dataclass(frozen=True)
class Ran:
    """A batch that ended.

    Attributes:
        command_s: Duration of the whole command.
        batch_s: Of the batch, by its report: from when it was planned and workers had been asked for.
        work_s: From the beginning of the first result to the end of the last.
        before_s: From the command's start to the first result's beginning.
        after_s: From the last result's end to the command's.
        pictures: How many were looked at.
        lost: Workers that ended.
        rates: Pictures a second of each worker while it worked.
    """

    command_s: float
    batch_s: float
    work_s: float
    before_s: float
    after_s: float
    pictures: int
    lost: int
    rates: tuple[float, ...]


def write_pictures(frames: Path, folder: Path, count: int, wh: tuple[int, int]) -> None:
    """Write windows of the frames as JPEG files."""
    large = [decode_image(path.read_bytes(), path) for path in sorted(frames.iterdir())]
    draw = np.random.default_rng(0)
    places = [
        (k, *(int(draw.integers(0, n)) for n in _room(large[k % len(large)], wh))) for k in range(count)
    ]

    def write(place: tuple[int, int, int]) -> None:
        k, x, y = place
        window = large[k % len(large)][y : y + wh[1], x : x + wh[0]]
        cv2.imwrite(str(folder / f"{k:06d}.jpg"), window, [cv2.IMWRITE_JPEG_QUALITY, 92])

    folder.mkdir()
    with ThreadPoolExecutor() as pool:
        list(pool.map(write, places))


def _room(frame: Frame, wh: tuple[int, int]) -> tuple[int, int]:
    return frame.shape[1] - wh[0] + 1, frame.shape[0] - wh[1] + 1


def run(given: list[object], out: Path, gpus: str | None, *, kill_after: int | None = None) -> Ran:
    """Run a batch; with ``kill_after``, kill a worker once so many results are there."""
    words = [sys.executable, "-m", "yolotrt", "batch", *map(str, given), "-o", str(out)]
    shown = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus}
    begin, since = time.perf_counter(), time.time()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **shown}
        )
        if kill_after is not None:
            _kill_one(process, out, kill_after)
        process.wait()
        took, until = time.perf_counter() - begin, time.time()
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} failed: {errors.read()[-2000:]}")
    done = report(out)
    ended = [written / 1e9 for _, written in states(out).values()]
    first = min(ended) - _first_seconds(done)
    workers = done["workers"]
    assert isinstance(workers, list)
    return Ran(
        took, float(str(done["seconds"])), max(ended) - first, first - since, until - max(ended),
        int(str(done["frames"])),
        int(str(done["workers_lost"])), tuple(float(w["frames_per_s"]) for w in workers),
    )  # fmt: skip


def _first_seconds(done: dict[str, object]) -> float:
    """Return about how long a shard takes, seconds: the first result's beginning is not written down."""
    workers = done["workers"]
    assert isinstance(workers, list)
    return mean(float(w["busy_s"]) / int(w["shards"]) for w in workers)


def _kill_one(process: subprocess.Popen[bytes], out: Path, results_there: int) -> None:
    while process.poll() is None and len(list((out / "shards").glob("*.jsonl"))) < results_there:
        time.sleep(0.01)
    below = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in below if _works(child)]
    if not workers:
        raise SystemExit("there is no worker to kill")
    workers[0].send_signal(signal.SIGKILL)


def _works(process: psutil.Process) -> bool:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return words.startswith("ray::Hand") or "yolotrt.scale.crew" in words


def parts(engine: Path, pictures: Path, count: int) -> dict[str, float]:
    """Return where a picture's time goes in a worker, median seconds of each part."""
    found: dict[str, list[float]] = {"read and hash": [], "decode": [], "detect": [], "records": []}
    with TiledPipeline.open(engine, device="auto") as pipeline:
        classes = tuple(category_ids(pipeline.names))
        for path in sorted(pictures.iterdir())[:count]:
            stamps = [time.perf_counter()]
            data = path.read_bytes()
            sha256_bytes(data)
            stamps.append(time.perf_counter())
            image = decode_image(data, path)
            stamps.append(time.perf_counter())
            result = pipeline(image)
            stamps.append(time.perf_counter())
            ids = RecordIds({path.name: 1}, classes, {})
            json.dumps(
                frame_record(Found(path.name, result.frame_wh, result.detections, pipeline.names), ids)
            )
            stamps.append(time.perf_counter())
            for name, seconds in zip(found, np.diff(stamps), strict=True):
                found[name].append(float(seconds))
    return {name: float(np.median(values[1:])) for name, values in found.items()}


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("frames", type=Path, help="folder of large pictures")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--size", default="1920x1080", help="of a picture, px")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", default="ray", help="ray, processes, or both")
    parser.add_argument("--cases", default=f"{ONE},{SHARED},{ALL},a worker killed")
    parser.add_argument("--gpus", type=int, default=2, help="how many there are; 0 for a trial on processors")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    ran: dict[str, list[dict[str, object]]] = {}
    with tempfile.TemporaryDirectory(prefix="batch-") as name:
        folder = Path(name)
        pictures = folder / "pictures"
        write_pictures(options.frames, pictures, options.pictures, (width, height))
        expected: dict[str, bytes] = {}
        for round_ in range(options.rounds):
            for way in options.ways.split(","):
                for case, gpus, more in _cases(options.gpus, options.cases.split(",")):
                    label = f"{way}: {case}"
                    out = folder / f"{way}-{case.replace(' ', '-')}-{round_}"
                    given = [options.engine, pictures, *more, *(["--ray", "local"] if way == "ray" else [])]
                    kill = options.pictures // SHARD // 4 if "killed" in case else None
                    done = run(given, out, gpus, kill_after=kill)
                    ran.setdefault(label, []).append(asdict(done))
                    print(label, asdict(done), flush=True)
                    expected = expected or results(out)
                    if results(out) != expected:
                        raise SystemExit(f"{label}: other results than one GPU's")
                    if (kill is not None) != (done.lost > 0):
                        raise SystemExit(f"{label}: {done.lost} workers ended")
        found = {
            "environment": as_values(environment(os.cpu_count() or 1)),
            "engine": options.engine.name,
            "pictures": options.pictures,
            "size_px": options.size,
            "objects": sum(line.count(b'"bbox"') for line in expected.values()),
            "parts_s": parts(options.engine, pictures, min(200, options.pictures)),
            "ran": ran,
        }
    emit(found, options.json)
    print(table(found))


def _cases(gpus: int, wanted: Sequence[str]) -> list[tuple[str, str, list[object]]]:
    """Return the cases that are wanted: their names, the GPUs that they see, and their options."""
    return [case for case in _all_cases(gpus) if case[0].replace(f"{ALL}, a", "a") in wanted]


def _all_cases(gpus: int) -> list[tuple[str, str, list[object]]]:
    every = ",".join(map(str, range(gpus)))
    if not gpus:
        two: list[object] = ["--workers", 2]
        return [(ONE, "", ["--workers", 1]), (ALL, "", two), (f"{ALL}, a worker killed", "", two)]
    cases: list[tuple[str, str, list[object]]] = [
        (ONE, "0", ["--gpus", "all"]),
        (SHARED, "0", ["--gpus", "all", "--workers", 2]),
    ]
    if gpus > 1:
        cases += [(ALL, every, ["--gpus", "all"]), (f"{ALL}, a worker killed", every, ["--gpus", "all"])]
    return cases


def table(found: dict[str, object]) -> str:
    """Return what was measured as a table."""
    ran = found["ran"]
    assert isinstance(ran, dict)
    lines = [
        "| | command, s | batch, s | work, s | pictures/s while working | times one GPU: command | work |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, runs in ran.items():
        mid = {k: float(np.median([r[k] for r in runs])) for k in ("command_s", "batch_s", "work_s")}
        one = {k: float(np.median([r[k] for r in ran[f"{label.split(':')[0]}: {ONE}"]])) for k in mid}
        lines.append(
            f"| {label} | {mid['command_s']:.1f} | {mid['batch_s']:.1f} | {mid['work_s']:.1f} "
            f"| {runs[0]['pictures'] / mid['work_s']:.0f} "
            f"| {one['command_s'] / mid['command_s']:.2f}x | {one['work_s'] / mid['work_s']:.2f}x |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
