"""The contract of every backend: build, refuse, load, run, close."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from tests.backends.fused.networks import yolo
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.contract.toy_backend import ToyBackend
from tests.gpu.conftest import gpu as gpu
from yolotrt import TiledPipeline
from yolotrt.backends import names
from yolotrt.backends.base import Backend, BuildConfig, BuiltEngine, EngineFile, Figure, Precision
from yolotrt.backends.loading import load_engine, open_engine
from yolotrt.backends.placement import place
from yolotrt.backends.profiles import batch_sizes, parse_profiles
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.registry import backend as backend_named
from yolotrt.backends.registry import choose
from yolotrt.backends.sidecar import read_engine, sidecar_path, write_engine
from yolotrt.cuda.device import Device
from yolotrt.errors import ArtifactError, DeviceError, EnvironmentFault, UsageError, YoloTrtError
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import no_progress
from yolotrt.workflow.describe import describe

TOY = "tests.contract.toy_backend:ToyBackend"
MODEL = yolo()
SPEC = read_spec(MODEL, "tiny")
PROFILES = parse_profiles("1,4")
TOLERANCE = {"fp32": 2e-4, "fp16": 2e-2}
"""Largest accepted difference from FP32 on a processor, of the largest value."""

IMAGES = np.random.default_rng(0).random((4, 3, 64, 64), dtype=np.float32)

HERE = [*names.NAMES, "toy"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that a new backend takes outside of its own package."""
    monkeypatch.setitem(names.CLASSES, "toy", TOY)


@pytest.fixture(params=HERE)
def builder(request: pytest.FixtureRequest) -> Backend:
    """Every backend that can build on this machine."""
    found = backend_named(request.param)
    state = found.availability()
    assert state.reason
    if not state.builds:
        pytest.skip(state.reason)
    return found


@pytest.fixture
def runner(builder: Backend) -> Backend:
    """Every backend that can build and run on this machine."""
    state = builder.availability()
    if not state.usable:
        pytest.skip(state.reason)
    return builder


def plainest(backend: Backend) -> Precision:
    return backend.worthwhile("cpu" if backend.runs_on_cpu else "cuda:0")[0]


def config(backend: Backend) -> BuildConfig:
    """Return what it is to build: for another machine's GPU where there is none here."""
    elsewhere = not (backend.runs_on_cpu or backend.availability().usable)
    targets = ("SM86",) if elsewhere else ()
    return BuildConfig(SPEC, PROFILES, plainest(backend), compute_capabilities=targets)


@functools.cache
def _built(name: str) -> BuiltEngine:
    """Build once for all tests: kernels take a while to compile."""
    backend = backend_named(name)
    wanted = config(backend)
    backend.check(wanted)
    network = to_fp16(MODEL, SPEC) if wanted.precision == "fp16" else MODEL
    return backend.build(network, wanted, no_progress)


def build(backend: Backend, folder: Path) -> EngineFile:
    """Build an engine and write it with its sidecar, as ``yolotrt build`` does."""
    wanted, built = config(backend), _built(backend.name)
    file = EngineFile(
        folder / f"tiny{backend.suffix}",
        backend.name,
        wanted.precision,
        SPEC,
        () if backend.any_batch else batch_sizes(PROFILES),
        "",
        environment=backend.environment(wanted),
        layers=built.layers,
    )
    return write_engine(file, built.data)


def expected() -> tuple[np.ndarray, np.ndarray]:
    session = ort.InferenceSession(MODEL.SerializeToString(), providers=["CPUExecutionProvider"])
    head, protos = session.run(["output0", "output1"], {"images": IMAGES})
    return head, protos


