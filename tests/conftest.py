"""Shared fixtures: real data when it is there, and a clean environment always."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.forked import Commands
from tests.tiny_yolo import write_tiny_yolo

# A shell that starts the tests in the background has them ignore Ctrl-C, and so the commands they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is imported by now stays: tests that collect garbage need not look through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> None:
    """What the tests before have left is not looked at again either."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests must not change their outcome."""
    proxies = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")]
    for name in ("YOLOTRT_COCO_URL", *proxies, *(name.upper() for name in proxies)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Starts commands as processes that need not import anything any more."""
    with Commands(["tests.prepared"], tmp_path_factory.mktemp("printed")) as started:
        yield started


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder with real COCO images and weights."""
    folder = os.environ.get("YOLOTRT_TEST_DATA")
    if not folder or not Path(folder, "coco-mini").is_dir():
        pytest.skip("real data: set YOLOTRT_TEST_DATA to a folder with coco-mini/ and models/")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny YOLO-seg ONNX file with 64 px input and dynamic batch."""
    return write_tiny_yolo(tmp_path_factory.mktemp("tiny") / "tiny-seg.onnx")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of small colourful images."""
    return four_pictures(tmp_path / "pictures")


def four_pictures(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(small, (200 + index, 150), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder
