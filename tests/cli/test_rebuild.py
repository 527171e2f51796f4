"""The command that a refusal names is typed as it stands, and builds the engine again."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from yolotrt.backends.sidecar import read_engine

RTX = "--fp16 --backend tensorrt-rtx --batch 2,1-4 --compute-capability SM86,SM89 --workspace 512 "
RTX += "--optimization-level 1"


def _yolotrt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yolotrt", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    "options", ["--fp32 --backend onnxruntime", pytest.param(RTX, marks=pytest.mark.rtx)], ids=["cpu", "rtx"]
)
def test_a_changed_engine_names_the_command_that_builds_it_again(
    tmp_path: Path, tiny_onnx: Path, options: str
) -> None:
    if "rtx" in options:
        pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")
    folder = tmp_path / "with space"
    folder.mkdir()
    engine = folder / "my engine"
    built = _yolotrt(folder, "build", str(tiny_onnx), *options.split(), "-o", engine.name)
    assert built.returncode == 0, built.stderr
    before = read_engine(engine)
    engine.write_bytes(engine.read_bytes()[:-1])

    refused = _yolotrt(folder, "inspect", engine.name)
    assert refused.returncode == 1
    assert "does not match the hash in its sidecar" in refused.stderr
    command = shlex.split(refused.stderr.partition("Build it again: ")[2].splitlines()[0])
    assert command[0] == "yolotrt"
    again = _yolotrt(folder, *command[1:])
    assert again.returncode == 0, again.stderr
    after = read_engine(engine)
    assert (after.environment, after.sources, after.batches) == (
        before.environment,
        before.sources,
        before.batches,
    )
    assert "is up to date" in _yolotrt(folder, *command[1:-1]).stderr
