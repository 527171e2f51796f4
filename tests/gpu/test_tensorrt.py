"""TensorRT engines on a real GPU: build, load, run, capture, close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import BuildConfig, EngineFile
from yolotrt.backends.profiles import batch_sizes, parse_profiles
from yolotrt.backends.sidecar import read_engine, write_engine
from yolotrt.backends.tensorrt.backend import TensorRtBackend, tensorrt, tensorrt_rtx
from yolotrt.cuda.device import Device
from yolotrt.cuda.machine import HERE
from yolotrt.cuda.nvidia import NvidiaDriver
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import no_progress

pytestmark = pytest.mark.gpu

MODEL = tiny_yolo(128)
SPEC = read_spec(MODEL, "tiny")
IMAGES = np.random.default_rng(0).random((4, 3, 128, 128), dtype=np.float32)


@pytest.fixture(params=[tensorrt, tensorrt_rtx], ids=["tensorrt", "tensorrt-rtx"])
def backend(request: pytest.FixtureRequest) -> TensorRtBackend:
    found: TensorRtBackend = request.param()
    state = found.availability()
    if not state.usable:
        pytest.skip(state.reason)
    return found


@pytest.fixture
def engine_file(backend: TensorRtBackend, tmp_path: Path) -> EngineFile:
    config = BuildConfig(SPEC, parse_profiles("1,4"), "fp16", timing_cache=tmp_path / "timing.cache")
    built = backend.build(to_fp16(MODEL, SPEC), config, no_progress)
    path = tmp_path / "tiny.engine"
    sizes = batch_sizes(config.profiles)
    file = EngineFile(path, backend.name, "fp16", SPEC, sizes, "", environment=backend.environment(config))
    write_engine(EngineFile(**{**vars(file), "layers": built.layers}), built.data)
    return read_engine(path)


def test_it_computes_what_onnx_runtime_computes(backend: TensorRtBackend, engine_file: EngineFile) -> None:
    session = ort.InferenceSession(MODEL.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(["output0", "output1"], {"images": IMAGES})
    engine = backend.load_on(engine_file, HERE.gpu())
    for batch in (1, 4, 1):
        context = engine.new_context(batch)
        context.images[:] = IMAGES[:batch]
        for ours, theirs in zip(context.run(), expected, strict=True):
            assert np.abs(ours - theirs[:batch]).max() < 0.01 * np.abs(theirs).max()
    engine.close()


def test_it_can_be_captured_and_everything_is_freed(
    backend: TensorRtBackend, engine_file: EngineFile
) -> None:
    with Device(NvidiaDriver()) as device:
        engine = backend.load_on(engine_file, device)
        assert engine.capturable
        context = engine.new_context(4)
        context.images[:] = IMAGES
        expected = dict(zip(("output0", "output1"), map(np.array, context.run()), strict=True))
        with device.scope() as scope:
            stream = scope.stream()
            memory = {name: scope.buffer(tensor.nbytes) for name, tensor in context.tensors.items()}
            host = {name: scope.pinned(tensor.nbytes) for name, tensor in context.tensors.items()}
            host["images"].array[: IMAGES.nbytes] = IMAGES.view(np.uint8).ravel()
            context.input_pointer = memory["images"].address
            context.output_pointers = {name: memory[name].address for name in expected}

            def work() -> None:
                stream.copy(memory["images"].address, host["images"].address, IMAGES.nbytes)
                context.enqueue(stream.handle)
                for name in expected:
                    size = context.tensors[name].nbytes
                    stream.copy(host[name].address, memory[name].address, size)

            work()
            stream.synchronize()
            graph = scope.capture(stream, work)
            for name in expected:
                host[name].array[:] = 0
            graph.launch(stream)
            stream.synchronize()
            for name, values in expected.items():
                captured = host[name].array[: values.nbytes].view(np.float32).reshape(values.shape)
                np.testing.assert_array_equal(captured, values)
        engine.close()
        assert device.live == {}


def test_its_layers_are_described_and_timed(backend: TensorRtBackend, engine_file: EngineFile) -> None:
    shown = backend.describe(engine_file, HERE)
    assert shown["told_by"].startswith("TensorRT")
    assert shown["profiles"] == ["1", "4"]
    assert shown["convolutions"].get("FP16", 0) > 0
    engine = backend.load_on(engine_file, HERE.gpu())
    batch, rows = backend.layer_times(engine, None, 3)
    assert batch == 4
    assert rows
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    engine.close()
