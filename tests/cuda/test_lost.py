"""One table says when a GPU is lost, whoever reports it: the driver, ONNX Runtime, or pycuda by its words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from yolotrt.backends.onnxruntime.session import _mapped_gpu_errors
from yolotrt.cuda.driver import LOST, DeviceLost
from yolotrt.cuda.nvidia import NvidiaDriver
from yolotrt.cuda.pycuda_driver import PycudaDriver
from yolotrt.errors import DeviceError, ExecutionError


def test_the_codes_that_end_a_process_by_cudas_documentation_are_in_the_table() -> None:
    bindings = pytest.importorskip("cuda.bindings", reason="cuda-bindings: pip install -e '.[cuda]'")
    from cuda.bindings import driver, runtime

    assert bindings
    for codes in (driver.CUresult, runtime.cudaError_t):
        ends = {int(code): code.name for code in codes if "terminated and relaunched" in (code.__doc__ or "")}
        if not ends:
            pytest.skip("these bindings carry no documentation")
        assert set(ends) <= set(LOST), ends


@pytest.mark.parametrize(("code", "error"), [*((code, DeviceLost) for code in LOST), (1, DeviceError)])
def test_the_driver_goes_by_the_table(code: int, error: type[DeviceError]) -> None:
    driver = NvidiaDriver.__new__(NvidiaDriver)
    driver._index, driver._cuda = 0, SimpleNamespace(cuGetErrorString=lambda _: (0, b"what it says"))
    with pytest.raises(DeviceError) as caught:
        driver._all((code,))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("code", "error"), [*((code, DeviceLost) for code in LOST), (1, ExecutionError), (7000, ExecutionError)]
)
def test_onnx_runtime_goes_by_the_table(code: int, error: type[Exception]) -> None:
    file, device = SimpleNamespace(path=Path("m.onnx")), SimpleNamespace(name="cuda:0")
    with pytest.raises((DeviceError, ExecutionError)) as caught, _mapped_gpu_errors(file, device):  # type: ignore[arg-type]
        raise RuntimeError(f"Error in execution: CUDA failure {code}: what it says ; GPU=0")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("words", "error"),
    [*((words, DeviceLost) for words in LOST.values() if words), ("invalid argument", DeviceError)],
)
def test_pycuda_goes_by_the_words_of_the_table(words: str, error: type[DeviceError]) -> None:
    class Error(Exception):
        pass

    class OutOfMemory(Error):
        pass

    class LaunchError(Error):
        pass

    driver = PycudaDriver.__new__(PycudaDriver)
    driver._index = 0
    driver._cuda = SimpleNamespace(Error=Error, MemoryError=OutOfMemory, LaunchError=LaunchError)
    with pytest.raises(DeviceError) as caught, driver._errors():
        raise Error(f"cuMemcpyDtoHAsync failed: an {words} was encountered")
    assert type(caught.value) is error
