"""Bytes and time of fetching 500 of 5,000 COCO images, against whole archives and against a serial loop.

    python benchmarks/bench_download.py [--rounds 3] [--images 500] [--latency-ms 20] [--json FILE]

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
import asyncio
import json
import os
import random
import re
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import httpx
import numpy as np

from yolotrt.data.coco.request import FetchProgress, SubsetRequest
from yolotrt.data.coco.subset import fetch_subset
from yolotrt.data.fetch.http import TransferSettings
from yolotrt.timing.trace import now

IMAGES = 5000
ANNOTATIONS = 36_781
ARCHIVE = "annotations/annotations_trainval2017.zip"
IMAGES_ARCHIVE = "zips/val2017.zip"
FILLER = 240_000_000


def picture_stock(count: int = 24) -> list[bytes]:
    """Return JPEG images of about the size of COCO's."""
    noise = np.random.default_rng(0)
    stock = []
    for _ in range(count):
        rough = cv2.resize(
            noise.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
        )
        grain = noise.normal(0, noise.uniform(6, 22), rough.shape)
        picture = np.clip(rough * 0.7 + 40 + grain, 0, 255).astype(np.uint8)
        stock.append(bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]))
    return stock


def image_bytes(stock: list[bytes], key: int) -> bytes:
    """Return the image of an id: one of the stock, made unique by a comment segment."""
    data = stock[key % len(stock)]
    return data[:2] + b"\xff\xfe\x00\x0e" + b"%012d" % key + data[2:]


def annotations_json() -> bytes:
    """Return instances like COCO's: 80 classes of very different frequency, polygons with two decimals."""
    draw = random.Random(0)
    keys = [int(key) for key in np.random.default_rng(1).choice(581_000, IMAGES, replace=False) + 1]
    annotations = []
    for key in range(ANNOTATIONS):
        area = 10 ** draw.uniform(1.5, 5)
        polygon = [round(draw.uniform(0, 480), 2) for _ in range(2 * draw.randrange(8, 52))]
        annotations.append(
            {
                "segmentation": [polygon],
                "area": area,
                "iscrowd": 0,
                "image_id": draw.choice(keys),
                "bbox": polygon[:4],
                "category_id": min(80, 1 + int(draw.expovariate(0.06))),
                "id": key + 1,
            }
        )
    images = [
        {
            "license": 4,
            "file_name": f"{k:012d}.jpg",
            "coco_url": "x" * 56,
            "height": 480,
            "width": 640,
            "id": k,
        }
        for k in keys
    ]
    categories = [{"supercategory": "thing", "id": k, "name": f"class {k}"} for k in range(1, 81)]
    document = {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    return json.dumps(document).encode()


def write_sparse_zip(path: Path, members: list[tuple[str, int, int, int, int, bytes | None]]) -> None:
    """Write an archive of (name, method, crc, compressed, size, data); without data, a hole is left."""
    directory = b""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for name, method, crc, compressed, size, data in members:
            at, raw, extra = stream.tell(), name.encode(), bytes(24)
            common = struct.pack("<HHHHHIIIH", 20, 0, method, 0, 0, crc, compressed, size, len(raw))
            stream.write(b"PK\x03\x04" + common + struct.pack("<H", len(extra)) + raw + extra)
            if data is None:
                stream.seek(compressed, 1)
            else:
                stream.write(data)
            fields = struct.pack("<HHHHII", len(extra), 0, 0, 0, 0, at)
            directory += b"PK\x01\x02" + struct.pack("<H", 20) + common + fields + raw + extra
        start, count = stream.tell(), len(members)
        end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0)
        stream.write(directory + b"PK\x05\x06" + end)


def make_archives(folder: Path, stock: list[bytes]) -> None:
    document = annotations_json()
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(document) + packer.flush()
    member = (
        "annotations/instances_val2017.json",
        8,
        zlib.crc32(document),
        len(packed),
        len(document),
        packed,
    )
    filler = ("annotations/instances_train2017.json", 0, 0, FILLER, FILLER, None)
    write_sparse_zip(folder / ARCHIVE, [filler, member])
    members = []
    for image in json.loads(document)["images"]:
        data = image_bytes(stock, image["id"])
        members.append((f"val2017/{image['file_name']}", 0, zlib.crc32(data), len(data), len(data), None))
    write_sparse_zip(folder / IMAGES_ARCHIVE, members)


def serve(folder: Path, stock: list[bytes], latency_s: float, pipe: Connection) -> None:
    """Run the server; any message on the pipe is answered by the bytes sent since the last one."""
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while request := await reader.readline():
            wanted = None
            while (line := await reader.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"range:"):
                    wanted = re.search(rb"(\d+)-(\d*)", line)
            path = request.split()[1].decode()[1:]
            await asyncio.sleep(latency_s)
            status, body, extra = answer(path, wanted)
            head = f'HTTP/1.1 {status}\r\nETag: "v1"\r\nContent-Length: {len(body)}\r\n{extra}\r\n'
            writer.write(head.encode() + body)
            await writer.drain()
            sent += len(body)
        writer.close()

    def answer(path: str, wanted: re.Match[bytes] | None) -> tuple[str, bytes, str]:
        if path.startswith("val2017/"):
            return "200 OK", image_bytes(stock, int(path[8:20])), ""
        total = (folder / path).stat().st_size
        first, last = (int(wanted[1]), min(int(wanted[2]), total - 1)) if wanted else (0, total - 1)
        with (folder / path).open("rb") as stream:
            stream.seek(first)
            body = stream.read(last - first + 1)
        return (
            ("206 Partial", body, f"Content-Range: bytes {first}-{last}/{total}\r\n")
            if wanted
            else ("200", body, "")
        )

    async def run() -> None:
        nonlocal sent
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send(sent)
            sent = 0

    asyncio.run(run())


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
