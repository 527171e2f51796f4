"""Real engines of TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import helper

from tests.backends.qdq_by_hand import quantize_by_hand
from tests.backends.trt_stubs.memory_driver import MemoryDriver
from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from yolotrt.backends.base import BuildConfig, BuiltEngine, EngineFile, Layer, Precision
from yolotrt.backends.layers import is_convolution, summarise
from yolotrt.backends.profiles import parse_profiles
from yolotrt.backends.registry import backend, choose
from yolotrt.backends.sidecar import read_engine, write_engine
from yolotrt.backends.tensorrt.library import TENSORRT_RTX, open_library
from yolotrt.backends.tensorrt.runtime import load_foreign
from yolotrt.cuda.device import Device
from yolotrt.cuda.machine import HERE
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import ArtifactError, BuildError, DeviceError, UsageError, YoloTrtError
from yolotrt.model.fp8 import to_fp8
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import no_progress

pytestmark = pytest.mark.rtx
pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")

INT8_CONVS = {"down2.conv", "res.conv", "down3.conv", "down4.conv", "down5.conv"}
MODEL = tiny_yolo()
SPEC = read_spec(MODEL, "tiny")


def network(precision: Precision) -> onnx.ModelProto:
    if precision == "fp32":
        return MODEL
    if precision == "fp16":
        return to_fp16(MODEL, SPEC)
    int8 = quantize_by_hand(MODEL, INT8_CONVS)
    return to_fp16(to_fp8(int8, MODEL) if precision == "fp8" else int8, SPEC)


def config(precision: Precision = "fp16", batches: str = "1,4", **changes: object) -> BuildConfig:
    made = BuildConfig(SPEC, parse_profiles(batches), precision, compute_capabilities=("SM89",))
    return replace(made, **changes)  # type: ignore[arg-type]


def convolutions(built: BuiltEngine) -> dict[str, Layer]:
    """Return the layer that computes each convolution of the network."""
    names = {n.name for n in MODEL.graph.node if n.op_type == "Conv"}
    return {node: x for x in built.layers if is_convolution(x) for node in x.nodes if node in names}


@pytest.fixture(scope="module")
def built() -> dict[Precision, BuiltEngine]:
    rtx = backend("tensorrt-rtx")
    names: tuple[Precision, ...] = ("fp32", "fp16", "int8", "fp8")
    return {name: rtx.build(network(name), config(name), no_progress) for name in names}


def test_fp32_stays_fp32(built: dict[Precision, BuiltEngine]) -> None:
    found = convolutions(built["fp32"])
    assert len(found) == 10
    assert {layer.inputs for layer in found.values()} == {("FP32",)} | {
        layer.inputs for layer in found.values() if len(layer.inputs) > 1
    }


def test_fp16_computes_in_fp16_with_its_activations_fused(built: dict[Precision, BuiltEngine]) -> None:
    found = convolutions(built["fp16"])
    assert {t for layer in found.values() for t in (layer.inputs[0], layer.weights[0])} == {"FP16"}
    assert summarise(built["fp16"].layers).unfused == ()
    assert "stem.silu" in found["stem.conv"].nodes


@pytest.mark.parametrize(("precision", "narrow"), [("int8", "INT8"), ("fp8", "FP8")])
def test_what_is_meant_to_be_8_bit_is_and_nothing_else(
    built: dict[Precision, BuiltEngine], precision: Precision, narrow: str
) -> None:
    found = convolutions(built[precision])
    types = {name: (layer.inputs[0], layer.weights[0]) for name, layer in found.items()}
    assert {name for name, pair in types.items() if pair == (narrow, narrow)} == INT8_CONVS
    assert {pair for name, pair in types.items() if name not in INT8_CONVS} == {("FP16", "FP16")}


def test_rtx_computes_the_activation_of_int8_convolutions_apart(built: dict[Precision, BuiltEngine]) -> None:
    """Why FP16 is the precision of TensorRT-RTX: if this fails, the README's advice needs another look."""
    unfused = {n for x in built["int8"].layers if x.activation_elsewhere for n in x.nodes}
    assert unfused >= INT8_CONVS


