"""The service as its callers see it: a program that listens, over HTTP, until it is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.scale.conftest import free_port
from yolotrt.pipeline.tiled import TiledPipeline

PICTURE = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


@pytest.fixture
def url(engine: Path, tmp_path: Path) -> Iterator[str]:
    """Where a service listens that takes two pictures at a time, and of no more bytes than ours."""
    pytest.importorskip("ray.serve", reason="needs ray[serve]")
    port = free_port()
    command = [sys.executable, "-m", "yolotrt", "serve", str(engine), "--port", str(port)]
    options = ["--queue", "2", "--max-megabytes", str(len(PNG) / 1e6)]
    process = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("serving: "):
            break
    assert said, "it ended"
    assert said[-1].startswith("serving: "), "".join(said)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0


def asked(url: str, body: bytes | None = None) -> tuple[int, Message, bytes]:
    """Return status, headers and body of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers, exc.read()


def test_pictures_come_in_and_coco_records_go_out(url: str, engine: Path) -> None:
    code, _, body = asked(f"{url}/detect?image_id=7", PNG)
    with TiledPipeline.open(engine) as pipeline:
        expected = json.loads(json.dumps(pipeline(PICTURE).to_coco(7)))
    assert (code, json.loads(body)) == (200, expected)
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} <= set(expected[0])
    assert [asked(f"{url}{path}")[0] for path in ("/healthz", "/readyz", "/detect")] == [200, 200, 405]
    assert asked(f"{url}/detect", PNG + b"x")[0] == 413
    assert asked(f"{url}/detect", b"no picture")[0] == 400

    answers: list[tuple[int, Message, bytes]] = []
    callers = [
        threading.Thread(target=lambda: answers.append(asked(f"{url}/detect", PNG))) for _ in range(12)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    codes = [code for code, _, _ in answers]
    assert set(codes) == {200, 429}, "what is too much is refused, and the rest is served"
    assert all(headers["Retry-After"] == "1" for code, headers, _ in answers if code == 429)

    figures = asked(f"{url}/metrics")[2].decode()
    assert f'yolotrt_requests_total{{code="429"}} {codes.count(429)}' in figures
