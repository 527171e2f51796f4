"""Loading and running TensorRT engines, against a double of TensorRT's runtime."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.trt_stubs import rtx_double, runtime_double
from tests.backends.trt_stubs.memory_driver import MemoryDriver
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.backends.base import EngineFile
from yolotrt.backends.tensorrt.library import TENSORRT, TENSORRT_RTX, Library
from yolotrt.backends.tensorrt.profiler import layer_times
from yolotrt.backends.tensorrt.runtime import TensorRtEngine, load, load_foreign
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import ArtifactError, ExecutionError, InputError, ModelError
from yolotrt.model.spec import ModelSpec

GPU = FoundGpu("NVIDIA GeForce RTX 5060 Ti", (12, 0), "13.0")
SPEC = ModelSpec("tiny", ("cat", "dog"), "images", (64, 64), None, "raw", "output0", "output1", 4, 32)
TENSORS = {
    "images": ["INPUT", "FLOAT", [-1, 3, 64, 64]],
    "output0": ["OUTPUT", "FLOAT", [-1, 10, 84]],
    "output1": ["OUTPUT", "FLOAT", [-1, 4, 16, 16]],
}


def plan(**changes: Any) -> bytes:
    profiles = changes.get("profiles", [[1, 1, 1], [4, 4, 4]])
    memory = [1000 * best for _, best, _ in profiles]
    return json.dumps({"tensors": TENSORS, "profiles": profiles, "memory": memory, **changes}).encode()


class World:
    """A GPU of host memory, a library, and engines in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.driver = MemoryDriver()
        self.device = Device(self.driver)
        self.library = Library(TENSORRT, runtime_double)
        self.engines: list[TensorRtEngine] = []

    def file(self, data: bytes, **environment: str) -> EngineFile:
        path = self.folder / "tiny.int8.tensorrt.engine"
        path.write_bytes(data)
        recorded = {
            "product": "TensorRT",
            "version": runtime_double.__version__,
            "gpu": GPU.name,
            "compute_capability": "12.0",
            "profiles": "1,4",
            "options": "none",
            **environment,
        }
        return EngineFile(
            path,
            "tensorrt",
            "int8",
            SPEC,
            (1, 4),
            sha256_bytes(data),
            {"onnx_file": "engines/tiny.onnx"},
            recorded,
        )

    def load(self, data: bytes | None = None, **environment: str) -> TensorRtEngine:
        file = self.file(plan() if data is None else data, **environment)
        self.engines.append(load(self.library, GPU, self.device, file))
        return self.engines[-1]

    def load_foreign(self, data: bytes) -> TensorRtEngine:
        path = self.folder / "foreign.engine"
        path.write_bytes(data)
        self.engines.append(load_foreign(self.library, GPU, self.device, path))
        return self.engines[-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    for engine in world.engines:
        engine.close()
    assert world.driver.blocks == {}
    assert world.driver.streams == set()
    assert world.device.live == {}
    world.engines.clear()
    gc.collect()
    assert runtime_double.ICudaEngine._alive == 0


def images(context: Any) -> np.ndarray:
    context.images[:] = np.random.default_rng(context.batch).random(context.images.shape, np.float32)
    return np.array(context.images)


def check_run(context: Any) -> None:
    """The double writes each image's mean to the head and its maximum to the prototypes."""
    given = images(context)
    head, prototypes = context.run()
    assert head.shape == (context.batch, 10, 84)
    assert prototypes.shape == (context.batch, 4, 16, 16)
    np.testing.assert_allclose(head[:, 0, 0], given.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(prototypes[:, 0, 0, 0], given.max(axis=(1, 2, 3)))


def test_batches_run_on_the_profile_made_for_them(world: World) -> None:
    engine = world.load()
    one, four = engine.new_context(1), engine.new_context(4)
    assert (one.profile, four.profile) == (0, 1)
    assert four.images.flags.writeable
    assert four.images.shape == (4, 3, 64, 64)
    for context in (one, four, one, four):
        check_run(context)


def test_a_range_is_used_only_where_no_size_fits_exactly(world: World) -> None:
    engine = world.load(plan(profiles=[[1, 8, 8], [4, 4, 4], [2, 4, 6]]))
    assert [engine.new_context(n).profile for n in (1, 2, 4, 5, 7)] == [0, 2, 1, 2, 0]


def test_contexts_of_a_lane_share_memory_sized_for_the_largest(world: World) -> None:
    engine = world.load()
    before = world.driver.memory()[0]
    large, small = engine.new_context(4), engine.new_context(1)
    for context in (large, small, large):
        check_run(context)
    assert small.input_pointer == large.input_pointer
    assert small.native._memory[0] == large.native._memory[0]
    assert (small.native._memory[1], large.native._memory[1]) == (1000, 4000)
    per_image = 4 * (3 * 64 * 64 + 10 * 84 + 4 * 16 * 16)
    grown = before - world.driver.memory()[0]
    assert grown == 4000 + 2 * 4 * per_image, "scratch once, images on both sides once"


def test_a_lane_that_grows_leaves_scratch_memory_where_a_graph_may_have_seen_it(world: World) -> None:
    engine = world.load()
    small = engine.new_context(1)
    check_run(small)
    seen = small.native._memory
    large = engine.new_context(4)
    check_run(large)
    check_run(small)
    assert small.native._memory == seen
    assert large.native._memory[0] != seen[0]
    assert small.input_pointer == large.input_pointer  # images move: the pipeline brings its own


def test_lanes_share_nothing_but_the_engine(world: World) -> None:
    engine = world.load()
    first, second = engine.new_context(4, lane=0), engine.new_context(4, lane=1)
    check_run(first)
    check_run(second)
    assert first.input_pointer != second.input_pointer
    assert first.native._memory[0] != second.native._memory[0]
    assert first.native._streams != second.native._streams
    assert runtime_double.ICudaEngine._alive == 1


def test_a_dropped_context_is_freed_before_its_engine(world: World) -> None:
    engine = world.load()
    context = engine.new_context(1)
    native = weakref.ref(context.native)
    del context
    gc.collect()
    assert native() is None
    other = engine.new_context(1)
    other.close()
    other.close()
    assert engine.capturable


def test_one_runtime_serves_all_engines(world: World) -> None:
    made = runtime_double.Runtime._made
    world.load()
    world.load_foreign(plan())
    assert runtime_double.Runtime._made == made + 1


def test_a_caller_can_bring_its_own_device_memory(world: World) -> None:
    engine = world.load(plan(memory=[0, 0]))
    context = engine.new_context(4)
    driver = world.driver
    own = {name: driver.allocate(4 * 4 * int(np.prod(t[2][1:]))) for name, t in TENSORS.items()}
    context.input_pointer = own["images"]
    context.output_pointers = {k: v for k, v in own.items() if k != "images"}
    stream = driver.new_stream()
    context.enqueue(stream)
    assert context.native._addresses == own
    assert context.native._streams == [stream]
    assert context.tensors["output0"].shape == (4, 10, 84)
    assert set(driver.blocks) == set(own.values()), "no buffers were made that nobody asked for"
    driver.destroy_stream(stream)
    for address in own.values():
        driver.free(address)


def test_a_failed_enqueue_tells_tensorrts_reason(world: World) -> None:
    context = world.load(plan(fails=True)).new_context(1)
    images(context)
    with pytest.raises(ExecutionError, match="illegal memory access") as caught:
        context.run()
    assert caught.value.hint


def test_no_profile_for_a_batch_names_the_build_that_has_one(world: World) -> None:
    engine = world.load()
    with pytest.raises(ArtifactError, match=r"no profile for batches of 3 \(it has 1, 4\)") as caught:
        engine.new_context(3)
    path = engine.file.path
    assert caught.value.hint == (
        "Build one with it: yolotrt build engines/tiny.onnx --int8 --backend tensorrt --batch 1,3,4 "
        f"-o {path} --force"
    )


def test_a_context_that_cannot_be_made_is_reported(world: World) -> None:
    with pytest.raises(OutOfDeviceMemory, match=r"could not make a context .* no memory for persistent"):
        world.load(plan(no_context=True)).new_context(1)
    with pytest.raises(ExecutionError, match="it gave no reason"):  # not that of the failure before
        world.load(plan(no_context="silently")).new_context(1)


@pytest.mark.parametrize("scratch", [1 << 40, 1000])
def test_too_little_memory_says_how_much_is_needed(world: World, scratch: int) -> None:
    world.driver.total = 300_000
    engine = world.load(plan(memory=[scratch, scratch], profiles=[[1, 1, 1], [32, 32, 32]]))
    with pytest.raises(OutOfDeviceMemory, match=r"a group of 32 images needs \d+ MiB more") as caught:
        engine.new_context(32).run()
    assert "--groups" in str(caught.value.hint)


def test_a_truncated_engine_is_refused(world: World) -> None:
    with pytest.raises(ArtifactError, match="the file is truncated") as caught:
        world.load(plan()[:-10])
    assert "yolotrt build engines/tiny.onnx --int8 --backend tensorrt --batch 1,4" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        ({"version": "10.16.1.11"}, r"was built by TensorRT 10\.16\.1\.11; this is TensorRT 10\.99"),
        ({"version": "11.4.0.106", "options": "version-compatible"}, "not on older ones"),
        ({"gpu": "NVIDIA H200", "compute_capability": "9.0"}, r"built on a NVIDIA H200 .*capability 9\.0"),
        ({"gpu": "NVIDIA GeForce RTX 5090"}, "built on a NVIDIA GeForce RTX 5090"),
        ({"targets": "SM86,SM89"}, r"built for SM86, SM89; this is a .* \(SM120\)"),
    ],
)
def test_an_engine_for_elsewhere_is_refused(world: World, recorded: dict[str, str], reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason) as caught:
        world.load(**recorded)
    assert "--force" in str(caught.value.hint)


