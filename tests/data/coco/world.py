"""A miniature COCO: images, annotations and archives laid out as on COCO's server, and that server."""

from __future__ import annotations

import io
import json
import random
import re
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import cv2
import numpy as np
import pytest

CLASSES = {1: "person", 3: "car", 10: "traffic light", 17: "cat", 18: "dog"}
ARCHIVE = "/annotations/annotations_trainval2017.zip"
PLAIN = "/annotations/instances_val2017.json"
IMAGES_ZIP = "/zips/val2017.zip"


@pytest.fixture(autouse=True)
def few_certificates(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every HTTP client load one certificate instead of 140, which takes longer than most tests."""
    path = tmp_path_factory.getbasetemp() / "one.pem"
    if not path.exists():
        first = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
        path.write_text("".join(first[:2]) + "\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


def make_world(count: int = 40, seed: int = 3) -> dict[str, bytes]:
    """Return the files of a server by path. Class 1 is everywhere, the others are rarer and rarer."""
    draw = random.Random(seed)
    noise = np.random.default_rng(seed)
    images, annotations, files = [], [], {}
    for number in range(count):
        key = 100 + 37 * number
        width, height = draw.randrange(48, 97), draw.randrange(40, 81)
        name = f"{key:012d}.jpg"
        files[f"/val2017/{name}"] = jpeg(noise, width, height)
        images.append({"id": key, "file_name": name, "width": width, "height": height, "license": 1})
        for _ in range(0 if number % 13 == 5 else draw.randrange(1, 6)):
            category = [1, 1, 1, 1, 3, 3, 10, 17, 18][draw.randrange(9)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": key,
                    "category_id": category,
                    "area": draw.choice([200.0, 700.5, 2000.0, 9215.9, 9216.0, 20000.0]),
                    "bbox": [1, 2, 20, 20],
                    "iscrowd": int(draw.random() < 0.05),
                    "segmentation": [[1, 2, 21, 2, 21, 22]],
                }
            )
    document = {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "some"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k, "name": n, "supercategory": "x"} for k, n in CLASSES.items()],
    }
    return with_archives(files, document)


def with_archives(files: dict[str, bytes], document: object) -> dict[str, bytes]:
    """Add the two archives that COCO publishes to a server's images."""
    files[ARCHIVE] = zipped(
        {
            "annotations/captions_val2017.json": random.Random(1).randbytes(150_000),
            "annotations/instances_train2017.json": random.Random(2).randbytes(450_000),
            "annotations/instances_val2017.json": json.dumps(document).encode(),
        }
    )
    images = {path[1:]: data for path, data in files.items() if path.startswith("/val2017/")}
    files[IMAGES_ZIP] = zipped(images, zipfile.ZIP_STORED)
    return files


def jpeg(noise: np.random.Generator, width: int, height: int) -> bytes:
    picture = cv2.resize(noise.integers(0, 256, (8, 8, 3), np.uint8), (width, height))
    picture ^= noise.integers(0, 32, picture.shape, np.uint8)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def unpacked_to(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a server's files into a folder."""
    for path, data in files.items():
        target = folder / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def instances_of(files: dict[str, bytes]) -> dict:
    with zipfile.ZipFile(io.BytesIO(files[ARCHIVE])) as archive:
        return json.loads(archive.read("annotations/instances_val2017.json"))


Fault = Callable[[str, int], "str | None"]


def no_fault(_path: str, _nth: int) -> None:
    return None


@dataclass
class CocoServer:
    """A running server and what it has done.

    ``fault(path, nth)`` names what goes wrong with the nth request (from 0) for a path.
    """

    files: dict[str, bytes]
    fault: Fault = no_fault
    ranges: bool = True
    validators: bool = True
    latency_s: float = 0.0
    drip_s: float = 0.02
    retry_after: str = "0"
    requests: list[str] = field(default_factory=list)
    sent: int = 0
    seen: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def asked(self, prefix: str) -> int:
        return sum(path.startswith(prefix) for path in self.requests)

    def forget(self) -> None:
        self.requests.clear()
        self.seen.clear()
        self.sent = 0


@contextmanager
def serving(files: dict[str, bytes], **options) -> Iterator[CocoServer]:
    """Serve files on a free port of this machine until the block ends."""
    state = CocoServer(files, **options)
    handler = type("Handler", (_Handler,), {"state": state})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_args) -> None:
        """Clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    state: CocoServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_args) -> None:
        return

    def do_GET(self) -> None:
        state = self.state
        # Through a proxy the whole URL is the path.
        path = re.sub(r"^http://[^/]*", "", self.path)
        moved = path.startswith("/moved")
        path = path.removeprefix("/moved")
        with state.lock:
            state.requests.append(path)
            nth = state.seen[path]
            state.seen[path] += not moved
        fault = None if moved else state.fault(path, nth)
        if state.latency_s:
            time.sleep(state.latency_s)
        data = state.files.get(path)
        if fault and fault.isdigit():
            return self._answer(
                int(fault), b"no", {"Retry-After": state.retry_after} if fault == "429" else None
            )
        if fault == "redirect":
            return self._answer(302, b"", {"Location": f"/moved{path}"})
        if fault == "loop":
            return self._answer(302, b"", {"Location": path})
        if fault == "reset":
            self.close_connection = True
            return None
        if data is None:
            return self._answer(404, b"no such file")
        if fault == "corrupt":
            data = bytearray(data)
            for at in range(len(data) // 2, len(data), 400):
                data[at] ^= 0x55
            data = bytes(data)
        if fault == "other":
            data = data[::-1]
        return self._file(data, fault)

    def _file(self, data: bytes, fault: str | None) -> None:
        state = self.state
        version = f'"{len(data)}-{hash(data) & 0xFFFFFF:x}"'
        headers = {"ETag": version} if state.validators else {}
        if fault == "md5":
            headers |= {"ETag": '"' + "0" * 32 + '"', "Server": "AmazonS3"}
        if fault == "gzip":
            headers["Content-Encoding"] = "gzip"
        wanted = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        stale = self.headers.get("If-Range", version) != version
        if state.ranges and wanted and not stale and fault != "ignore-range":
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            if first > last:
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            shown = first + (3 if fault == "wrong-range" else 0)
            headers["Content-Range"] = f"bytes {shown}-{last}/{len(data)}"
            return self._answer(206, data[first : last + 1], headers, fault)
        return self._answer(200, data, headers, fault)

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, fault: str | None = None
    ) -> None:
        length = len(body) + {"long": 10, "short": -10}.get(fault or "", 0)
        cut = fault in ("drop", "long", "short", "unsized-drop") or fault == "endless"
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if fault == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:9], body[9:]) if p) + b"0\r\n\r\n"
        elif fault not in ("unsized", "unsized-drop"):
            self.send_header("Content-Length", str(length))
        self.close_connection = cut or fault == "unsized"
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        body = body[: (len(body) + 1) // 2] if fault in ("drop", "unsized-drop") else body
        body = body[:length] if fault == "short" else body
        try:
            if fault == "stall":
                self._write(body[:100])
                time.sleep(3.0)
            elif fault in ("slow", "drip"):
                step = 1 if fault == "drip" else max(1, len(body) // 8)
                for at in range(0, len(body), step):
                    self._write(body[at : at + step])
                    time.sleep(self.state.drip_s)
            else:
                self._write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _write(self, data: bytes) -> None:
        with self.state.lock:  # before: whoever has it all may ask at once
            self.state.sent += len(data)
        self.wfile.write(data)
