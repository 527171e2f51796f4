"""A stand-in of COCO val2017 as large as the real one, behind a server that answers after a fixed delay."""

from __future__ import annotations

import asyncio
import json
import random
import re
import struct
import zlib
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np

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


def write_sparse_zip(path: Path, members: Sequence[tuple[str, int, int, int, int, bytes | None]]) -> None:
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
