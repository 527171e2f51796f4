"""Finding the GPU, and saying what is wrong when there is none that works."""

from __future__ import annotations

import enum
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from yolotrt.cuda import probe
from yolotrt.cuda.probe import FoundGpu, find_gpu
from yolotrt.errors import DeviceError, MissingDependency


class Result(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803


class RuntimeResult(enum.IntEnum):
    cudaSuccess = 0  # noqa: N815  the names are CUDA's
    cudaErrorInsufficientDriver = 35  # noqa: N815


def bindings(**changes: Any) -> dict[str, ModuleType]:
    """Return ``cuda.bindings`` as it would answer on some machine."""
    said = {"init": Result.CUDA_SUCCESS, "version": 13010, "runtime": RuntimeResult.cudaSuccess, "count": 1}
    said |= changes

    def initialise(_flags: int) -> tuple[Result]:
        if said["init"] is None:
            raise RuntimeError('"cuda" is an NVIDIA driver library and can only be found via system search.')
        return (said["init"],)

    ok = Result.CUDA_SUCCESS
    attributes = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=12, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=0
    )
    driver, runtime = ModuleType("cuda.bindings.driver"), ModuleType("cuda.bindings.runtime")
    vars(driver).update(
        cuInit=initialise,
        cuDriverGetVersion=lambda: (ok, said["version"]),
        cuDeviceGet=lambda ordinal: (ok, ordinal),
        cuDeviceGetAttribute=lambda attribute, _device: (ok, attribute),
        cuDeviceGetName=lambda _length, _device: (ok, b"NVIDIA GeForce RTX 5060 Ti\0\0\0"),
        CUdevice_attribute=attributes,
    )
    vars(runtime).update(
        cudaGetDeviceCount=lambda: (said["runtime"], said["count"]), cudaError_t=RuntimeResult
    )
    package = ModuleType("cuda.bindings")
    vars(package).update(driver=driver, runtime=runtime)
    return {"cuda": ModuleType("cuda"), "cuda.bindings": package}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**changes: Any) -> None:
        for name, module in bindings(**changes).items():
            monkeypatch.setitem(sys.modules, name, module)

    return install


def test_a_gpu_is_described(machine: Any) -> None:
    machine()
    gpu = find_gpu()
    assert gpu == FoundGpu("NVIDIA GeForce RTX 5060 Ti", (12, 0), "13.1")
    assert gpu.sm == "SM120"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": None}, "There is no NVIDIA driver on this machine"),
        ({"init": Result.CUDA_ERROR_NO_DEVICE}, r"could not start CUDA \(CUDA_ERROR_NO_DEVICE\)"),
        ({"init": Result.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH}, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
        (
            {"version": 12040, "runtime": RuntimeResult.cudaErrorInsufficientDriver, "count": None},
            r"supports CUDA 12\.4, which is too old",
        ),
        ({"count": 0}, "GPU 0 is not there: CUDA finds 0"),
    ],
)
def test_what_is_wrong_is_said(machine: Any, changes: dict[str, Any], message: str) -> None:
    machine(**changes)
    with pytest.raises(DeviceError, match=message) as caught:
        find_gpu()
    assert caught.value.hint


def test_missing_bindings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setattr(probe, "has_driver", lambda: True)
    with pytest.raises(MissingDependency, match="cuda-bindings"):
        find_gpu()
