"""Our source against the real bindings of every TensorRT that we support."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto

import yolotrt
from tests.contract.usage import check_text

ROOT = Path(__file__).parents[2]
SOURCE = Path(yolotrt.__file__).parent / "backends" / "tensorrt"
STUBS = ROOT / "tests" / "backends" / "trt_stubs" / "libraries.c"
VERSIONS = ("10.13", "10", "11")
"""The lowest that ``pyproject.toml`` allows, and the newest of each major version."""


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty libraries under the names that the bindings load, one folder per version."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("the bindings import against stub libraries, and there is no C compiler")
    folder = tmp_path_factory.mktemp("trt-libraries")
    for version in VERSIONS:
        (folder / version).mkdir()
        for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
            library = f"lib{name}.so.{version.partition('.')[0]}"
            command = [
                compiler,
                "-shared",
                "-fPIC",
                f"-Wl,-soname,{library}",
                "-o",
                folder / version / library,
            ]
            subprocess.run([*command, STUBS], check=True)
    return folder


def bindings(version: str) -> Path:
    """Where ``make setup-tensorrt`` puts the bindings of one version."""
    folder = Path(sys.prefix) / "contract" / version
    if not folder.is_dir():
        pytest.skip(
            f"TensorRT {version} bindings are not in {folder}: pip install --no-deps --target {folder} "
            f"-r tests/contract/requirements-{version}.txt"
        )
    return folder


def check(
    module: str, paths: list[Path], libraries: Path | None = None, source: Path = SOURCE
) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT]))}
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.check", module, str(source)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_we_use_exists_in_tensorrt(version: str, libraries: Path) -> None:
    found = check("tensorrt_bindings", [bindings(version)], libraries / version)
    assert found["version"].startswith(f"{version}.")
    assert found["problems"] == []
    assert {"IExecutionContext.execute_async_v3", "OnnxParser.get_error", "ParserError.node_name"} <= set(
        found["uses"]
    )
    calibrates = "IInt8EntropyCalibrator2.read_calibration_cache" in found["uses"]
    assert calibrates == version.startswith("10"), "the calibrator is TensorRT 10's alone"
    assert "IBuilderConfig.set_compute_capability" not in found["uses"]


@pytest.mark.rtx
def test_every_name_we_use_exists_in_tensorrt_rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")
    found = check("tensorrt_rtx", [])
    assert found["problems"] == []
    assert {"IBuilderConfig.set_compute_capability", "Builder.build_serialized_network"} <= set(found["uses"])
    assert not any("Calibrator" in use for use in found["uses"])
    assert "IExecutionContext.is_stream_capturable" in found["uses"]
    assert found["double"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_doubles_have_nothing_that_tensorrt_lacks(version: str, libraries: Path) -> None:
    calibration = (
        "IInt8EntropyCalibrator2",
        "IBuilderConfig.int8_calibrator",
        "IBuilderConfig.set_calibration_profile",
    )
    missing = [] if version.startswith("10") else [f"{name} does not exist" for name in calibration]
    found = check("tensorrt_bindings", [bindings(version)], libraries / version)["double"]
    assert sorted(found) == sorted(missing), "the double is a TensorRT 10, which has a calibrator"


@pytest.mark.rtx
def test_no_name_of_tensorrt_escapes_the_check(libraries: Path) -> None:
    """Every attribute of its classes that our source names was looked at, in one version at least.

    Found without following types: what neither yolotrt nor Python itself calls so must be TensorRT's.
    """
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")
    found = [check("tensorrt_bindings", [bindings(v)], libraries / v) for v in VERSIONS]
    found.append(check("tensorrt_rtx", []))
    sites = {site for report in found for site in report["sites"]}
    known = (*(str, list, dict, set, Exception, Path, threading.Thread), TensorProto)
    others = {name for owner in known for name in dir(owner)} | _names_of_ours()
    suspects = {name for report in found for name in report["members"]} - others
    used = {
        f"{path.name}:{node.lineno}:{node.attr}"
        for path in SOURCE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in suspects
    }
    assert len(used) > 100
    assert used <= sites


def _names_of_ours() -> set[str]:
    names = set()
    for path in Path(yolotrt.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return names


@pytest.mark.parametrize("version", VERSIONS)
def test_names_that_a_version_lacks_are_found_in_our_own_source(
    version: str, libraries: Path, tmp_path: Path
) -> None:
    changes = {  # what 11 removed, what 10 never had, and typing errors in call, argument and annotation
        "context.py": ("native.execute_async_v3(", "native.execute_async_v4("),
        "options.py": ("native.set_memory_pool_limit(", "native.max_workspace_size("),
        "runtime.py": ("get_device_memory_size_for_profile_v2", "get_device_memory_size_for_profile_v3"),
        "timing_cache.py": ("ignore_mismatch=", "ignore_mismatches="),
        "inspector.py": ("engine: trt.ICudaEngine)", "engine: trt.ICudaEngines)"),
    }
    for path in SOURCE.glob("*.py"):
        old, new = changes.get(path.name, ("", ""))
        text = path.read_text()
        assert old in text
        (tmp_path / path.name).write_text(text.replace(old, new) if old else text)
    found = check("tensorrt_bindings", [bindings(version)], libraries / version, tmp_path)["problems"]
    assert {problem.partition(":")[0] for problem in found} == set(changes)


class _Property:
    """Bound attributes as pybind11 documents them."""

    @property
    def count(self) -> int:
        return 0

    count.fget.__doc__ = "(arg0: lib.Config) -> int"  # type: ignore[attr-defined]

    @property
    def level(self) -> int:
        return 0

    @level.setter
    def level(self, value: int) -> None:
        pass


class _Library:
    """A module with one class, one flag and one optional class."""

    __version__ = "1"

    class Flag:
        OLD = 1

    class Config(_Property):
        def set_flag(self, flag: int) -> None:
            pass

        set_flag.__doc__ = "set_flag(self: lib.Config, flag: lib.Flag) -> None"

    class Maker:
        def make(self) -> None:
            pass

        make.__doc__ = "make(self: lib.Maker, size: typing.SupportsInt = 0) -> lib.Config"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f(c: trt.Config):\n c.set_flag(1)", None),
        ("def f(c: trt.Config):\n c.set_flags(1)", "snippet.py:2: Config.set_flags does not exist"),
        ("def f(c: trt.Config):\n c.set_flag()", "snippet.py:2: Config.set_flag needs flag"),
        ("def f(c: trt.Config):\n c.set_flag(1, 2)",
         "snippet.py:2: Config.set_flag takes 1 arguments, not 2"),
        ("def f(c: trt.Config):\n c.set_flag(flg=1)", "snippet.py:2: Config.set_flag has no argument flg"),
        ("def f(c: trt.Config):\n c.count = 1", "snippet.py:2: Config.count is read-only"),
        ("def f(c: trt.Config):\n c.level = 1", None),
        ("def f(api):\n return api.Flag.NEW", "snippet.py:2: Flag.NEW does not exist"),
        ("def f(api):\n return api.Flag.NEW if hasattr(api.Flag, 'NEW') else 0", None),
        ("def f(api):\n if not hasattr(api, 'New'):\n  return\n api.New()", None),
        ("def f(api):\n if hasattr(api, 'Flag'):\n  api.New()", "snippet.py:3: New does not exist"),
        ("def f(api):\n m = api.Maker()\n m.make(size=1).set_flg(1)",
         "snippet.py:3: Config.set_flg does not exist"),
        ("def f(api):\n _g(api)\ndef _g(api):\n api.New()", "snippet.py:4: New does not exist"),
        ("def f(api):\n pass\ndef _unused(api):\n api.New()", None),
        ("def f(x):\n return trt.Flag", "snippet.py:2: 'trt' is there for annotations only"),
        ("def f() -> trt.Confg: ...", "snippet.py:1: Confg does not exist"),
        ("def f(api):\n class C(api.Config):\n  def set_flag(self, a, b): pass",
         "snippet.py:3: Config.set_flag is called with other arguments"),
    ],
)  # fmt: skip
def test_the_checker_finds_what_is_wrong(source: str, problem: str | None) -> None:
    report = check_text(source, _Library)
    assert report.problems == ([problem] if problem else [])
