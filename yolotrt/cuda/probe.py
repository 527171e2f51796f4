"""Whether there is a GPU, asked without TensorRT.

TensorRT must not be asked first: without a driver its runtime returns an object whose first use ends
the process, which no ``try`` prevents.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from yolotrt.distribution import install_hint
from yolotrt.errors import DeviceError, MissingDependency


@dataclass(frozen=True)
class FoundGpu:
    """The GPU that engines are built for and run on.

    Attributes:
        name: As its maker calls it.
        capability: Compute capability, major and minor.
        driver: CUDA version that the driver supports, such as ``13.0``.
    """

    name: str
    capability: tuple[int, int]
    driver: str

    @property
    def sm(self) -> str:
        """The compute capability as kernels are named after it, such as ``SM120``."""
        return "SM{}{}".format(*self.capability)


def has_driver() -> bool:
    """Return whether NVIDIA's driver is installed, without any package of CUDA's."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def no_driver() -> DeviceError:
    """Return the error of a machine without NVIDIA's driver."""
    return DeviceError(
        "There is no NVIDIA driver on this machine.",
        hint="Install NVIDIA's driver, or build elsewhere; --backend onnxruntime runs on the CPU.",
    )


def find_gpu(ordinal: int = 0) -> FoundGpu:
    """Return a GPU after proving that CUDA works on it.

    Args:
        ordinal: Which one, in CUDA's order.

    Raises:
        MissingDependency: ``cuda-bindings`` is not installed.
        DeviceError: There is no driver or no GPU, or the driver is too old.
    """
    try:
        from cuda.bindings import driver, runtime
    except ImportError as exc:
        if not has_driver():  # the package would not help
            raise no_driver() from exc
        raise MissingDependency(
            "Running on a GPU needs the package cuda-bindings.", hint=install_hint("cuda")
        ) from exc
    try:
        _checked(driver.cuInit(0), "start CUDA")
    except RuntimeError as exc:  # raised by the loader of libcuda
        raise no_driver() from exc
    version = int(_checked(driver.cuDriverGetVersion(), "ask the driver for its version"))
    supported = f"{version // 1000}.{version % 1000 // 10}"
    error, count = runtime.cudaGetDeviceCount()
    if error == runtime.cudaError_t.cudaErrorInsufficientDriver:
        raise DeviceError(
            f"The NVIDIA driver supports CUDA {supported}, which is too old for the installed libraries.",
            hint="Update the driver to one that supports CUDA 13 (release 580 or newer).",
        )
    if ordinal >= (count or 0):
        raise DeviceError(
            f"GPU {ordinal} is not there: CUDA finds {count or 0}.", hint="Check: nvidia-smi -L"
        )
    device = _checked(driver.cuDeviceGet(ordinal), "open the GPU")
    attribute = driver.CUdevice_attribute
    major, minor = (
        int(_checked(driver.cuDeviceGetAttribute(a, device), "ask the GPU what it is"))
        for a in (
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )
    )
    name = _checked(driver.cuDeviceGetName(128, device), "ask the GPU for its name")
    return FoundGpu(name.split(b"\0")[0].decode(), (major, minor), supported)


def _checked(result: tuple[Any, ...], purpose: str) -> Any:
    """Return what a driver call gave, or raise its error."""
    error, *values = result
    if int(error) != 0:
        raise DeviceError(
            f"CUDA could not {purpose} ({error.name}).",
            hint="Check nvidia-smi; a restart of the machine helps after a driver update.",
        )
    return values[0] if values else None
