"""Tests on a real GPU: skipped where there is none, failed instead if YOLOTRT_REQUIRE_GPU=1."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from yolotrt.backends.onnxruntime.gpu import availability
from yolotrt.cuda.device import Device
from yolotrt.cuda.nvidia import NvidiaDriver
from yolotrt.errors import EnvironmentFault


def absent(reason: str) -> None:
    """Skip a test for want of what the reason names, or fail it where a GPU is required."""
    if os.environ.get("YOLOTRT_REQUIRE_GPU") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def gpu() -> Iterator[Device]:
    """The first GPU; nothing may be left on it afterwards."""
    try:
        device = Device(NvidiaDriver(0))
    except EnvironmentFault as exc:
        absent(exc.message)
        raise
    yield device
    live = device.live
    device.close()
    assert live == {}


@pytest.fixture(scope="session")
def ort_cuda() -> None:
    """ONNX Runtime's CUDA provider."""
    state = availability()
    if not state.usable:
        absent(state.reason)
