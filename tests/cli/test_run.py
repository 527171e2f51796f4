"""A pipeline on a moving source, from the command line."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.forked import Commands
from tests.cli.conftest import Cli
from tests.data.clips import clip
from tests.data.streams import FFMPEG, RtspCamera, needs_ffmpeg
from yolotrt.artifacts.documents import read_json
from yolotrt.workflow.build import BuildRequest, build_engine


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run-engines")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


def test_a_folder_is_processed_and_reported(cli: Cli, engine: Path, pictures: Path, tmp_path: Path) -> None:
    done = cli(
        "run",
        engine,
        "--source",
        pictures,
        "--groups",
        2,
        "--drop",
        "block",
        "--json",
        "run.json",
        "--pipeline-depth",
        2,
    )
    assert done.code == 0, done.err
    assert "note: --pipeline-depth is of GPUs" in done.err
    found = read_json(tmp_path / "run.json")
    assert (found["counts"]["read"], found["processed"], found["counts"]["dropped"]) == (4, 4, 0)
    assert found["latency"]["p50"] > 0
    assert "frames out" in done.out


def test_several_sources_share_batches(cli: Cli, engine: Path, tmp_path: Path) -> None:
    for name in "ab":
        clip(tmp_path / f"{name}.mp4", 4)
    run = ("run", engine, "--mode", "global", "--drop", "block", "--deal", "batches", "--source", "a.mp4")
    done = cli(*run)
    assert done.code == 2
    assert "several sources" in done.err
    done = cli(*run, "--source", "b.mp4", "--json", "run.json")
    assert done.code == 0, done.err
    assert "8 images ran in" in done.err
    assert [camera["processed"] for camera in read_json(tmp_path / "run.json")["cameras"]] == [4, 4]


def test_an_error_ends_with_the_report(cli: Cli, engine: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "camera")
    (tmp_path / "camera" / "9.png").write_bytes(b"no picture")
    done = cli("run", engine, "--source", "camera", "--drop", "block", "--json", "run.json")
    assert done.code == 1
    assert "9.png" in done.err
    assert "frames out" in done.out
    assert read_json(tmp_path / "run.json")["processed"] == 4
    assert read_json(tmp_path / "run.json")["packages"]["opencv"]


def test_a_terminal_shows_a_live_table(engine: Path, pictures: Path, tmp_path: Path) -> None:
    screen, theirs = pty.openpty()
    command = [sys.executable, "-m", "yolotrt", "run", str(engine), "--source", pictures.name, "--fps", "2"]
    running = subprocess.Popen(command, cwd=pictures.parent, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody holds its other end any more
        while part := os.read(screen, 4096):
            shown += part
    os.close(screen)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 0
    assert b"Ctrl-C ends" in shown
    assert b"frames out" in shown
    assert "frames out" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--source", "none.mp4"), 1, "does not exist"),
        (("--source", "rtsp://127.0.0.1:1/x", "--timeout", "0.2"), 1, "cannot be opened"),
        (("--source", ".", "--drop", "some"), 2, "latest, block"),
    ],
)
def test_bad_sources_are_one_line_and_a_hint(
    cli: Cli, engine: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = cli("run", engine, *arguments)
    assert done.code == code
    assert words in done.err
    assert "hint:" in done.err


@needs_ffmpeg
def test_a_long_run_ends_with_its_report_on_ctrl_c(commands: Commands, engine: Path, tmp_path: Path) -> None:
    pattern = ("-f", "lavfi", "-i", "testsrc=size=160x128:rate=25", "-t", "20")
    encode = [str(FFMPEG), "-loglevel", "error", *pattern, "-c:v", "mpeg4", str(tmp_path / "clip.mp4")]
    subprocess.run(encode, check=True)
    running = commands.start(["run", engine, "--source", "clip.mp4", "--json", "run.json"], tmp_path)
    while "out" not in running.said:
        assert not running.ended(), running.said
        time.sleep(0.01)
    time.sleep(0.2)
    running.send(signal.SIGINT)
    done = running.done(60)
    assert done.code == 0, done.stderr
    assert "frames out" in done.stdout
    assert read_json(tmp_path / "run.json")["processed"] > 0


@needs_ffmpeg
def test_an_rtsp_camera_that_stalls_and_comes_back_with_another_size(engine: Path, tmp_path: Path) -> None:
    camera = RtspCamera(tmp_path)
    camera.on("160x128")
    command = [sys.executable, "-m", "yolotrt", "run", str(engine), "--source", camera.address,
               "--timeout", "0.5", "--threads", "1", "--json", "run.json"]  # fmt: skip
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert running.stderr is not None
        assert "out" in running.stderr.readline()
        camera.stall()
        time.sleep(0.8)
        camera.off()
        played = camera.requests.count("PLAY")
        camera.on("320x256")
        deadline = time.monotonic() + 60
        while camera.requests.count("PLAY") == played and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
        camera.off()
    assert running.returncode == 0, err
    assert "WARN" not in err
    found = read_json(tmp_path / "run.json")
    counts = found["counts"]
    assert counts["sizes"] == [[160, 128], [320, 256]]
    assert counts["interruptions"] >= 1
    assert counts["reconnects"] >= 1
    assert counts["longest_gap_s"] > 0.8
    assert counts["read"] >= found["processed"] + counts["dropped"] > 25
    assert found["memory_peak_mib"] > 0
    assert "320x256" in out
