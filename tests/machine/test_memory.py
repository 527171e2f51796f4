from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolotrt.errors import ExecutionError
from yolotrt.machine.memory import peak_memory
from yolotrt.workflow.build import BuildRequest, build_engine


def test_memory_is_that_of_the_case_and_not_of_whoever_asks(tiny_onnx: Path, tmp_path: Path) -> None:
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=tmp_path, calib_data=tmp_path)
    engine = build_engine(request, say=lambda _: None).file.path
    ballast = np.ones(600 << 20, np.uint8)  # touched: it is in this process's resident set
    small = peak_memory([engine], {"groups": 2}, (256, 256))
    assert 20 << 20 < small.host < 400 << 20
    assert small.gpu is None, "a processor has no memory of a GPU, not 0 bytes of it"
    assert ballast[-1] == 1


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="does not exist"):
        peak_memory([tmp_path / "none.onnx"], {}, (64, 64))
