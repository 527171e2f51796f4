"""Real processes, really interrupted: nothing half-written stays, and a bug keeps its traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.forked import Commands, StartedCommand
from yolotrt.artifacts.documents import read_json


@pytest.fixture(scope="module")
def many_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    few = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(few, (640, 480), interpolation=cv2.INTER_CUBIC)
    for index in range(150):
        picture[0, 0, 0] = index
        cv2.imwrite(str(folder / f"{index}.jpg"), picture)
    return folder


def _wait_for(mark: Path, running: StartedCommand) -> None:
    """Wait for a file that a command makes when its work begins: a busy machine is slow."""
    deadline = time.monotonic() + 120
    while not mark.exists():
        assert not running.ended(), running.said
        assert time.monotonic() < deadline, f"{mark.name} never came"
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_calibration_leaves_nothing_half_written(
    commands: Commands, tmp_path: Path, tiny_onnx: Path, many_pictures: Path, how: signal.Signals
) -> None:
    arguments = ("calibrate", tiny_onnx, "--images", many_pictures)
    running = commands.start(arguments, tmp_path)
    _wait_for(tmp_path / "calib_data" / ".tiny-seg.calib.json.lock", running)
    running.send(how)
    done = running.done(60)
    assert done.code == (130 if how != signal.SIGKILL else -9), done.stderr
    assert "Traceback" not in done.stderr
    cache = tmp_path / "calib_data" / "tiny-seg.calib.json"
    assert not cache.exists() or read_json(cache)
    if how != signal.SIGKILL:
        assert not list(tmp_path.rglob("*.part"))
    again = commands.run([*arguments, "--limit", 4], tmp_path)
    assert again.code == 0, again.stderr
    assert not list(tmp_path.rglob("*.part"))


def test_a_closed_terminal_interrupts_unless_that_is_ignored(tmp_path: Path) -> None:
    for ends, handler in ((True, signal.SIG_DFL), (False, signal.SIG_IGN)):
        folder = tmp_path / f"{ends}"
        running = subprocess.Popen(
            [sys.executable, "-m", "yolotrt", "scenes", "--out", folder, "--size", "640x360", "-n", "40"],
            preexec_fn=lambda handler=handler: signal.signal(signal.SIGHUP, handler),
            stderr=subprocess.PIPE,
        )
        while not list(folder.glob("**/*.jpg")):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGHUP)
        _, said = running.communicate(timeout=120)
        assert running.returncode == (130 if ends else 0), said
        assert b"Traceback" not in said


def test_a_full_disk_during_build_leaves_nothing_half_written(
    commands: Commands, tmp_path: Path, tiny_onnx: Path
) -> None:
    within = ["tests.faults.within:become_limited", 4096]
    done = commands.start(["build", tiny_onnx], tmp_path, within).done()
    assert done.code == 1
    assert "Cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in (tmp_path / "engines").iterdir() if not p.name.startswith(".")] == []


def test_a_closed_pipe_is_no_traceback(tmp_path: Path, tiny_onnx: Path) -> None:
    command = f"{sys.executable} -m yolotrt inspect {tiny_onnx} --json - | head -c 10"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def _shell(tmp_path: Path, command: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m {command}"
    return subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)


@pytest.mark.parametrize(("words", "code"), [("--version", 0), ("nonsense", 2)])
def test_a_program_without_streams_keeps_its_exit_code(tmp_path: Path, words: str, code: int) -> None:
    for closed in (">&-", "2>&-", ">&- 2>&- <&-"):
        done = _shell(tmp_path, f"yolotrt {words} {closed}")
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (closed, done.stderr)
        assert "Error" not in done.stdout  # where talk would be taken for data


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    for words in ("--version", "doctor --json -", "doctor"):
        done = _shell(tmp_path, f"yolotrt {words} > /dev/full")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.count("error: Cannot write stdout: the disk is full.") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_the_log_does_not_end_what_it_is_about(tmp_path: Path) -> None:
    done = _shell(tmp_path, "yolotrt scenes --out drawn --size 640x360 --count 2 2> /dev/full")
    assert (done.returncode, len(list((tmp_path / "drawn").rglob("*.jpg")))) == (0, 2)
    assert _shell(tmp_path, "yolotrt nonsense 2> /dev/full").returncode == 2


def test_who_profiles_the_program_gets_the_profile(tmp_path: Path) -> None:
    done = _shell(tmp_path, "cProfile -o profile -m yolotrt --version")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "profile").stat().st_size


def test_ctrl_c_while_it_is_imported_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'yolotrt.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from yolotrt.cli.leave import program\n"
        "program()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "\ninterrupted\n")


def test_a_bug_keeps_its_traceback_and_says_how_to_report_it(tmp_path: Path) -> None:
    code = (
        "import sys, yolotrt.cli.app as app\n"
        "sys.argv = ['yolotrt', 'doctor']\n"
        "import yolotrt.backends.registry as registry\n"
        "registry.availabilities = lambda: 1 / 0\n"
        "app.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "doctor --json" in done.stderr


def test_runtime_verbs_never_import_torch(tmp_path: Path, tiny_onnx: Path, many_pictures: Path) -> None:
    code = (
        "import sys\n"
        "from yolotrt.cli.app import main\n"
        f"for arguments in (['build', {str(tiny_onnx)!r}, '--int8', '--images', {str(many_pictures)!r}, "
        "'--limit', '2'], "
        f"['bench', '--source', {str(many_pictures / '0.jpg')!r}, "
        "'--groups', '1', '-n', '1', '--warmup', '0'], ['doctor']):\n"
        "    sys.argv = ['yolotrt', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as left: assert left.code == 0, arguments\n"
        "assert not {'torch', 'ultralytics'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
