"""Which precision is worth it, by what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny_yolo import write_tiny_yolo
from yolotrt.backends.base import Precision
from yolotrt.backends.onnxruntime.backend import OnnxRuntimeBackend
from yolotrt.backends.registry import backend
from yolotrt.errors import CalibrationError, GateFailed, UsageError
from yolotrt.report.worth_table import worth_table
from yolotrt.workflow.accuracy_bound.criterion import Judgement
from yolotrt.workflow.accuracy_bound.search import BoundRequest
from yolotrt.workflow.build import BuildRequest
from yolotrt.workflow.catalog import newest_engine
from yolotrt.workflow.evaluate import MaxDrop
from yolotrt.workflow.worth import Tried, Worth, choose, choose_precision


def _tried(precision: Precision, *seconds: float) -> Tried:
    return Tried(precision, size=1_000_000, samples=seconds * (20 // len(seconds)))


@pytest.mark.parametrize(
    ("tried", "chosen", "words"),
    [
        ([_tried("fp32", 0.1, 0.101), _tried("int8", 0.07, 0.0705)], "int8", ["INT8 is worth it here: 1.4"]),
        (
            [_tried("fp32", 0.1, 0.101), _tried("fp16", 0.05, 0.051), _tried("int8", 0.06, 0.061)],
            "fp16",
            ["FP16 is worth it", "FP16 wins: INT8 is 0.8"],
        ),
        ([_tried("fp32", 0.1, 0.1), _tried("int8", 0.05, 0.15)], "fp32", ["FP32 is kept", "may be chance"]),
        ([_tried("fp32", 0.1), Tried("int8", refused="5 % lost.")], "fp32", ["INT8 is out: 5 % lost."]),
        ([_tried("fp32", 0.1)], "fp32", ["nothing else than FP32"]),
    ],
)
def test_a_lower_precision_has_to_be_certainly_faster(
    tried: list[Tried], chosen: str, words: list[str]
) -> None:
    best, reason = choose(tried)
    assert best.precision == chosen
    assert all(word in reason for word in words)
    table = worth_table(Worth(tuple(tried), best, reason, None))
    assert [mark == ">" for mark in table.columns[0].cells] == [entry is best for entry in tried]


def test_without_pictures_nothing_is_built(tmp_path: Path) -> None:
    write_tiny_yolo(tmp_path / "tiny.onnx")
    request = BuildRequest(
        tmp_path / "tiny.onnx", backend="onnxruntime", engines=tmp_path / "e", calib_data=tmp_path / "c"
    )
    with pytest.raises(CalibrationError) as caught:
        choose_precision(request, None, [np.zeros((64, 64, 3), np.uint8)], say=lambda _m: None)
    assert "--precision auto --images DIR" in str(caught.value.hint)
    assert not (tmp_path / "e").exists()


def test_fp16_is_judged_by_the_bound_too(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_yolo(tmp_path / "tiny.onnx")
    request = BuildRequest(
        tmp_path / "tiny.onnx", "int8", "onnxruntime", images=pictures, engines=tmp_path, calib_data=tmp_path
    )
    bound = BoundRequest(request, MaxDrop.parse("1%"))
    monkeypatch.setattr(OnnxRuntimeBackend, "worthwhile", lambda _self, _device: ("fp32", "fp16"))
    frames = [np.zeros((64, 64, 3), np.uint8)]
    said: list[str] = []
    found = choose_precision(request, bound, frames, say=said.append)
    assert [entry.loss for entry in found.tried] == [None, 0.0]
    assert any(line.startswith("fp16: ") and line.endswith(" of 1%: held") for line in said)

    monkeypatch.setattr(Judgement, "beyond", lambda _self, _bound: frozenset({"objects"}))
    found = choose_precision(request, bound, frames, say=said.append)
    assert found.chosen.precision == "fp32"
    assert found.chosen.engine is not None
    assert "FP16 is out: " in found.reason
    assert "of 1%: not held" in found.reason
    assert (
        newest_engine(tmp_path, "auto", said.append) == found.chosen.engine.path
    )  # though built before FP16
    monkeypatch.setattr(OnnxRuntimeBackend, "worthwhile", lambda _self, _device: ("fp16",))
    with pytest.raises(GateFailed, match="FP16 is out"):
        choose_precision(request, bound, frames, say=said.append)


def test_what_cannot_run_here_cannot_be_measured(tmp_path: Path) -> None:
    if backend("fused").availability().usable:
        pytest.skip("it can run here")
    write_tiny_yolo(tmp_path / "tiny.onnx")
    request = BuildRequest(tmp_path / "tiny.onnx", backend="fused", engines=tmp_path)
    with pytest.raises(UsageError) as caught:
        choose_precision(request, None, [np.zeros((64, 64, 3), np.uint8)], say=lambda _m: None)
    assert caught.value.hint
