from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.backends.qdq_by_hand import quantize_by_hand
from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt.backends.base import BuildConfig, EngineFile
from yolotrt.backends.onnxruntime.backend import OnnxRuntimeBackend
from yolotrt.backends.onnxruntime.check import ROUNDS_FP16
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.backends.sidecar import write_engine
from yolotrt.errors import ArtifactError, BuildError
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import no_progress


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


QDQ_IN_FP16 = quantize_by_hand(tiny_yolo(), ("stem.conv",))


def _fp16_build() -> None:
    spec = read_spec(QDQ_IN_FP16, "tiny")
    OnnxRuntimeBackend().build(to_fp16(QDQ_IN_FP16, spec), BuildConfig(spec, (), "fp16"), no_progress)


def test_fp16_is_not_quantised_by_a_version_that_cuts_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "__version__", "1.29.0")
    with pytest.raises(BuildError, match=r"1\.29\.0 cuts FP16 values off where tiny quantises them"):
        _fp16_build()


@pytest.mark.skipif(tuple(map(int, ort.__version__.split(".")[:2])) < ROUNDS_FP16, reason="it cuts off")
def test_the_version_from_which_on_fp16_is_rounded_is_the_right_one() -> None:
    _fp16_build()
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT8, [4])]
    constants = [numpy_helper.from_array(np.float16(1), "s"), numpy_helper.from_array(np.int8(0), "z")]
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    graph = helper.make_graph([node], "round", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.array([0.6, 2.6, -0.6, -1.4], np.float16)})
    assert found.tolist() == [1, 3, -1, -1]


def test_onnx_runtime_tells_nobody_about_the_network(tmp_path: Path) -> None:
    write_tiny_yolo(tmp_path / "m.onnx")
    code = (
        "import os, yolotrt, onnxruntime as ort\n"
        "session = ort.InferenceSession('m.onnx', providers=['CPUExecutionProvider'])\n"
        "print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:-1]])"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    home = {**clean, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "onnxruntime.db" not in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]
