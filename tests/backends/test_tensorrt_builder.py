"""Building with TensorRT 10 and 11, against a double of their builder."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.backends.trt_stubs import builder_double
from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import BuildConfig, BuiltEngine
from yolotrt.backends.profiles import parse_profiles
from yolotrt.backends.tensorrt.builder import build
from yolotrt.backends.tensorrt.identity import environment
from yolotrt.backends.tensorrt.library import TENSORRT, Library
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import BuildError, UsageError
from yolotrt.model.onnxfile import read_spec
from yolotrt.progress import no_progress

GPU = FoundGpu("NVIDIA GeForce RTX 5060 Ti", (12, 0), "13.0")
TABLE = "TRT-8601-EntropyCalibration2\nimages: 3c010a14\n"
MODEL = tiny_yolo()
CONFIG = BuildConfig(read_spec(MODEL, "tiny"), parse_profiles("1,2-4-8"), "fp16")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    builder_double.Builder._networks.clear()
    builder_double.Builder._configs.clear()
    yield
    builder_double.Builder._fails = None


def library(*missing: str) -> Library:
    return Library(TENSORRT, builder_double.without(*missing))


def run(
    config: BuildConfig, used: Library | None = None, gpu: FoundGpu = GPU
) -> builder_double.IBuilderConfig:
    build(used or library(), MODEL, config, gpu, no_progress)
    return builder_double.Builder._configs[-1]


def test_the_network_is_strongly_typed_with_one_profile_each() -> None:
    config = run(CONFIG)
    assert builder_double.Builder._networks[-1]._flags == 1 << 1
    assert [p._shapes["images"] for p in config._profiles] == [
        [(1, 3, 64, 64)] * 3,
        [(2, 3, 64, 64), (4, 3, 64, 64), (8, 3, 64, 64)],
    ]
    assert config.profiling_verbosity is builder_double.ProfilingVerbosity.DETAILED
    assert config._flags == set()


def test_a_version_without_the_flag_is_strongly_typed_anyway() -> None:
    class Flags:
        PREFER_AOT_PYTHON_PLUGINS = 2

    newer = library()
    newer.trt.NetworkDefinitionCreationFlag = Flags
    run(CONFIG, newer)
    assert builder_double.Builder._networks[-1]._flags == 0


def test_options_reach_the_builder() -> None:
    config = run(
        replace(
            CONFIG, workspace_mib=512, optimization_level=5, version_compatible=True, hardware_compatible=True
        )
    )
    assert config._limits == {"WORKSPACE": 512 << 20}
    assert config.builder_optimization_level == 5
    assert config._flags == {"VERSION_COMPATIBLE"}
    assert config.hardware_compatibility_level is builder_double.HardwareCompatibilityLevel.AMPERE_PLUS


def test_layers_come_from_the_inspector_of_the_engine_just_built() -> None:
    built = build(library(), MODEL, CONFIG, GPU, no_progress)
    assert isinstance(built, BuiltEngine)
    assert [layer.name for layer in built.layers] == ["/conv"]


def test_the_environment_is_what_the_engine_is_tied_to() -> None:
    config = replace(CONFIG, version_compatible=True, workspace_mib=512)
    assert environment(library(), config, GPU) == {
        "product": "TensorRT",
        "version": builder_double.__version__,
        "gpu": "NVIDIA GeForce RTX 5060 Ti",
        "compute_capability": "12.0",
        "driver": "CUDA 13.0",
        "profiles": "1,2-4-8",
        "options": "version-compatible workspace=512",
    }


class TestImplicitInt8:
    def test_tensorrt_10_gets_a_calibrator_that_reads_our_table(self) -> None:
        used = library()
        used.trt.BuilderFlag = enum.Enum("BuilderFlag", "INT8 FP16")
        config = run(replace(CONFIG, precision="int8", implicit=True, calibration_table=TABLE), used)
        assert builder_double.Builder._networks[-1]._flags == 0, "TensorRT chooses the types"
        assert config._flags == {"INT8", "FP16"}
        calibrator = config.int8_calibrator
        assert calibrator.read_calibration_cache() == (b"TRT-109900-EntropyCalibration2\nimages: 3c010a14\n")
        assert calibrator.get_batch(["images"]) is None
        assert calibrator.get_batch_size() == 1
        calibrator.write_calibration_cache(b"")
        assert config._calibration is not None
        assert config._calibration._shapes["images"] == [(4, 3, 64, 64)] * 3

    def test_newer_versions_refuse_and_name_the_way_that_works(self) -> None:
        with pytest.raises(UsageError, match="has no implicit INT8") as caught:
            run(replace(CONFIG, implicit=True), library("IInt8EntropyCalibrator2"))
        assert "Q/DQ" in str(caught.value.hint)


class TestTimingCache:
    def test_it_is_made_and_extended(self, tmp_path: Path) -> None:
        file = tmp_path / "timing.cache"
        config = replace(CONFIG, timing_cache=file)
        run(config)
        assert json.loads(file.read_bytes()) == ["new timing"]
        file.write_text(json.dumps(["old timing"]))
        run(config)
        assert json.loads(file.read_bytes()) == ["new timing", "old timing"]

    def test_one_of_another_gpu_is_ignored_with_a_warning(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "timing.cache"
        file.write_text('["other GPU"]')
        run(replace(CONFIG, timing_cache=file))
        assert "is damaged, of another version or GPU" in capsys.readouterr().err
        assert "new timing" in file.read_text()

    def test_a_file_that_is_none_is_kept(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "holiday.mp4"
        file.write_text("{a film")
        run(replace(CONFIG, timing_cache=file))
        assert file.read_text() == "{a film"
        said = capsys.readouterr().err
        assert "it is ignored" in said
        assert "The timings of this build are not kept: Cannot write" in said

    def test_one_of_our_own_that_cannot_be_read_any_more_is_replaced(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "timing.cache"
        config = replace(CONFIG, timing_cache=file)
        run(config)
        file.write_bytes(b"{" * file.stat().st_size)  # as after an update of TensorRT
        run(config)
        assert "are not kept" not in capsys.readouterr().err
        assert json.loads(file.read_bytes()) == ["new timing"]

    @pytest.mark.parametrize("trouble", ["folder in its place", "locked folder"])
    def test_trouble_with_the_file_does_not_lose_the_build(
        self, tmp_path: Path, trouble: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "cache" / "timing.cache"
        if trouble == "folder in its place":
            file.mkdir(parents=True)
        else:
            file.parent.touch()  # a file where the folder should be: root may write anywhere else
        run(replace(CONFIG, timing_cache=file))
        assert "The timings of this build are not kept: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("no tactics to implement the operation within workspace limit", "--workspace"),
        ("[virtualMemoryBuffer.cpp] OutOfMemory (Requested size was 8 GiB)", "The GPU's memory ran out"),
        ("10: Could not find any implementation for node conv", "--workspace"),
        ("Unable to load library: libnvinfer_lean.so.11", "tensorrt-lean"),
        ("something else", "--log"),
    ],
)
def test_a_failed_build_names_the_reason_and_a_way_out(error: str, hint: str) -> None:
    builder_double.Builder._fails = error
    with pytest.raises(BuildError) as caught:
        run(CONFIG)
    assert error in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_builder_that_does_not_start_is_reported() -> None:
    builder_double.Builder._fails = "start"
    with pytest.raises(
        BuildError, match="could not start: CUDA initialization failure with error: 35"
    ) as caught:
        run(CONFIG)
    assert "driver" in str(caught.value.hint)


def test_fp8_needs_ada_or_newer() -> None:
    with pytest.raises(UsageError, match=r"8\.9 or newer, not 8\.6"):
        run(replace(CONFIG, precision="fp8"), gpu=FoundGpu("NVIDIA A10", (8, 6), "13.0"))


def test_a_network_of_fixed_batch_takes_no_other_profile() -> None:
    spec = replace(CONFIG.spec, batch=4)
    with pytest.raises(UsageError, match="takes batches of exactly 4") as caught:
        run(replace(CONFIG, spec=spec))
    assert str(caught.value.hint).startswith("--batch 4;")
    run(replace(CONFIG, spec=spec, profiles=parse_profiles("4")))


def test_targets_belong_to_rtx() -> None:
    with pytest.raises(UsageError, match="takes no --compute-capability"):
        run(replace(CONFIG, compute_capabilities=("SM120",)))