def test_profiles_are_one_per_batch_size(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    told: list[tuple[str, int, int]] = []
    backend("tensorrt-rtx").build(
        network("fp16"), config(batches="1,4,2-8", log=log), lambda *report: told.append(report)
    )
    text = log.read_text()
    for smallest, best, largest in ((1, 1, 1), (2, 8, 8), (4, 4, 4)):
        shapes = (
            f"{name}Shape: [{n},3,64,64]" for name, n in (("Min", smallest), ("Opt", best), ("Max", largest))
        )
        assert ", ".join(shapes) in text
    assert ("building engine", 6, 6) in told
    assert "[VERBOSE]" in text


def test_the_engine_and_what_became_of_it_are_kept(
    built: dict[Precision, BuiltEngine], tmp_path: Path
) -> None:
    environment = backend("tensorrt-rtx").environment(config("int8"))
    assert environment["product"] == "TensorRT-RTX"
    assert (environment["targets"], environment["profiles"]) == ("SM89", "1,4")
    engine, path = built["int8"], tmp_path / "tiny.engine"
    file = EngineFile(
        path, "tensorrt-rtx", "int8", SPEC, (1, 4), "", environment=environment, layers=engine.layers
    )
    write_engine(file, engine.data)
    again = read_engine(path)
    assert again.layers == engine.layers
    shown = backend("tensorrt-rtx").describe(again, HERE)
    assert shown["profiles"] == ["1", "4"]
    assert shown["convolutions"] == {"INT8": 5, "FP16": 5}
    assert any(row["types"] == "INT8 x INT8 -> FP32" for row in shown["layer_table"])
    json.dumps(shown)


def test_a_truncated_engine_does_not_match_its_sidecar(
    built: dict[Precision, BuiltEngine], tmp_path: Path
) -> None:
    path = tmp_path / "tiny.engine"
    write_engine(EngineFile(path, "tensorrt-rtx", "fp16", SPEC, (1, 4), ""), built["fp16"].data)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Exception, match="does not match the hash"):
        read_engine(path)


