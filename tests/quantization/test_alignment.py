"""How far 8 bits move the scores: found while calibrating, and taken back by the build."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from yolotrt.model.spec import ModelSpec
from yolotrt.quantization.alignment import Alignment, shift_between

SPEC = ModelSpec("m", ("cat", "dog"), "images", (4, 4), None, "raw", "output0", "output1", 0, 4)


APART = np.repeat(np.arange(16, dtype=np.float32)[None] * 20, 4, axis=0)
APART[2:] = 10
BOXES = np.stack([APART, APART])
"""Two pictures of 16 boxes that share nothing."""


def _network(added: float) -> onnx.ModelProto:
    """Scores that are the picture's first two channels with something added to their logits."""
    nodes = [
        helper.make_node("Slice", ["images", "begin", "end", "axis"], ["seen"]),
        helper.make_node("Reshape", ["seen", "flat"], ["rows"]),
        helper.make_node("Sub", ["one", "rows"], ["rest"]),
        helper.make_node("Div", ["rows", "rest"], ["ratio"]),
        helper.make_node("Log", ["ratio"], ["logits"]),
        helper.make_node("Add", ["logits", "added"], ["moved"]),
        helper.make_node("Sigmoid", ["moved"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    constants = [
        helper.make_tensor("boxes", TensorProto.FLOAT, BOXES.shape, BOXES),
        helper.make_tensor("begin", TensorProto.INT64, [1], [0]),
        helper.make_tensor("end", TensorProto.INT64, [1], [2]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("flat", TensorProto.INT64, [3], [0, 2, 16]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("added", TensorProto.FLOAT, [], [added]),
    ]
    graph = helper.make_graph(
        nodes,
        "scores",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("batches", [1, 5, 100])
def test_what_was_added_to_all_logits_is_found(batches: int) -> None:
    pictures = np.random.default_rng(0).integers(10, 245, (batches, 2, 3, 4, 4)).astype(np.float32) / 255
    alignment = Alignment(SPEC, batches, 2)
    for batch in pictures:
        alignment.keep(batch)
        scores = batch[:, :2].reshape(2, 2, 16)
        alignment.look({"output0": np.concatenate([BOXES, scores], axis=1)})
    told: list[tuple[str, int, int]] = []
    shift = alignment.shift(_network(0.25), 1, lambda *step: told.append(step))
    assert shift == pytest.approx(-0.25, abs=1e-4)
    assert [done for _, done, _ in told] == list(range(told[0][2] + 1)), "one for each picture"
    assert alignment.shift(_network(0.0), 1) == pytest.approx(0.0, abs=1e-4)


def test_nothing_is_moved_by_little_or_by_a_head_of_another_shape() -> None:
    alignment = Alignment(SPEC, 1, 1)
    alignment.keep(np.ones((1, 3, 4, 4), np.float32))
    alignment.look({"output0": np.ones((1, 7, 16), np.float32)})
    assert alignment.shift(_network(0.25)) == 0.0
    assert shift_between(np.full(29, 0.9, np.float32), np.full(29, 0.5, np.float32)) == 0.0


def test_each_side_is_judged_by_its_own_best() -> None:
    """Noise alone moves nothing, though what is best in one network is in the mean less so in the other."""
    rng = np.random.default_rng(1)
    logits = rng.normal(-3, 2, 20_000)
    noisy = logits + rng.normal(0, 0.1, logits.shape)

    def scores(values: np.ndarray) -> np.ndarray:
        return (1 / (1 + np.exp(-values))).astype(np.float32)

    assert shift_between(scores(logits), scores(noisy)) == pytest.approx(0, abs=0.01)
    assert shift_between(scores(logits), scores(noisy + 0.5)) == pytest.approx(-0.5, abs=0.01)
