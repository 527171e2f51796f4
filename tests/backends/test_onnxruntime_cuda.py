"""What can be checked of the CUDA provider without a GPU: the networks it gets, and sessions' lifetimes."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.cuda.emulator import HostDriver, emulated
from tests.tiny_yolo import tiny_yolo
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.onnxruntime import session as onnxruntime_session
from yolotrt.backends.onnxruntime.fixed import fixed_batch, tensor_types
from yolotrt.backends.onnxruntime.gpu import MOST_IDLE, OnnxRuntimeCudaEngine, availability, load
from yolotrt.backends.onnxruntime.session import Session
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import DeviceLost, OutOfDeviceMemory
from yolotrt.errors import ArtifactError, DeviceError
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16


def run(model: onnx.ModelProto, images: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["output0", "output1"], {"images": images})


def test_a_fixed_network_computes_the_same() -> None:
    model = tiny_yolo()
    fixed = fixed_batch(model, 3)
    images = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    for found, expected in zip(run(fixed, images), run(model, images), strict=True):
        np.testing.assert_array_equal(found, expected)
    kinds = tensor_types(fixed, read_spec(model, "tiny"))
    assert {n: (k.shape, k.half) for n, k in kinds.items()} == {
        "images": ((3, 3, 64, 64), False),
        "output0": ((3, 10, 84), False),
        "output1": ((3, 4, 16, 16), False),
    }
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param  # the original is as it was


def test_casts_at_the_borders_of_an_fp16_network_go_and_the_values_stay() -> None:
    model = tiny_yolo()
    spec = read_spec(model, "tiny")
    half = to_fp16(model, spec)
    fixed = fixed_batch(half, 2)
    kinds = tensor_types(fixed, spec)
    assert [kinds[n].half for n in ("images", "output0", "output1")] == [True, False, True]
    casts = sum(n.op_type == "Cast" for n in half.graph.node) - sum(
        n.op_type == "Cast" for n in fixed.graph.node
    )
    assert casts == 2
    images = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    head, protos = run(fixed, images.astype(np.float16))
    for found, expected in zip((head, protos), run(half, images), strict=True):
        # The CPU computes FP16 in FP32 and drops pairs of casts, so it rounds elsewhere.
        np.testing.assert_allclose(found.astype(np.float32), expected, atol=0.02, rtol=0.01)


def _with_resize(scales: list[float], **attributes: str) -> onnx.ModelProto:
    """A network that enlarges its input, and then convolves it back with a bias."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    how = {
        "mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
        **attributes,
    }  # fmt: skip
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["large"], **how),
        helper.make_node("ConvTranspose", ["large", "weights", "bias"], ["y"], strides=[2, 2]),
    ]
    values = {
        "scales": np.array(scales, np.float32),
        "weights": rng.random((3, 5, 2, 2), np.float32),
        "bias": rng.random(5, np.float32),
    }
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5, None, None])],
        [numpy_helper.from_array(v, k) for k, v in values.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("scales", "attributes", "rewritten"),
    [
        ([1, 1, 2, 2], {}, True),
        ([1, 1, 4, 4], {}, True),
        ([1, 1, 2, 3], {}, False),
        ([1, 1, 1.5, 1.5], {}, False),
        ([1, 1, 2, 2], {"nearest_mode": "ceil"}, False),
        ([1, 1, 2, 2], {"mode": "linear"}, False),
    ],
)
def test_what_is_rewritten_for_the_channels_last_computes_the_same(
    scales: list[float], attributes: dict[str, str], rewritten: bool
) -> None:
    model = _with_resize(scales, **attributes)
    images = np.random.default_rng(1).random((2, 3, 6, 4), np.float32)
    found = []
    for network in (model, fixed_batch(model, 2), fixed_batch(model, 2, channels_last=True)):
        onnx.checker.check_model(network)
        session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
        found.append(session.run(None, {"x": images})[0])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5)
    ops = [node.op_type for node in network.graph.node]
    assert ("Resize" not in ops, ops.count("Transpose")) == (rewritten, 2 * rewritten)
    assert "ConvTranspose" not in ops


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2]},
        {"strides": [2, 2], "kernel_shape": [2, 2], "pads": [0, 0, 0, 0], "group": 1, "dilations": [1, 1]},
        {"strides": [1, 1]},
        {"strides": [2, 2], "pads": [1, 1, 0, 0]},
        {"strides": [2, 2], "output_padding": [1, 1]},
        {"strides": [3, 3]},
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolutions_are_rewritten_to_the_same_values(
    attributes: dict[str, Any], bias: bool
) -> None:
    model = _with_resize([1, 1, 2, 2])
    node = model.graph.node[1]
    del node.attribute[:]
    node.attribute.extend(onnx.helper.make_attribute(k, v) for k, v in attributes.items())
    if not bias:
        del node.input[2]
    images = np.random.default_rng(1).random((2, 3, 6, 4), np.float32)
    found = []
    for network in (model, fixed_batch(model, 2), fixed_batch(model, 2, channels_last=True)):
        session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
        found.append(session.run(None, {"x": images})[0])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5)
    left = [n for n in network.graph.node if n.op_type == "ConvTranspose"]
    assert all(len(n.input) == 2 for n in left), "a bias is added apart"
    plain = attributes["strides"] == [2, 2] and not {"output_padding"} & set(attributes)
    assert bool(left) == (not plain or any(attributes.get("pads", [])))


