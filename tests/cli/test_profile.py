"""``yolotrt profile`` where there is no engine to run: every way in ends in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import write_engine
from yolotrt.cli.profile import profile
from yolotrt.errors import ArtifactError, EnvironmentFault, InputError, UsageError, YoloTrtError
from yolotrt.model.onnxfile import read_spec

app = typer.Typer()
app.command()(profile)


def failure(*arguments: str) -> YoloTrtError:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, YoloTrtError), result.output
    assert result.exception.hint
    return result.exception


def test_an_onnx_engine_has_no_layers_to_time(tmp_path: Path) -> None:
    model = tiny_yolo()
    path = tmp_path / "tiny.onnx"
    file = EngineFile(path, "onnxruntime", "fp32", read_spec(model, "tiny"), (), "")
    write_engine(file, model.SerializeToString())
    found = failure(str(path))
    assert isinstance(found, UsageError)
    assert "only TensorRT and fused time their layers" in found.message


def test_an_onnx_file_is_no_engine(tmp_path: Path) -> None:
    assert isinstance(failure(str(write_tiny_yolo(tmp_path / "tiny.onnx"))), ArtifactError)


def test_a_missing_engine_is_said_to_be_missing(tmp_path: Path) -> None:
    assert isinstance(failure(str(tmp_path / "none.engine")), InputError)


def test_without_tensorrt_or_a_gpu_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    path = tmp_path / "foreign.engine"
    path.write_bytes(b"plan")
    assert isinstance(failure(str(path)), ArtifactError)
    found = failure(str(path), "--trust")
    assert isinstance(found, EnvironmentFault)