@pytest.mark.parametrize(
    "recorded",
    [
        {"version": "10.16.1.11", "options": "version-compatible level=5"},
        {"gpu": "NVIDIA H200", "compute_capability": "9.0", "options": "hardware-compatible"},
        {"targets": "SM86,SM120"},
        {"targets": "portable"},
        {"driver": "CUDA 12.4"},
    ],
)
def test_an_engine_that_was_built_to_fit_loads(world: World, recorded: dict[str, str]) -> None:
    check_run(world.load(**recorded).new_context(1))


def test_host_code_runs_only_from_engines_that_we_built_with_it(world: World) -> None:
    runtime = world.library.runtime(GPU)
    world.load(options="version-compatible")
    assert runtime.engine_host_code_allowed
    world.load_foreign(plan())
    assert not runtime.engine_host_code_allowed


def test_an_engine_with_other_tensors_is_refused(world: World) -> None:
    renamed = {("boxes" if k == "output0" else k): v for k, v in TENSORS.items()}
    with pytest.raises(ArtifactError, match="says head_output 'output0', the network has 'boxes'"):
        world.load(plan(tensors=renamed))


class TestForeign:
    LAYERS = (
        {"Name": "/model.0/conv/Conv", "LayerType": "CaskConvolution", "ParameterType": "Convolution",
         "Inputs": [{"Name": "x", "Format/Datatype": "Channel major FP16 format"}], "Outputs": [],
         "Weights": {"Type": "Half"}, "Metadata": "[ONNX Layer: /model.0/conv/Conv]"},
    )  # fmt: skip

    def test_a_plain_trtexec_engine_is_read_by_its_tensors(self, world: World) -> None:
        engine = world.load_foreign(plan(layers=self.LAYERS))
        assert engine.file.spec == ModelSpec(
            "foreign", ("class0", "class1"), "images", (64, 64), None, "raw", "output0", "output1", 4, 32
        )
        assert engine.file.batches == (1, 4)
        assert engine.file.precision == "fp16"
        assert engine.file.layers[0].weights == ("FP16",)
        check_run(engine.new_context(4))

    def test_ultralytics_header_gives_the_class_names(self, world: World) -> None:
        header = json.dumps({"names": {"0": "cat", "1": "dog"}, "stride": 32, "imgsz": [64, 64]}).encode()
        engine = world.load_foreign(len(header).to_bytes(4, "little") + header + plan())
        assert engine.file.spec.names == ("cat", "dog")
        check_run(engine.new_context(1))

    def test_a_fixed_batch_is_its_only_profile(self, world: World) -> None:
        tensors = {k: [mode, kind, [2, *shape[1:]]] for k, (mode, kind, shape) in TENSORS.items()}
        engine = world.load_foreign(plan(tensors=tensors, profiles=[[2, 2, 2]]))
        assert (engine.file.spec.batch, engine.file.batches) == (2, (2,))

    def test_fp16_outputs_are_given_as_fp32(self, world: World) -> None:
        tensors = {k: [m, "FLOAT" if m == "INPUT" else "HALF", s] for k, (m, _, s) in TENSORS.items()}
        context = world.load_foreign(plan(tensors=tensors)).new_context(1)
        given = images(context)
        head, prototypes = context.run()
        assert head.dtype == prototypes.dtype == np.float32
        np.testing.assert_allclose(head[0, 0, 0], given.mean(), rtol=1e-3)

    def test_fp16_images_belong_to_the_gpu_pipeline(self, world: World) -> None:
        tensors = {k: [m, "HALF", s] for k, (m, _, s) in TENSORS.items()}
        context = world.load_foreign(plan(tensors=tensors)).new_context(1)
        with pytest.raises(ExecutionError, match="takes float16 images"):
            _ = context.images

    def test_other_types_are_refused(self, world: World) -> None:
        tensors = {**TENSORS, "output0": ["OUTPUT", "INT32", TENSORS["output0"][2]]}
        with pytest.raises(ArtifactError, match="has 'output0' as INT32"):
            world.load_foreign(plan(tensors=tensors))

    def test_a_detection_engine_is_no_segmentation_engine(self, world: World) -> None:
        tensors = {k: v for k, v in TENSORS.items() if k != "output1"}
        with pytest.raises(ModelError, match="not a YOLO segmentation model"):
            world.load_foreign(plan(tensors=tensors))

    def test_the_advice_never_overwrites_it(self, world: World) -> None:
        with pytest.raises(ArtifactError, match="no profile for batches of 3") as caught:
            world.load_foreign(plan()).new_context(3)
        assert str(caught.value.hint).endswith("yolotrt build MODEL --fp32 --backend tensorrt --batch 1,3,4")

    def test_a_missing_file_is_said_to_be_missing(self, world: World) -> None:
        with pytest.raises(InputError, match="does not exist"):
            load_foreign(world.library, GPU, world.device, world.folder / "none.engine")


