"""All scores of a network moved by one number."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.model.scores import score_convolutions, with_shifted_scores
from yolotrt.quantization.observe import open_session

DEMO = Path(str(files("yolotrt.data") / "assets" / "demo-yolo26-seg.onnx"))


def test_every_logit_moves_by_the_same_and_nothing_else_does() -> None:
    model = load_onnx(DEMO)
    spec = read_spec(model, "demo")
    assert len(score_convolutions(model, spec)) == 3
    width, height = spec.input_wh
    image = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    names = [spec.head_output, spec.proto_output]
    networks = (model, with_shifted_scores(model, spec, -0.5))
    before, after = (open_session(each, 1)(names, {spec.input_name: image}) for each in networks)
    scores = slice(4, 4 + len(spec.names))
    likely = before[0][:, scores] > 1e-3  # further down FP32 rounds logits away
    logits = [
        np.log(head[:, scores][likely] / (1 - head[:, scores][likely])) for head in (before[0], after[0])
    ]
    np.testing.assert_allclose(logits[1] - logits[0], -0.5, atol=1e-2)
    others = [np.delete(head, np.arange(4, 4 + len(spec.names)), axis=1) for head in (before[0], after[0])]
    np.testing.assert_allclose(others[1], others[0], atol=1e-3)
    np.testing.assert_allclose(after[1], before[1], atol=1e-4)


def test_where_scores_have_no_convolutions_of_their_own_nothing_is_moved() -> None:
    tiny = tiny_yolo()
    spec = read_spec(tiny, "tiny")
    assert score_convolutions(tiny, spec) == []
    with pytest.raises(ValueError, match="no convolutions that compute scores alone"):
        with_shifted_scores(tiny, spec, 0.1)
