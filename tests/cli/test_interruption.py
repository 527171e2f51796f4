"""Real processes, really interrupted: nothing half-written stays, and a bug keeps its traceback."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

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


def _start(folder: Path, *arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
    def prepare() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "yolotrt", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _wait_for(mark: Path, running: subprocess.Popen[str]) -> None:
    """Wait for a file that a command makes when its work begins: a busy machine starts Python slowly."""
    deadline = time.monotonic() + 120
    while not mark.exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, f"{mark.name} never came"
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_calibration_leaves_nothing_half_written(
    tmp_path: Path, tiny_onnx: Path, many_pictures: Path, how: signal.Signals
) -> None:
    arguments = ("calibrate", tiny_onnx, "--images", many_pictures)
    running = _start(tmp_path, *arguments)
    _wait_for(tmp_path / "calib_data" / ".tiny-seg.calib.json.lock", running)
    running.send_signal(how)
    _, err = running.communicate(timeout=60)
    assert running.returncode in ((130,) if how != signal.SIGKILL else (-9,)), err
    assert "Traceback" not in err
    cache = tmp_path / "calib_data" / "tiny-seg.calib.json"
    assert not cache.exists() or read_json(cache)
    if how != signal.SIGKILL:
        assert not list(tmp_path.rglob("*.part"))
    again = _start(tmp_path, *arguments, "--limit", 4)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_disk_during_build_leaves_nothing_half_written(tmp_path: Path, tiny_onnx: Path) -> None:
    running = _start(tmp_path, "build", tiny_onnx, limit=4096)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "Cannot write" in err
    assert "Traceback" not in err
    assert [p.name for p in (tmp_path / "engines").iterdir() if not p.name.startswith(".")] == []


def test_a_closed_pipe_is_no_traceback(tmp_path: Path, tiny_onnx: Path) -> None:
    command = f"{sys.executable} -m yolotrt inspect {tiny_onnx} --json - | head -c 10"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


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
