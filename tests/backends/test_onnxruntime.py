from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import EngineFile
from yolotrt.backends.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeEngine
from yolotrt.backends.sidecar import write_engine
from yolotrt.errors import ArtifactError
from yolotrt.model.onnxfile import read_spec


def _engine(folder: Path, data: bytes | None = None, batch: int | None = None) -> OnnxRuntimeEngine:
    model = tiny_yolo(batch=batch)
    spec = read_spec(model, "tiny")
    file = EngineFile(folder / "t.onnx", "onnxruntime", "fp32", spec, (), "")
    return OnnxRuntimeBackend().load(write_engine(file, data or model.SerializeToString()))


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_results_equal_a_plain_session(tmp_path: Path, batch: int) -> None:
    engine = _engine(tmp_path)
    context = engine.new_context(batch, threads=1)
    images = np.random.default_rng(0).random((batch, 3, 64, 64), dtype=np.float32)
    context.images[:] = images
    head, protos = context.run()
    session = ort.InferenceSession(tiny_yolo().SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"images": images})
    np.testing.assert_allclose(head, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(protos, expected[1], rtol=1e-4, atol=1e-4)


def test_a_larger_context_made_later_does_not_break_a_smaller_one(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    small = engine.new_context(1)
    small.images[:] = 0.5
    before = small.run()[0].copy()
    large = engine.new_context(4)
    large.images[:] = 0.1
    large.run()
    small.images[:] = 0.5
    np.testing.assert_array_equal(small.run()[0], before)


def test_lanes_do_not_disturb_each_other(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    contexts = [engine.new_context(2, lane=lane) for lane in range(4)]
    expected = []
    for value, context in enumerate(contexts):
        context.images[:] = value / 4
        expected.append(context.run()[0].copy())
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for found, wanted in zip(pool.map(lambda c: c.run()[0], contexts), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_a_fixed_batch_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="exactly 1, not of 4") as caught:
        _engine(tmp_path, batch=1).new_context(4)
    assert "yolotrt export" in (caught.value.hint or "")


def test_a_damaged_network_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot load"):
        _engine(tmp_path, data=b"not a network").new_context(1)
