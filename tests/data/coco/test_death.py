"""Processes that really die: killed, interrupted, called off. The next run has to complete their work."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.data.coco.test_subset import asked, assert_nothing_corrupt, assert_whole, fetch
from tests.data.coco.world import CocoServer, few_certificates, make_world, serving  # noqa: F401
from yolotrt.data.coco.manifest import read_manifest
from yolotrt.data.coco.plan import problem_of
from yolotrt.data.fetch.http import TransferSettings

WORLD = make_world(40)
DOWNLOAD = (
    "import sys, typer; from yolotrt.cli.download import download\n"
    "app = typer.Typer(); app.command()(download); sys.exit(app(standalone_mode=False))"
)


def started(server: CocoServer, folder: Path) -> subprocess.Popen[str]:
    """Start a download in a process of its own, and wait for its first request."""
    command = [
        sys.executable,
        "-c",
        DOWNLOAD,
        "--images",
        "40",
        "--out",
        str(folder),
        "--base-url",
        server.url,
    ]
    server.forget()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    while not server.requests:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    return process


def slow_images(path: str, _nth: int) -> str | None:
    return "slow" if path.startswith("/val2017") else None


def assert_sane(folder: Path) -> None:
    """Whatever has its final name is whole, and whatever is recorded is there or was never recorded."""
    assert_nothing_corrupt(folder)
    if (folder / "manifest.json").exists():
        for entry in read_manifest(folder).files:
            if entry.sha256 is not None:
                assert problem_of(folder / entry.file, entry) is None


def test_killed_at_any_moment_nothing_is_broken_and_the_next_run_completes(tmp_path: Path) -> None:
    draw = random.Random(11)
    with serving(WORLD, latency_s=0.02, fault=slow_images, drip_s=0.04) as server:
        request = asked(server, tmp_path, images=40)
        counts = [0]
        for longest_s in (0.1, 0.4, 0.5):
            process = started(server, request.folder)
            time.sleep(draw.uniform(0.0, longest_s))
            process.kill()
            process.communicate()
            assert_sane(request.folder)
            counts.append(len(list(request.folder.rglob("*.jpg"))))
        assert counts == sorted(counts)
        server.fault = lambda *_: None
        server.forget()
        assert fetch(request).kept >= counts[-1]
        # What the killed process had asked for on its 8 connections may be noted only now.
        assert 40 - counts[-1] <= server.asked("/val2017") <= 40 - counts[-1] + TransferSettings().connections
    assert_whole(request)
    names = [p.name for p in request.folder.rglob("*") if p.is_file() and not p.name.endswith(".jpg")]
    assert sorted(re.sub(r"[0-9a-f]{12}", "KEY", name) for name in names) == [
        "instances-KEY.json",
        "instances.json",
        "manifest.json",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_a_silent_connection_it_leaves_at_once(tmp_path: Path, number: int) -> None:
    good = random.Random(2).sample(sorted(p for p in WORLD if p.startswith("/val2017")), 20)
    silent = {path for path in WORLD if path.startswith("/val2017") and path not in good}
    with serving(WORLD, fault=lambda path, _nth: "stall" if path in silent else None) as server:
        request = asked(server, tmp_path, images=40)
        process = started(server, request.folder)
        while len(list(request.folder.rglob("*.jpg"))) < 3:
            time.sleep(0.01)
        begun = time.perf_counter()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert time.perf_counter() - begun < TransferSettings().stall_s / 2, "it waited for the connection"
        assert process.returncode == (130 if number == signal.SIGINT else -number), errors
        assert_sane(request.folder)
        there = len(list(request.folder.rglob("*.jpg")))
        server.fault = lambda *_: None
        assert fetch(request).kept == there
    assert_whole(request)
