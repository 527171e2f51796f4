"""What the real runtimes refuse on a real GPU, and in which words.

Any of TensorRT, TensorRT-RTX and TensorRT's lean runtime will do; the last is on PyPI as a plain wheel
(``pip install tensorrt-lean-cu13``) and runs only version-compatible engines, of which there is none here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.base import BuildConfig
from yolotrt.backends.profiles import parse_profiles
from yolotrt.backends.registry import backend
from yolotrt.backends.tensorrt.library import TENSORRT, TENSORRT_RTX, Library, Product, open_library
from yolotrt.backends.tensorrt.runtime import load_foreign
from yolotrt.cuda.device import Device
from yolotrt.cuda.probe import find_gpu
from yolotrt.errors import ArtifactError
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import no_progress

pytestmark = pytest.mark.gpu

LEAN = Product("tensorrt", "TensorRT's lean runtime", "tensorrt_lean")
MODEL = tiny_yolo()


@pytest.fixture(params=[TENSORRT, LEAN, TENSORRT_RTX], ids=["tensorrt", "lean", "rtx"])
def library(request: pytest.FixtureRequest) -> Library:
    product: Product = request.param
    if not product.installed():
        pytest.skip(f"{product.title} is not installed")
    return open_library(product)


def refused(library: Library, gpu: Device, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        load_foreign(library, find_gpu(gpu.info.index), gpu, path)
    print(f"{library.title}: {caught.value.message}\n  it said: {library.log.last_error()}")
    return caught.value.message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"x" * 5000, "it is no engine of this library"),
        (b"ftrt" + bytes(5000), ""),
        (b"ptrt" + bytes(5000), ""),
        ((30).to_bytes(4, "little") + b'{"stride": 32, "names": {}   }' + b"x" * 5000, "it is no engine"),
    ],
    ids=["empty", "other", "tensorrt-like", "rtx-like", "ultralytics"],
)
def test_nothing_that_is_no_engine_is_loaded(
    library: Library, gpu: Device, tmp_path: Path, data: bytes, reason: str
) -> None:
    """One runtime refuses all of them, one after the other, and the process lives."""
    runtime = library.runtime(find_gpu(gpu.info.index))
    for _ in range(3):
        assert reason in refused(library, gpu, tmp_path / "no.engine", data)
    assert library.runtime(find_gpu(gpu.info.index)) is runtime


@pytest.mark.parametrize("damage", ["none", "half"])
def test_an_engine_of_another_library_or_gpu_is_refused(
    library: Library, gpu: Device, tmp_path: Path, damage: str
) -> None:
    """A TensorRT-RTX engine for SM75, which is none of TensorRT's and fits no GPU but Turing."""
    if not TENSORRT_RTX.installed():
        pytest.skip("needs tensorrt-rtx to build the engine")
    spec = read_spec(MODEL, "tiny")
    config = BuildConfig(spec, parse_profiles("1"), "fp16", compute_capabilities=("SM75",))

    data = backend("tensorrt-rtx").build(to_fp16(MODEL, spec), config, no_progress).data
    if library.product is TENSORRT_RTX and find_gpu(gpu.info.index).sm == "SM75":
        pytest.skip("this is a Turing GPU")
    message = refused(
        library, gpu, tmp_path / "rtx.engine", data[: len(data) // 2] if damage == "half" else data
    )
    if damage == "half" and library.product is TENSORRT_RTX:
        assert "the file is truncated" in message
