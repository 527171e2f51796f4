"""Pipes and devices where a file belongs: refused by name, never waited for, never replaced."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.forked import Commands
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.faults.places import assert_one_clear_error
from tests.workflow.test_evaluate import tiny_engine
from yolotrt.artifacts.files import ensure_writable, write_bytes
from yolotrt.errors import StorageError

ENGINE = "engines/tiny0.fp32.onnxruntime.onnx"

SECONDS = 30
"""Nobody ever writes into these pipes, so a reader would wait for good."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an engine, a network, a picture, and pipes of every kind of name."""
    tiny_engine(tmp_path)
    (tmp_path / "pictures").mkdir()
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), picture)
    os.mkfifo(tmp_path / "pictures" / "b.jpg")
    for ending in ("onnx", "pt", "json", "yaml", "mp4", "jpg", "zip", "engine"):
        os.mkfifo(tmp_path / f"pipe.{ending}")
    return tmp_path


@pytest.fixture
def in_time() -> Iterator[None]:
    """Break a wait for a pipe; requested before ``cli``, which keeps handlers from being set."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"still waiting after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_pipe_is_not_waited_for(commands: Commands, place: Path) -> None:
    done = commands.start(["inspect", "pipe.json"], place).done(SECONDS)
    assert_one_clear_error(done, "pipe.json is a named pipe")


@pytest.mark.parametrize(
    "arguments",
    [
        "inspect pipe.onnx", "inspect pipe.engine", "inspect pipe.engine --trust", "inspect /dev/zero",
        "build pipe.onnx", "build pipe.pt", "build tiny0.onnx --int8 --images pipe.jpg",
        "export pipe.pt", "calibrate tiny0.onnx --images pipe.jpg", "tune pipe.onnx",
        "tune tiny0.onnx --source pipe.jpg",
        "compare pipe.json pipe.json", "report pipe.json --html a.html",
        "predict ENGINE pipe.jpg", "predict ENGINE pipe.mp4", "predict ENGINE /dev/null",
        "run ENGINE --source pipe.mp4", "run ENGINE --source /dev/zero",
        "bench ENGINE --source pipe.jpg", "bench --config pipe.yaml", "bench pipe.engine --trust",
        "bench ENGINE --source pictures/b.jpg",
        "eval ENGINE --images pictures --annotations pipe.json",
        "mosaics --images pictures --annotations pipe.json --out m",
        "download --images 3 --out coco --base-url pipe.zip",
    ],
)  # fmt: skip
def test_no_verb_takes_one(
    place: Path,
    in_time: None,
    cli: Cli,  # noqa: F811
    arguments: str,
) -> None:
    done = cli(*arguments.replace("ENGINE", ENGINE).split())
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert (done.code, len(errors)) == (1, 1), done.err
    assert "is a named pipe" in errors[0] or "is a device" in errors[0]
    assert "hint: " in done.err


def test_one_among_pictures_is_skipped_by_name(
    place: Path,
    in_time: None,
    cli: Cli,  # noqa: F811
) -> None:
    for arguments in (
        "predict ENGINE pictures",
        "calibrate tiny0.onnx --images pictures",
    ):
        done = cli(*arguments.replace("ENGINE", ENGINE).split())
        assert done.code == 0, done.err
        assert "b.jpg" in done.err


@pytest.mark.parametrize("arguments", ["inspect ENGINE --json", "scenes --count 1 --video"])
def test_none_is_replaced_by_a_file(
    place: Path,
    in_time: None,
    cli: Cli,  # noqa: F811
    arguments: str,
) -> None:
    done = cli(*arguments.replace("ENGINE", ENGINE).split(), "pipe.mp4")
    assert done.code == 1, done.err
    assert "Cannot write pipe.mp4: it is a named pipe." in done.err
    assert stat.S_ISFIFO((place / "pipe.mp4").stat().st_mode)


def test_a_device_is_no_target(tmp_path: Path) -> None:
    target = tmp_path / "null"
    target.symlink_to("/dev/null")
    for write in (lambda: write_bytes(target, b"x"), lambda: ensure_writable(target)):
        with pytest.raises(StorageError, match="it is a device"):
            write()
    assert target.is_symlink()