@pytest.mark.parametrize("name", HERE)
def test_what_the_rest_asks_is_answered_anywhere(name: str, tmp_path: Path) -> None:
    backend = backend_named(name)
    assert backend.name == name
    assert backend.suffix.startswith(".")
    assert all(suffix.startswith(".") for suffix in backend.foreign_suffixes)
    assert backend.packages
    for precision in backend.worthwhile("cpu" if backend.runs_on_cpu else "cuda:0"):
        where = backend.placement(precision)
        assert where.reason
        assert backend.runs_on_cpu or where.gpus
    file = EngineFile(tmp_path / f"e{backend.suffix}", name, "fp16", SPEC, (1, 4), "")
    assert all(isinstance(note, str) for note in backend.notes(file))
    for figure in get_args(Figure):
        assert all(
            isinstance(note, str) for note in backend.remarks(file, figure, on_gpu=not backend.runs_on_cpu)
        )
    timings = backend.timings(tmp_path / "t.cache")
    assert timings is None or timings[0].parent == tmp_path
    assert rebuild_command(file).startswith("yolotrt build MODEL --fp16 --backend " + name)


def test_what_is_built_is_read_back(builder: Backend, tmp_path: Path) -> None:
    file = build(builder, tmp_path)
    again = read_engine(file.path)
    assert again == file
    assert again.environment == builder.environment(config(builder))
    shown = describe(file.path)
    assert (shown["kind"], shown["backend"]) == ("engine", builder.name)
    json.dumps(shown)


def test_a_precision_that_it_lacks_is_refused_before_any_work(builder: Backend) -> None:
    if "fp8" in builder.worthwhile("cuda:0") or builder.name.startswith("tensorrt"):
        pytest.skip("it has all of them")
    with pytest.raises(UsageError):
        builder.check(replace(config(builder), precision="fp8"))


