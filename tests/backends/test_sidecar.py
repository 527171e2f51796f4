from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import read_engine, read_sidecar, sidecar_path, write_engine
from yolotrt.errors import ArtifactError, InputError
from yolotrt.model.onnxfile import read_spec


@pytest.fixture
def engine(tmp_path: Path) -> EngineFile:
    spec = read_spec(tiny_yolo(), "tiny")
    file = EngineFile(
        tmp_path / "e.onnx", "onnxruntime", "fp32", spec, (1, 4), "", {"onnx": "k"}, {"onnxruntime": "1"}
    )
    return write_engine(file, b"engine bytes")


def test_round_trip(engine: EngineFile) -> None:
    assert read_engine(engine.path) == engine


def test_changed_bytes_are_refused_with_the_way_to_rebuild(engine: EngineFile) -> None:
    engine.path.write_bytes(b"other bytes")
    with pytest.raises(ArtifactError, match="does not match the hash") as caught:
        read_engine(engine.path)
    assert "yolotrt build" in (caught.value.hint or "")


def test_a_missing_sidecar_is_refused(engine: EngineFile) -> None:
    sidecar_path(engine.path).unlink()
    with pytest.raises(ArtifactError, match="no sidecar"):
        read_engine(engine.path)


def test_a_missing_engine_is_named(engine: EngineFile) -> None:
    engine.path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        read_engine(engine.path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spec", None),
        ("spec", {}),
        ("spec", []),
        ("batches", [0]),
        ("batches", [True]),
        ("batches", "1,4"),
        ("precision", "fp64"),
        ("sha256", 5),
        ("sources", {"a": 1}),
        ("environment", []),
        ("backend", None),
    ],
)
def test_every_wrong_value_is_one_clear_error(engine: EngineFile, key: str, value: object) -> None:
    path = sidecar_path(engine.path)
    document = json.loads(path.read_text())
    document[key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError):
        read_sidecar(engine.path)


@pytest.mark.parametrize(
    "key", ["spec", "batches", "precision", "sha256", "sources", "environment", "backend"]
)
def test_every_missing_value_is_one_clear_error(engine: EngineFile, key: str) -> None:
    path = sidecar_path(engine.path)
    document = json.loads(path.read_text())
    del document[key]
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError):
        read_sidecar(engine.path)