class Native:
    """Stands in for ONNX Runtime's session: remembers which bindings ran, and whether it waited."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, bool]] = []
        self.failure: Exception | None = None

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: ort.RunOptions) -> None:
        if self.failure is not None:
            raise self.failure
        waits = not _has_entry(options)
        self.runs.append((binding, waits))


class Binding:
    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}

    def bind_input(self, name: str, *rest: Any) -> None:
        self.addresses[name] = rest[-1]

    bind_output = bind_input


def _has_entry(options: ort.RunOptions) -> bool:
    try:
        return bool(options.get_run_config_entry("disable_synchronize_execution_providers") == "1")
    except RuntimeError:
        return False


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Native:
    native = Native()
    monkeypatch.setattr(onnxruntime_session, "_new_session", lambda *_: native)
    return native


@pytest.fixture
def file(tiny_onnx: Path) -> EngineFile:
    return admit(tiny_onnx, trust=True)


@pytest.fixture
def device() -> Device:
    return emulated(HostDriver())


@pytest.fixture
def engine(file: EngineFile, device: Device) -> OnnxRuntimeCudaEngine:
    return OnnxRuntimeCudaEngine(file, device)


def _context(engine: OnnxRuntimeCudaEngine, address: int = 100, **where: int) -> Any:
    context = engine.new_context(2, **where)
    context.input_pointer = address
    context.output_pointers = {"output0": address + 1, "output1": address + 2}
    return context


def test_runs_return_at_once_and_now_and_then_one_tidies_up(
    engine: OnnxRuntimeCudaEngine, device: Device, native: Native
) -> None:
    context, stream = _context(engine), device.scope().stream()
    for _ in range(2 * Session.TIDY_EVERY + 2):
        context.enqueue(stream.handle)
    waits = [index for index, (_, waited) in enumerate(native.runs) if waited]
    assert waits == [Session.TIDY_EVERY, 2 * Session.TIDY_EVERY + 1]
    assert native.runs[0][0].addresses == {"images": 100, "output0": 101, "output1": 102}


def test_what_a_graph_copies_from_is_never_tidied_away(
    engine: OnnxRuntimeCudaEngine, device: Device, native: Native
) -> None:
    context, scope = _context(engine), device.scope()
    stream = scope.stream()
    context.enqueue(stream.handle)
    scope.capture(stream, lambda: context.enqueue(stream.handle))
    for _ in range(3 * Session.TIDY_EVERY):
        context.enqueue(stream.handle)
    assert not any(waited for _, waited in native.runs)
    context.close()
    assert native.runs[-1][1]  # now that nothing replays the graph


def test_the_last_context_of_a_session_tidies_up_on_its_own_memory(
    engine: OnnxRuntimeCudaEngine, device: Device, native: Native
) -> None:
    stream = device.scope().stream()
    first, second = _context(engine, 100), _context(engine, 200)  # one session
    for context in (first, second):
        context.enqueue(stream.handle)
    first.close()
    assert not any(waited for _, waited in native.runs), "the second's graph may copy from what is staged"
    second.enqueue(stream.handle)
    second.close()
    assert native.runs[-1] == (native.runs[1][0], True)
    assert native.runs[-1][0].addresses["images"] == 200
    count = len(native.runs)
    second.close()
    assert len(native.runs) == count


def test_unused_sessions_are_kept_and_only_so_many(
    engine: OnnxRuntimeCudaEngine, device: Device, native: Native
) -> None:
    stream = device.scope().stream()
    for lane in range(MOST_IDLE + 4):
        context = _context(engine, lane=lane)
        context.enqueue(stream.handle)
        context.close()
    assert len(engine._sessions) == MOST_IDLE + 1
    engine.close()
    assert device.live == {"stream": 1}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error in execution: CUDA failure 700: an illegal memory access was encountered", DeviceLost),
        ("Failed to allocate memory for requested buffer of size 1024", OutOfDeviceMemory),
        ("CUDA failure 2: out of memory", OutOfDeviceMemory),
    ],
)
def test_failures_of_the_gpu_are_told_apart(
    engine: OnnxRuntimeCudaEngine, device: Device, native: Native, text: str, error: type[Exception]
) -> None:
    context, stream = _context(engine), device.scope().stream()
    native.failure = RuntimeError(text)
    with pytest.raises(error):
        context.enqueue(stream.handle)


def test_a_session_on_a_lost_gpu_is_never_destroyed(
    engine: OnnxRuntimeCudaEngine, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its destructor would end the process."""
    monkeypatch.setattr(onnxruntime_session, "_new_session", lambda *_: Native())
    alive = []
    for failure in (None, RuntimeError("CUDA failure 719")):
        context, stream = _context(engine), device.scope().stream()
        context.enqueue(stream.handle)
        native = context._session._native
        native.failure = failure
        if failure is not None:
            with pytest.raises(DeviceLost):
                context.enqueue(stream.handle)
        context.close()
        engine.close()
        alive.append(weakref.ref(native))
        del native, context
    assert alive[0]() is None
    assert alive[1]() is not None


def test_refuses_another_fixed_batch_and_a_damaged_file(tmp_path: Path, device: Device) -> None:
    path = tmp_path / "fixed.onnx"
    path.write_bytes(tiny_yolo(batch=4).SerializeToString())
    file = admit(path, trust=True)
    with pytest.raises(ArtifactError, match="exactly 4"):
        OnnxRuntimeCudaEngine(file, device).new_context(2)
    path.write_bytes(b"\xff" * 100)
    file = replace(file, sha256=sha256_file(path))
    with pytest.raises(ArtifactError, match="not a valid ONNX"):
        OnnxRuntimeCudaEngine(file, device)


def test_says_what_is_missing(file: EngineFile, device: Device) -> None:
    if availability().usable:
        pytest.skip("everything is there")
    with pytest.raises(DeviceError, match="cannot use a GPU"):
        load(file, device)