def test_layer_times_are_means_sorted_by_time(world: World) -> None:
    rows = layer_times(world.load(), 4, 5)
    assert [(row.name, row.seconds, row.share) for row in rows] == [
        ("conv", pytest.approx(3e-3), 0.75),
        ("silu", pytest.approx(1e-3), 0.25),
    ]


class TestRtx:
    """Where TensorRT-RTX differs: the double refuses a context that is made as for TensorRT."""

    @pytest.fixture
    def rtx(self, world: World) -> World:
        world.library = Library(TENSORRT_RTX, rtx_double.module())
        return world

    def load(self, world: World, data: bytes, **environment: str) -> TensorRtEngine:
        recorded = {"product": "TensorRT-RTX", "version": rtx_double.__version__, "targets": "SM120"}
        file = replace(
            world.file(data),
            backend="tensorrt-rtx",
            precision="fp16",
            environment={**recorded, **environment},
        )
        world.engines.append(load(world.library, GPU, world.device, file))
        return world.engines[-1]

    def test_kernels_are_compiled_before_anything_is_captured(self, rtx: World) -> None:
        engine = self.load(rtx, plan())
        for batch in (4, 1):
            check_run(engine.new_context(batch))

    @pytest.mark.parametrize("capturable", [True, False])
    def test_it_is_asked_whether_it_can_be_captured(self, rtx: World, capturable: bool) -> None:
        engine = self.load(rtx, plan(capturable=capturable))
        before = dict(rtx.driver.blocks)
        assert engine.capturable == capturable
        assert engine.capturable == capturable
        assert rtx.driver.blocks == before, "the context that was asked is gone, and its memory"

    def test_its_own_check_explains_a_refusal(self, rtx: World) -> None:
        with pytest.raises(ArtifactError, match="version mismatch, old cuda driver"):
            self.load(rtx, b"not an engine")

    @pytest.mark.parametrize(
        ("recorded", "command"),
        [
            (
                {"version": "1.7.1.116", "profiles": "1,8", "options": "workspace=512 level=5"},
                "--batch 1,8 --compute-capability SM120 --workspace 512 --optimization-level 5",
            ),
            ({"targets": "SM86"}, "--batch 1,4"),
        ],
    )
    def test_the_command_builds_the_same_for_this_gpu(
        self, rtx: World, recorded: dict[str, str], command: str
    ) -> None:
        with pytest.raises(ArtifactError) as caught:
            self.load(rtx, plan(), **recorded)
        path = rtx.folder / "tiny.int8.tensorrt.engine"
        assert caught.value.hint == (
            f"Build it here: yolotrt build engines/tiny.onnx --fp16 --backend tensorrt-rtx {command} "
            f"-o {path} --force"
        )

    def test_a_portable_fp8_engine_begins_at_ada(self, rtx: World) -> None:
        ampere = FoundGpu("NVIDIA GeForce RTX 3060", (8, 6), "13.0")
        file = replace(
            rtx.file(plan()), precision="fp8", environment={"targets": "portable", "profiles": "1"}
        )
        with pytest.raises(ArtifactError, match="built for Ada and newer GPUs"):
            load(rtx.library, ampere, rtx.device, file)

    def test_a_gpu_that_it_never_builds_for_gets_tensorrt(self, rtx: World) -> None:
        file = replace(rtx.file(plan()), backend="tensorrt-rtx", environment={"targets": "SM120"})
        hopper = FoundGpu("NVIDIA H100", (9, 0), "13.0")
        with pytest.raises(
            ArtifactError, match=r"this is a NVIDIA H100 \(SM90\), for which .* builds none"
        ) as caught:
            load(rtx.library, hopper, rtx.device, file)
        assert "--backend tensorrt --batch" in str(caught.value.hint)
