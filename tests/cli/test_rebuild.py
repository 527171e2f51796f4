"""The command that a refusal names is typed as it stands, and builds the engine again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from yolotrt.backends.sidecar import read_engine

RTX = "--fp16 --backend tensorrt-rtx --batch 2,1-4 --compute-capability SM86,SM89 --workspace 512 "
RTX += "--optimization-level 1"


@pytest.mark.parametrize(
    "options", ["--fp32 --backend onnxruntime", pytest.param(RTX, marks=pytest.mark.rtx)], ids=["cpu", "rtx"]
)
def test_a_changed_engine_names_the_command_that_builds_it_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_onnx: Path, options: str
) -> None:
    if "rtx" in options:
        pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")
    folder = tmp_path / "with space"
    folder.mkdir()
    monkeypatch.chdir(folder)
    engine = folder / "my engine"
    built = cli("build", str(tiny_onnx), *options.split(), "-o", engine.name)
    assert built.code == 0, built.err
    before = read_engine(engine)
    engine.write_bytes(engine.read_bytes()[:-1])

    refused = cli("inspect", engine.name)
    assert refused.code == 1
    assert "does not match the hash in its sidecar" in refused.err
    command = shlex.split(refused.err.partition("Build it again: ")[2].splitlines()[0])
    assert command[0] == "yolotrt"
    again = cli(*command[1:])
    assert again.code == 0, again.err
    after = read_engine(engine)
    assert (after.environment, after.sources, after.batches) == (
        before.environment,
        before.sources,
        before.batches,
    )
    assert "is up to date" in cli(*command[1:-1]).err
