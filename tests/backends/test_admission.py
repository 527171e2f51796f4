"""Engines are programs: which are loaded, which only when they are trusted, and which never."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt import TiledPipeline
from yolotrt.backends.admission import admit
from yolotrt.backends.loading import load_engine, open_engine, opening
from yolotrt.backends.sidecar import read_sidecar, sidecar_path
from yolotrt.errors import ArtifactError, EnvironmentFault, InputError
from yolotrt.workflow.build import BuildRequest, build_engine


@pytest.fixture
def engine(tiny_onnx: Path, tmp_path: Path) -> Path:
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=tmp_path, calib_data=tmp_path)
    return build_engine(request, say=lambda _: None).file.path


def _change(engine: Path) -> None:
    """Give the engine other bytes, which still are a network of the same interface."""
    engine.write_bytes(tiny_yolo(seed=1).SerializeToString())


def test_an_engine_and_its_sidecar_need_no_word(engine: Path) -> None:
    said: list[str] = []
    assert admit(engine, warn=said.append) == admit(engine, trust=True, warn=said.append)
    assert not said


def test_changed_bytes_load_only_when_trusted_and_are_named(engine: Path) -> None:
    _change(engine)
    with pytest.raises(ArtifactError, match="does not match the hash") as caught:
        open_engine(engine)
    assert "--trust" in (caught.value.hint or "")
    said: list[str] = []
    open_engine(engine, trust=True, warn=said.append).close()
    assert "does not match the hash" in said[0]


def test_an_onnx_file_alone_runs_only_when_trusted(tmp_path: Path) -> None:
    path = write_tiny_yolo(tmp_path / "m.onnx")
    with pytest.raises(ArtifactError, match="no sidecar") as caught:
        TiledPipeline.open(path)
    assert "yolotrt build" in (caught.value.hint or "")
    said: list[str] = []
    with TiledPipeline.open(path, trust=True, warn=said.append) as pipeline:
        pipeline(np.zeros((64, 64, 3), np.uint8))
    assert "no sidecar" in said[0]


def test_a_plan_alone_is_not_shown_to_tensorrt_unless_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    plan = tmp_path / "street.engine"
    plan.write_bytes(b"ftrt" + bytes(100))
    with pytest.raises(ArtifactError, match="no sidecar"):
        open_engine(plan)
    with pytest.raises(EnvironmentFault):  # trusted, so the next thing that is missing is TensorRT or a GPU
        open_engine(plan, trust=True)


def test_weights_are_no_engine_however_trusted(tmp_path: Path) -> None:
    weights = tmp_path / "street.pt"
    weights.write_bytes(bytes(100))
    with pytest.raises(ArtifactError, match=r"street\.pt holds weights, and an engine is made") as caught:
        admit(weights, trust=True)
    assert "yolotrt build" in (caught.value.hint or "")
    assert "--trust" not in (caught.value.hint or "")


def test_bytes_exchanged_between_check_and_loading_are_noticed(engine: Path) -> None:
    known, foreign = admit(engine), write_tiny_yolo(engine.with_name("foreign.onnx"))
    trusted = admit(foreign, trust=True)
    _change(engine)
    _change(foreign)
    with pytest.raises(ArtifactError, match="does not match the hash in its sidecar: it was changed"):
        load_engine(known)
    with pytest.raises(ArtifactError, match="was changed while it was being loaded"):
        load_engine(trusted)


def test_an_engine_that_loads_meanwhile_is_held_against_its_hash_too(engine: Path) -> None:
    with opening(engine, "cpu", threads=1) as loaded:
        assert loaded() is loaded()
    _change(engine)
    with (
        pytest.raises(ArtifactError, match="does not match the hash") as caught,
        opening(engine, "cpu", threads=1) as loaded,
    ):
        loaded()
    assert "--trust" in (caught.value.hint or "")
    said: list[str] = []
    with opening(engine, "cpu", threads=1, trust=True, warn=said.append) as loaded:
        assert loaded().file.path == engine
    assert "does not match the hash" in said[0]


def test_trust_excuses_no_damaged_sidecar_and_no_missing_file(engine: Path, tmp_path: Path) -> None:
    sidecar_path(engine).write_text("{")
    with pytest.raises(ArtifactError, match="not valid JSON"):
        admit(engine, trust=True)
    with pytest.raises(InputError, match="does not exist"):
        admit(tmp_path / "none.engine", trust=True)


@pytest.mark.parametrize("digest", ["", "0" * 63, "Z" * 64, "0" * 64 + "\n"])
def test_a_sidecar_without_a_real_hash_vouches_for_nothing(engine: Path, digest: str) -> None:
    document = json.loads(sidecar_path(engine).read_text())
    sidecar_path(engine).write_text(json.dumps({**document, "sha256": digest}))
    with pytest.raises(ArtifactError):
        read_sidecar(engine)


@pytest.fixture
def annotated(pictures: Path, tmp_path: Path) -> Path:
    ring = [10, 10, 60, 10, 60, 60]
    document = {
        "images": [{"id": 1, "file_name": "0.png", "width": 200, "height": 150}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 50], "area": 1250,
             "segmentation": [ring], "iscrowd": 0}
        ],
    }  # fmt: skip
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("kind", ["changed", "alone"])
@pytest.mark.parametrize("verb", ["bench", "bench --config", "eval", "predict", "run", "inspect"])
def test_every_verb_that_loads_an_engine_asks_first(
    cli: Cli, engine: Path, pictures: Path, annotated: Path, tmp_path: Path, verb: str, kind: str
) -> None:
    if kind == "changed":
        _change(engine)
    else:
        sidecar_path(engine).unlink()
        if verb == "inspect":
            pytest.skip("an ONNX file alone is read and not loaded")
    config = tmp_path / "pipeline.yaml"
    config.write_text(f"models:\n  yolo_tiles:\n    engine: {engine.name}\n")
    arguments: dict[str, list[object]] = {
        "bench": ["bench", engine, "--source", pictures, "--groups", 1, "-n", 1, "--warmup", 0],
        "bench --config": ["bench", "--config", config, "--source", pictures, "-n", 1, "--warmup", 0],
        "eval": ["eval", engine, "--images", pictures, "--annotations", annotated],
        "predict": ["predict", engine, pictures],
        "run": ["run", engine, "--source", pictures, "--drop", "block"],
        "inspect": ["inspect", engine],
    }
    refused = cli(*arguments[verb])
    assert refused.code == 1
    assert "--trust" in refused.err
    trusted = cli(*arguments[verb], "--trust")
    assert trusted.code == 0, trusted.err
    assert "because you trust it" in trusted.err


def test_inspecting_a_sidecar_does_not_load_an_engine_that_it_does_not_vouch_for(
    cli: Cli, engine: Path
) -> None:
    _change(engine)
    found = cli("inspect", sidecar_path(engine))
    assert found.code == 1
    assert "does not match the hash" in found.err
    engine.unlink()
    assert cli("inspect", sidecar_path(engine)).code == 0
