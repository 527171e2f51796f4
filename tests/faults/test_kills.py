"""A few of the kills of ``python -m benchmarks.kills``, whose full run is recorded in benchmarks/results/."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.forked import Commands
from benchmarks.kills import campaign
from tests.data.coco.world import few_certificates  # noqa: F401
from tests.faults.killed_verbs import VERBS
from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import write_engine
from yolotrt.model.onnxfile import read_spec


@pytest.mark.parametrize(
    "name", [*(n for n in VERBS if n != "export"), pytest.param("export", marks=pytest.mark.export)]
)
def test_killed_at_any_moment_nothing_is_lost_and_the_same_command_completes(
    name: str, tmp_path: Path, commands: Commands
) -> None:
    if name == "export":
        pytest.importorskip("ultralytics", reason="needs the export extra (torch, ultralytics)")
    with ExitStack() as stack:
        verb = VERBS[name](tmp_path / "inputs", stack)
        if name == "export":
            commands = stack.enter_context(Commands(verb.modules, tmp_path / "printed"))
        found = campaign(verb, commands, kills=1, aimed=1, seed=1, work=tmp_path)
    assert found.problems == []
    assert (found.kills, found.aimed) == (1, 1)


def test_an_engine_can_be_loaded_whenever_its_writer_dies(tmp_path: Path) -> None:
    """The whole way, file operation by file operation: first the old engine is found, then the new one."""
    folder = tmp_path / "engines"
    file = EngineFile(folder / "e.onnx", "onnxruntime", "fp32", read_spec(tiny_yolo(), "t"), (), "", {}, {})
    write_engine(file, b"the old engine")
    command = [sys.executable, "-m", "tests.faults.dying_writer", str(folder), "e.onnx"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = [line.split() for line in done.stdout.splitlines()]
    assert [s[1] for s in steps] == ["died"] * (len(steps) - 1) + ["lived"]
    found = [s[2] for s in steps]
    first_new = found.index("int8")
    assert found == ["fp32"] * first_new + ["int8"] * (len(found) - first_new)
    assert 3 < first_new < len(found) - 1, "it must die on both sides of the engine's rename"
    for step in steps:
        assert step[3] == step[2], "finishing an interrupted write loses nothing"
        assert step[6:] == ["e.onnx", "e.onnx.json"], "and the next write removes what was left"