@pytest.mark.parametrize(
    ("damage", "error", "reason"),
    [
        (lambda data: data[: len(data) // 2], ArtifactError, "the file is truncated"),
        (lambda data: data[:40], ArtifactError, "the file is truncated"),
        (lambda data: b"", ArtifactError, "the file is empty"),
        (lambda data: b"x" * 5000, ArtifactError, "it is no engine of this library"),
        (lambda data: data, DeviceError, r"the NVIDIA driver \(CUDA 12\.4\) is too old for it"),
    ],
    ids=["half", "header", "empty", "other", "driver"],
)
def test_the_real_runtime_says_why_it_loads_nothing(
    built: dict[Precision, BuiltEngine],
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    error: type[YoloTrtError],
    reason: str,
) -> None:
    """TensorRT-RTX's runtime starts without a driver, so what it really says can be read here."""
    if backend("tensorrt-rtx").availability().usable:
        pytest.skip("there is a driver; tests/gpu has this test for it")
    path = tmp_path / "damaged.engine"
    path.write_bytes(damage(built["fp16"].data))
    gpu = FoundGpu("NVIDIA GeForce RTX 5060 Ti", (12, 0), "12.4")
    with Device(MemoryDriver()) as device, pytest.raises(error, match=reason) as caught:
        load_foreign(open_library(TENSORRT_RTX), gpu, device, path)
    assert caught.value.hint


def test_it_is_chosen_for_building_by_name_only() -> None:
    chosen, _ = choose("tensorrt-rtx", "build")
    assert chosen.availability().builds


def test_all_unknown_operators_are_named() -> None:
    model = tiny_yolo()
    for i, (op, domain) in enumerate((("Det", ""), ("Wobble", "acme"))):
        # Both stand where a convolution's input was; the parser looks at every node before it gives up.
        node = next(n for n in model.graph.node if n.name == f"down{i + 2}.conv")
        made = helper.make_node(op, [node.input[0]], [f"odd{i}"], name=f"odd{i}", domain=domain)
        node.input[0] = f"odd{i}"
        model.graph.node.insert(list(model.graph.node).index(node), made)
    model.opset_import.append(helper.make_opsetid("acme", 1))
    with pytest.raises(BuildError) as caught:
        backend("tensorrt-rtx").build(model, config("fp32"), no_progress)
    assert "cannot take 2 part(s) of tiny" in caught.value.message
    assert "Det node 'odd0': this operator is not supported" in caught.value.message
    assert "Wobble node 'odd1': this operator is unknown" in caught.value.message


def test_a_failed_build_tells_tensorrts_reason_and_keeps_its_log(tmp_path: Path) -> None:
    mixed = network("fp16")
    mixed.graph.node[0].attribute[0].i = onnx.TensorProto.FLOAT  # images stay FP32, the weights are FP16
    with pytest.raises(BuildError, match="TensorRT-RTX") as caught:
        backend("tensorrt-rtx").build(mixed, config(log=tmp_path / "build.log"), no_progress)
    assert caught.value.hint
    assert "ERROR" in (tmp_path / "build.log").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version_compatible": True}, "--version-compatible is not offered"),
        ({"hardware_compatible": True}, "has no --hardware-compatible"),
        ({"implicit": True}, "has no implicit INT8"),
        ({"compute_capabilities": ("SM90",)}, "cannot build for SM90"),
        ({"compute_capabilities": ("new",)}, "'new' is not a compute capability"),
        ({"precision": "fp8", "compute_capabilities": ("SM86", "12.0")}, "FP8 needs compute capability 8.9"),
        ({"precision": "fp32", "compute_capabilities": ("sm_75",)}, "no FP32 matrix products for Turing"),
        ({"precision": "int8", "compute_capabilities": ("75",)}, "nothing in INT8 as soon as Turing"),
        ({"precision": "int8", "compute_capabilities": ("8.6", "SM75")}, "not for 8.6 either"),
    ],
)
def test_what_cannot_work_is_refused_at_once(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        backend("tensorrt-rtx").build(network("fp16"), config(**changes), no_progress)  # type: ignore[arg-type]
    assert caught.value.hint


def test_ctrl_c_is_heard_while_the_network_is_parsed(tmp_path: Path) -> None:
    """The parser calls our logger, and the bindings drop an exception that comes out of it."""
    write_tiny_yolo(tmp_path / "tiny.onnx")
    code = (
        "import os, signal, sys, time\n"
        "from yolotrt.backends.tensorrt.log import MessageLog\n"
        "from yolotrt.cli.app import main\n"
        "take, sent = MessageLog.__call__, []\n"
        "def interrupt(self, severity, message):\n"
        "    if not sent:\n"
        "        sent.append(message)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.3)\n"
        "    take(self, severity, message)\n"
        "MessageLog.__call__ = interrupt\n"
        "sys.argv = ['yolotrt', 'build', 'tiny.onnx', '--backend', 'tensorrt-rtx']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert done.stderr.endswith("interrupted\n")
    assert [p.name for p in (tmp_path / "engines").iterdir() if not p.name.startswith(".")] == []
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_a_build_cleanly(tmp_path: Path, times: int) -> None:
    """In a process of its own, interrupted from inside TensorRT; a second time does not wait."""
    write_tiny_yolo(tmp_path / "tiny.onnx")
    code = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from yolotrt.backends.base import BuildConfig\n"
        "from yolotrt.backends.profiles import parse_profiles\n"
        "from yolotrt.backends.registry import backend\n"
        "from yolotrt.model.onnxfile import load_onnx, read_spec\n"
        "model = load_onnx(Path('tiny.onnx'))\n"
        f"left = [{times}]\n"
        "noticed = threading.Event()\n"
        "def notice(*_):\n"
        "    noticed.set()\n"
        "    raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGINT, notice)\n"
        "def progress(*_):\n"
        "    while left[0]:\n"
        "        left[0] -= 1\n"
        "        noticed.clear()\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        noticed.wait()\n"
        "        time.sleep(0.2)  # it has reached the wait for the end\n"
        "config = BuildConfig(read_spec(model, 'tiny'), parse_profiles('1,2,4'), 'fp32')\n"
        "try: backend('tensorrt-rtx').build(model, config, progress)\n"
        "except KeyboardInterrupt: print('interrupted'); sys.exit(130)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert ("interrupted" in done.stdout) == (times == 1)
