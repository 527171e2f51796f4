"""A sidecar with the right hash is believed in nothing that the network itself contradicts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import open_engine
from yolotrt.backends.onnxruntime.gpu import adapted_network
from yolotrt.backends.sidecar import read_sidecar, sidecar_path, write_engine
from yolotrt.errors import ArtifactError, ExecutionError, YoloTrtError
from yolotrt.model.onnxfile import read_spec
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.workflow.build import BuildRequest, build_engine

WRONG: tuple[Any, ...] = (
    None, -1, 1 << 19, 10**30, 1.5, "zzz", {}, ["x"], ["dog", "cat"], [64, 32], [1 << 40, 1], [16384, 16384],
    "end2end", "output1", "int8",
)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    onnx = write_tiny_yolo(folder / "m.onnx")
    request = BuildRequest(onnx, backend="onnxruntime", output=folder / "e.onnx")
    return build_engine(request, say=lambda _: None).file.path


@pytest.fixture
def engine(built: Path, tmp_path: Path) -> Path:
    shutil.copy(built, tmp_path)
    shutil.copy(sidecar_path(built), tmp_path)
    return tmp_path / built.name


def _places(document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key in ("spec", "precision", "batches", "backend", "sources", "environment", "layers"):
        yield (key,)
    for key in document["spec"]:
        yield ("spec", key)


def _detected(engine: Path) -> list[int]:
    loaded = open_engine(engine)
    try:
        with TiledPipeline(loaded, PipelineSettings("global")) as pipeline:
            found = pipeline(np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8))
            names = [pipeline.names[int(c)] for c in found.detections.classes]
    finally:
        loaded.close()
    assert set(names) <= {"cat", "dog"}
    return [int(c) for c in found.detections.classes]


def test_any_wrong_value_is_one_clear_line_or_changes_nothing(engine: Path) -> None:
    sidecar = sidecar_path(engine)
    good = json.loads(sidecar.read_text())
    expected = _detected(engine)
    assert expected
    refused = 0
    for place in _places(good):
        for value in WRONG:
            document = json.loads(json.dumps(good))
            holder = document["spec"] if len(place) == 2 else document
            holder[place[-1]] = value
            sidecar.write_text(json.dumps(document))
            try:
                found = _detected(engine)
            except YoloTrtError:
                refused += 1
                continue
            assert found == expected, (place, value)
    assert refused > 150


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("names", ["cat"], "1 class names, the network 2"),
        ("names", ["dog", "cat"], "calls a class 'dog', the network 'cat'"),
        ("head", "end2end", "says head 'end2end', the network has 'raw'"),
        ("input_wh", [128, 64], r"says input_wh \(128, 64\), the network has \(64, 64\)"),
        ("batch", 4, "says batch 4"),
        ("head_output", "output1", "says head_output 'output1'"),
        ("mask_coeffs", 5, "says mask_coeffs 5"),
    ],
)
def test_the_message_says_what_both_say(engine: Path, key: str, value: object, words: str) -> None:
    sidecar = sidecar_path(engine)
    document = json.loads(sidecar.read_text())
    document["spec"][key] = value
    sidecar.write_text(json.dumps(document))
    loaded = open_engine(engine)
    with pytest.raises(ArtifactError, match=f"contradicts the network: it .*{words}") as caught:
        loaded.new_context(4 if key == "batch" else 1)
    assert "yolotrt build" in (caught.value.hint or "")
    with pytest.raises(ArtifactError, match=words):  # and so on a GPU, where the network is parsed first
        adapted_network(read_sidecar(engine), tiny_yolo())


@pytest.mark.parametrize("claimed", ["fp16", "int8", "fp8"])
def test_the_precision_is_that_of_the_network(engine: Path, claimed: str) -> None:
    sidecar = sidecar_path(engine)
    document = json.loads(sidecar.read_text())
    document["precision"] = claimed
    sidecar.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=f"it says {claimed}, the network is in fp32"):
        open_engine(engine)


def test_a_network_that_computes_other_shapes_than_it_declares_is_no_traceback(tmp_path: Path) -> None:
    model = tiny_yolo()
    spec = read_spec(model, "m")
    for initializer in model.graph.initializer:
        if initializer.name == "flat":  # one column per anchor more
            initializer.raw_data = np.array([0, -1, 1], np.int64).tobytes()
    file = EngineFile(tmp_path / "e.onnx", "onnxruntime", "fp32", spec, (), "")
    write_engine(file, model.SerializeToString())
    with pytest.raises(ExecutionError, match="ONNX Runtime failed"):
        open_engine(tmp_path / "e.onnx").new_context(1).run()