@pytest.mark.parametrize("batch", [1, 4])
def test_it_computes_what_the_network_means(runner: Backend, tmp_path: Path, batch: int) -> None:
    engine = load_engine(build(runner, tmp_path))
    context = engine.new_context(batch)
    assert context.batch == batch
    assert context.takes_host_images
    context.images[:] = IMAGES[:batch]
    for ours, theirs in zip(context.run(), expected(), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(
            ours, theirs[:batch], atol=TOLERANCE[plainest(runner)] * np.abs(theirs).max()
        )
    engine.close()


def test_contexts_of_several_lanes_and_sizes_do_not_disturb_each_other(
    runner: Backend, tmp_path: Path
) -> None:
    engine = load_engine(build(runner, tmp_path))
    contexts = [engine.new_context(batch, lane=lane) for batch, lane in ((4, 0), (4, 1), (1, 0), (1, 1))]
    whole, _ = expected()
    for first in (0, 1):  # twice, so that nothing is left over from the run before
        for context in contexts:
            context.images[:] = IMAGES[: context.batch] if first == 0 else IMAGES[::-1][: context.batch]
            head, _ = context.run()
            wanted = whole[: context.batch] if first == 0 else whole[::-1][: context.batch]
            np.testing.assert_allclose(head, wanted, atol=TOLERANCE[plainest(runner)] * np.abs(whole).max())
    engine.close()


def test_closing_twice_is_no_mistake(runner: Backend, tmp_path: Path) -> None:
    engine = load_engine(build(runner, tmp_path))
    engine.new_context(1)
    engine.close()
    engine.close()


def test_a_batch_without_a_profile_is_refused_with_the_way_out(runner: Backend, tmp_path: Path) -> None:
    engine = load_engine(build(runner, tmp_path))
    if runner.any_batch:
        assert engine.new_context(3).batch == 3
    else:
        with pytest.raises(ArtifactError) as error:
            engine.new_context(3)
        assert "--batch" in (error.value.hint or "")
    engine.close()


def test_changed_bytes_are_not_loaded(runner: Backend, tmp_path: Path) -> None:
    file = build(runner, tmp_path)
    file.path.write_bytes(file.path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match="hash"):
        open_engine(file.path)
    with pytest.raises(ArtifactError, match="changed"):
        load_engine(file)


def test_damaged_bytes_that_are_trusted_are_one_error(builder: Backend, tmp_path: Path) -> None:
    file = build(builder, tmp_path)
    file.path.write_bytes(b"\x00not an engine" * 9)
    with pytest.raises(YoloTrtError):
        open_engine(file.path, trust=True).new_context(1)


def test_a_device_that_it_cannot_use_is_refused(builder: Backend, tmp_path: Path) -> None:
    file = build(builder, tmp_path)
    if not builder.runs_on_cpu:
        with pytest.raises(UsageError, match="GPU only"):
            place(file, "cpu")
    with pytest.raises((DeviceError, EnvironmentFault)):
        load_engine(file, "cuda:97")


def test_parts_are_where_the_engine_is(runner: Backend, tmp_path: Path) -> None:
    file = build(runner, tmp_path)
    engine = load_engine(file)
    assert len(engine.parts) == len(place(file).gpus)
    engine.close()


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*names.NAMES])
def test_on_a_gpu_it_runs_in_the_callers_memory_and_can_be_captured(
    name: str, tmp_path: Path, gpu: Device
) -> None:
    found = backend_named(name)
    if not found.availability().usable:
        pytest.skip(found.availability().reason)
    try:
        engine = found.load_on(build(found, tmp_path), gpu)
    except DeviceError as exc:
        pytest.skip(exc.message)
    head, protos = expected()
    context = engine.new_context(4)
    with gpu.scope() as scope:
        stream = scope.stream()
        memory = {n: scope.buffer(tensor.nbytes) for n, tensor in context.tensors.items()}
        host = {n: scope.pinned(tensor.nbytes) for n, tensor in context.tensors.items()}
        image = context.tensors["images"]
        host["images"].array[: image.nbytes] = IMAGES.astype(image.dtype).view(np.uint8).ravel()
        context.input_pointer = memory["images"].address
        context.output_pointers = {n: memory[n].address for n in ("output0", "output1")}

        def work() -> None:
            stream.copy(memory["images"].address, host["images"].address, image.nbytes)
            context.enqueue(stream.handle)
            for n in ("output0", "output1"):
                stream.copy(host[n].address, memory[n].address, context.tensors[n].nbytes)

        work()
        stream.synchronize()
        for n in ("output0", "output1"):
            host[n].array[:] = 0xFF
        if engine.capturable:
            scope.capture(stream, work).launch(stream)
        else:
            work()
        stream.synchronize()
        for n, wanted in (("output0", head), ("output1", protos)):
            tensor = context.tensors[n]
            found_values = host[n].array[: tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)
            np.testing.assert_allclose(found_values, wanted, atol=0.01 * np.abs(wanted).max())
        context.close()
    engine.close()


def test_a_new_backend_works_with_every_verb_that_runs_engines(cli: Cli, tmp_path: Path) -> None:
    """One line in the registry, and the seam does the rest."""
    model, picture = tmp_path / "tiny.onnx", tmp_path / "a.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 256, (64, 90, 3), np.uint8))
    model.write_bytes(MODEL.SerializeToString())
    assert choose("toy")[0].name == ToyBackend.name
    engine = str(tmp_path / "tiny.toy")
    assert "toy" in cli("build", str(model), "--fp32", "--backend", "toy", "-o", engine).err
    for words in (
        (
            "bench",
            engine,
            "--source",
            picture,
            "--groups",
            "1,2",
            "-n",
            "2",
            "--warmup",
            "1",
            "-o",
            "r.json",
        ),
        ("predict", engine, picture),
    ):
        done = cli(*words)
        assert done.code == 0, done.err
    assert "toy" in cli("inspect", engine).out
    assert "does not time" in cli("profile", engine).err
    with TiledPipeline.open(Path(engine)) as pipeline:
        assert pipeline(np.zeros((64, 64, 3), np.uint8)).detections is not None
    assert sidecar_path(Path(engine)).exists()
