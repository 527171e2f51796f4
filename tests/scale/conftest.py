"""An engine for everything that scales."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from yolotrt.workflow.build import BuildRequest, build_engine


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path) -> Path:
    """A tiny engine for processors."""
    folder = tmp_path_factory.mktemp("engine")
    request = BuildRequest(
        tiny_onnx, backend="onnxruntime", engines=folder, output=folder / "e.onnxruntime.onnx"
    )
    return build_engine(request, say=lambda _: None).file.path


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
