"""Bytes and time of fetching 500 of 5,000 COCO images, against whole archives and against a serial loop.

    python -m benchmarks.bench_download [--rounds 3] [--images 500] [--latency-ms 20] [--json FILE]

A server in a process of its own answers every request after a fixed delay. It holds a stand-in of COCO
val2017 as large as the real one: 5,000 JPEG images of 640x480 px and 163 kB on average, 20 MB of
annotations inside a 250 MB archive, and the 800 MB archive of the images (both archives are sparse files:
nobody reads what is not asked for). The serial loop is a generous one: one connection kept open, the list
of images known, nothing checked. The whole command, annotations and choice included, is compared with
itself over one connection. CPU time per image is given for both, since on a busy machine that, and not the
server's delay, decides how fast images come.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import httpx

from benchmarks.coco_server import ARCHIVE, IMAGES_ARCHIVE, make_archives, picture_stock, serve
from yolotrt.data.coco.request import FetchProgress, SubsetRequest
from yolotrt.data.coco.subset import fetch_subset
from yolotrt.data.fetch.http import TransferSettings
from yolotrt.timing.trace import now


class Meter:
    """Wall and CPU time of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = now(), time.process_time()

    def seconds(self) -> tuple[float, float]:
        """Return wall and CPU seconds."""
        return (now() - self._wall) / 1e9, time.process_time() - self._cpu


def serial_loop(base: str, names: list[str], folder: Path) -> tuple[float, float]:
    """Fetch images one after another over one connection; return wall and CPU seconds."""
    folder.mkdir()
    meter = Meter()
    with httpx.Client() as client:
        for name in names:
            (folder / name).write_bytes(client.get(f"{base}/val2017/{name}").raise_for_status().content)
    return meter.seconds()


@dataclass(frozen=True)
class Fetched:
    """One run of the whole command."""

    seconds: float
    seconds_images: float
    cpu_images: float
    names: list[str]
    bytes: int


def ours(base: str, count: int, folder: Path, connections: int) -> Fetched:
    """Fetch a subset; the images' time goes from asking for their checksums to the last one's arrival."""
    images: list[Meter] = []
    spent: list[tuple[float, float]] = []

    def watch(progress: FetchProgress) -> None:
        if progress.step == "checksums":
            images.append(Meter())
        elif progress.step == "images" and progress.files == progress.total_files:
            spent.append(images[0].seconds())

    meter = Meter()
    settings = TransferSettings(connections=connections)
    result = fetch_subset(SubsetRequest(folder, count, base_url=base), watch, settings=settings)
    wall, cpu = spent[-1]
    names = sorted(path.name for path in result.parts[0].images.iterdir())
    return Fetched(meter.seconds()[0], wall, cpu, names, result.bytes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(Path(temporary), options.images, options.latency_ms / 1e3, options.rounds)
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(folder: Path, count: int, latency_s: float, rounds: int) -> dict[str, object]:
    stock = picture_stock()
    make_archives(folder, stock)
    whole = {name: (folder / name).stat().st_size for name in (ARCHIVE, IMAGES_ARCHIVE)}
    pipe, other = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(folder, stock, latency_s, other), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{pipe.recv()}"
    several, serial, single = [], [], []
    connections = TransferSettings().connections
    sent = 0
    for number in range(rounds):
        several.append(ours(base, count, folder / f"ours{number}", connections))
        pipe.send(True)
        sent = pipe.recv()
        serial.append(serial_loop(base, several[-1].names, folder / f"serial{number}"))
        single.append(ours(base, count, folder / f"single{number}", 1))
        pipe.send(True)
        pipe.recv()
    server.terminate()
    server.join()
    pairs = list(zip(serial, several, strict=True))
    size = several[-1].bytes
    return {
        "images": count,
        "connections": connections,
        "latency_ms": latency_s * 1e3,
        "rounds": rounds,
        "bytes_images": size,
        "bytes_received": sent,
        "bytes_besides_images": sent - size,
        "bytes_whole_archives": sum(whole.values()),
        "bytes_saved_factor": round(sum(whole.values()) / sent, 2),
        "seconds_serial_images": middle(wall for wall, _ in serial),
        "seconds_ours_images": middle(run.seconds_images for run in several),
        "seconds_one_connection_in_all": middle(run.seconds for run in single),
        "seconds_ours_in_all": middle(run.seconds for run in several),
        "cpu_ms_per_image_serial": middle(cpu / count * 1e3 for _, cpu in serial),
        "cpu_ms_per_image_ours": middle(run.cpu_images / count * 1e3 for run in several),
        "speedup_images": middle(wall / run.seconds_images for (wall, _), run in pairs),
        "speedup_in_all": middle(a.seconds / b.seconds for a, b in zip(single, several, strict=True)),
        "load_average": round(os.getloadavg()[0], 1),
        "measured_at": time.strftime("%Y-%m-%d"),
    }


def middle(values: Iterable[float]) -> float:
    return round(statistics.median(values), 2)


if __name__ == "__main__":
    main()
