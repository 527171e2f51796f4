"""A repository for Triton: by Triton's own message, and called over the protocol that it speaks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.scale.conftest import free_port
from yolotrt.backends.sidecar import read_engine
from yolotrt.geometry.rle import coco_rle
from yolotrt.model.interface import Port
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.triton_config import Serving, engine_config, text


def test_the_repository_holds_network_and_frames_and_is_refused_among_files_of_others(
    cli: Cli, engine: Path, tmp_path: Path
) -> None:
    done = cli("export-triton", engine, "repository", "--device", "cpu")
    assert (done.code, done.out.split()) == (0, ["e", "e-frames"]), done.err
    assert Path("repository/e/1/model.onnx").read_bytes() == engine.read_bytes()
    assert "import triton_python_backend_utils" in Path("repository/e-frames/1/model.py").read_text()
    assert cli("export-triton", engine, "repository", "--device", "cpu").code == 0, "its own it may replace"
    Path("other/e").mkdir(parents=True)
    Path("other/e/config.pbtxt").write_text("mine")
    refused = cli("export-triton", engine, "other")
    assert (refused.code, "did not write" in refused.err) == (1, True)
    assert Path("other/e/config.pbtxt").read_text() == "mine"
    assert cli("export-triton", engine).code == 2


def test_batches_are_formed_only_where_every_size_is_accepted(engine: Path) -> None:
    file = replace(
        read_engine(engine), backend="tensorrt", environment={"profiles": "1,4,8"}, batches=(1, 4, 8)
    )
    ports = [Port("images", "float16", ("batch", 3, 64, 64))]
    apart = text(engine_config(file, Serving("m", "gpu", 2, (0, 1)), ports, ports))
    assert "dynamic_batching" not in apart
    assert apart.count("profile:") == 3
    assert "TYPE_FP16" in apart
    ranged = replace(file, environment={"profiles": "1-8-32"}, batches=tuple(range(1, 33)))
    assert "preferred_batch_size: 32" in text(engine_config(ranged, Serving("m", "gpu"), ports, ports))
    fixed = replace(file, spec=replace(file.spec, batch=4), batches=(4,))
    assert "max_batch_size: 0" in text(engine_config(fixed, Serving("m", "gpu"), ports, ports))


@pytest.mark.parametrize("batches", [(1, 4, 8), tuple(range(1, 33)), ()])
def test_tritons_own_message_takes_the_configuration(
    engine: Path, batches: tuple[int, ...], tmp_path: Path
) -> None:
    pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

    file = replace(
        read_engine(engine), backend="tensorrt", batches=batches, environment={"profiles": "1,4,8"}
    )
    ports = [Port("images", "float", ("batch", 3, 64, 64))]
    config = text_format.Parse(
        text(engine_config(file, Serving("m", "gpu", 2, (1,)), ports, ports)), ModelConfig()
    )
    (group,) = config.instance_group
    assert (group.count, list(group.gpus), list(group.profile)) == (2, [1], ["0", "1", "2"])
    assert group.kind == ModelInstanceGroup.KIND_GPU
    assert config.max_batch_size == max(batches, default=32)
    assert [list(port.dims) for port in config.input] == [[3, 64, 64]]
    assert {entry.batch_size for entry in config.model_warmup} == {1, config.max_batch_size}
    assert config.HasField("dynamic_batching") == (batches != (1, 4, 8))


@pytest.fixture
def server(cli: Cli, engine: Path, tmp_path: Path) -> Iterator[Any]:
    """A client of a KServe server that runs the repository."""
    if importlib.util.find_spec("kserve") is None:  # importing it here would clash with tritonclient.grpc
        pytest.skip("needs kserve")
    http = pytest.importorskip("tritonclient.http", reason="needs tritonclient")
    assert cli("export-triton", engine, "repository", "--device", "cpu", "--conf", "0.3").code == 0
    port = free_port()
    command = [sys.executable, "-m", "tests.scale.kserve_repository", "repository", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
        )
    client = http.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=60.0)
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            try:
                if client.is_server_ready() and client.is_model_ready("e-frames"):
                    break
            except OSError:
                pass
            time.sleep(0.2)
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


@pytest.mark.filterwarnings("ignore")
def test_a_frame_through_the_protocol_gives_what_a_local_pipeline_gives(server: Any, engine: Path) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    frame = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    given = InferInput("FRAME", list(frame.shape), "UINT8")
    given.set_data_from_numpy(frame)
    found = server.infer("e-frames", [given])
    with TiledPipeline.open(engine, decode=DecodeSettings(conf=0.3)) as pipeline:
        expected = pipeline(frame).detections
    assert len(expected) > 3
    assert np.array_equal(found.as_numpy("BOXES"), expected.boxes)
    assert np.array_equal(found.as_numpy("SCORES"), expected.scores)
    assert np.array_equal(found.as_numpy("CLASSES"), expected.classes)
    masks = [coco_rle(mask, (200, 150))["counts"] for mask in expected.masks or ()]
    given_masks = [mask if isinstance(mask, bytes) else mask.encode() for mask in found.as_numpy("MASKS")]
    assert given_masks == masks  # KServe answers with text where Triton answers with bytes

    images = InferInput("images", [2, 3, 64, 64], "FP32")
    images.set_data_from_numpy(np.zeros((2, 3, 64, 64), np.float32))
    assert server.infer("e", [images]).as_numpy("output0").shape == (2, 10, 84)
    wrong = InferInput("FRAME", [4, 4, 1], "UINT8")
    wrong.set_data_from_numpy(np.zeros((4, 4, 1), np.uint8))
    with pytest.raises(InferenceServerException, match="A frame must be"):
        server.infer("e-frames", [wrong])
