"""Engines are checked before they are timed: on real networks, one of which mixes the images of a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from yolotrt.backends.loading import load_engine
from yolotrt.backends.onnxruntime.fixed import fixed_batch
from yolotrt.bench.batch_check import TOLERANCE, _compare, check_batches, comparable, difference
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.errors import ExecutionError
from yolotrt.model.onnxfile import read_spec
from yolotrt.workflow.build import BuildRequest, build_engine

FRAME = np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8)
"""Has 3 x 2 = 6 tiles of 64 px."""

ONCE = SweepSettings(("tiled",), ("serial",), (2, 1), iterations=1, warmup=0)


def _pair(model: Path, folder: Path) -> EnginePair:
    request = BuildRequest(model, backend="onnxruntime", engines=folder)
    return EnginePair(load_engine(build_engine(request, say=lambda _: None).file))


def _mixing(model: onnx.ModelProto) -> onnx.ModelProto:
    """Add the mean over the batch to the prototypes."""
    spec = read_spec(model, "mixing")
    made = next(node for node in model.graph.node if spec.proto_output in node.output)
    made.output[list(made.output).index(spec.proto_output)] = "own"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "batch_axis"))
    mean = helper.make_node("ReduceMean", ["own", "batch_axis"], ["mean"], keepdims=1)
    model.graph.node.extend([mean, helper.make_node("Add", ["own", "mean"], [spec.proto_output])])
    return model


def test_a_network_that_mixes_its_batch_is_refused_before_anything_is_measured(
    tiny_onnx: Path, tmp_path: Path
) -> None:
    onnx.save(_mixing(onnx.load(tiny_onnx)), tmp_path / "mixing.onnx")
    pair = _pair(tmp_path / "mixing.onnx", tmp_path)
    with pytest.raises(ExecutionError, match=r"mixing\.fp32.* batch of 6 .* its prototypes differ by"):
        run_bench([pair], [FRAME], RunRequest(ONCE, "x", output=tmp_path / "r.json"), say=lambda _: None)
    assert not (tmp_path / "r.json").exists()
    heard: list[str] = []
    check_batches([pair], [FRAME], replace(ONCE, groups=(6,)), heard.append)  # batches of 1 only
    check_batches([pair], [FRAME], replace(ONCE, modes=("global",)), heard.append)
    assert not heard


def test_a_sound_engine_passes_and_is_told(tiny_onnx: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    result = run_bench([_pair(tiny_onnx, tmp_path)], [FRAME], RunRequest(ONCE, "x"), say=heard.append)
    assert len(result.cases) == 2
    (line,) = (line for line in heard if line.startswith("check: "))
    assert "tiny-seg.fp32.onnxruntime.onnx: a batch of 6 gives what single tiles give" in line


def test_an_engine_without_a_batch_of_1_is_left_out_with_a_note(tiny_onnx: Path, tmp_path: Path) -> None:
    onnx.save(fixed_batch(onnx.load(tiny_onnx), 3), tmp_path / "three.onnx")
    heard: list[str] = []
    check_batches(
        [_pair(tmp_path / "three.onnx", tmp_path)], [FRAME], replace(ONCE, groups=(2,)), heard.append
    )
    assert heard == [
        "note: three.fp32.onnxruntime.onnx takes no single image, so its batches of 3 are not checked."
    ]


def test_an_end2end_head_may_swap_its_rows_but_lose_none(tiny_onnx: Path) -> None:
    spec = replace(read_spec(onnx.load(tiny_onnx), "m"), head="end2end")
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.random((20, 4)) * 64, np.zeros((20, 2)), rng.normal(size=(20, 4))], axis=1)
    rows[:, 4] = np.linspace(0.5, 0.1, 20)
    rows = rows.astype(np.float32)
    swapped = rows.copy()
    swapped[[0, 1]] = rows[[1, 0]]
    assert max(difference(*pair) for pair in comparable(rows, swapped, spec).values()) < 0.05
    for column, value in ((0, 200.0), (5, 1.0)):  # elsewhere, or of another class
        other = rows.copy()
        other[0, column] = value
        found = comparable(rows, other, spec)
        assert difference(*found["boxes or classes"]) > 10 * TOLERANCE["fp32"]
    assert difference(*comparable(rows[:, :6] * 0, rows[:, :6] * 0, spec)["boxes or classes"]) == 0


@pytest.mark.parametrize(
    ("precision", "bound"), [("fp32", 0.005), ("fp16", 0.05), ("int8", 0.2), ("fp8", 0.2)]
)
def test_each_precision_has_its_bound(tmp_path: Path, tiny_onnx: Path, precision: str, bound: float) -> None:
    file = _pair(tiny_onnx, tmp_path).tiles.file
    file = replace(file, precision=precision)  # type: ignore[arg-type]
    alone = np.ones((10, 84), np.float32), np.ones((4, 16, 16), np.float32)
    heard: list[str] = []
    _compare(file, alone, (alone[0], alone[1] * np.float32(1 + 0.98 * bound)), 2, heard.append)
    assert len(heard) == 1
    with pytest.raises(ExecutionError, match="prototypes differ"):
        _compare(file, alone, (alone[0], alone[1] * np.float32(1 + 1.02 * bound)), 2, heard.append)


def test_what_is_checked_is_the_largest_batch_that_will_run(tiny_onnx: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    pair = _pair(tiny_onnx, tmp_path)
    pair.tiles.file = replace(pair.tiles.file, batches=(1, 4))
    check_batches([pair], [FRAME], replace(ONCE, groups=(1, 2)), heard.append)
    note, checked = heard
    assert "no profile for 3 tiles, which run as 1, 1, 1. Faster: yolotrt build" in note
    assert "a batch of 4 gives what single tiles give" in checked
