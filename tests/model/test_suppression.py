"""The threshold of suppression inside a network."""

from __future__ import annotations

import pytest

from tests.foreign import suppressing
from tests.tiny_yolo import tiny_yolo
from yolotrt.model.notes import lost_names, own_suppression
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.suppression import least_score


@pytest.mark.parametrize("apart", [False, True])
def test_the_threshold_is_read_from_the_node_or_from_before_it(apart: bool) -> None:
    found = least_score(suppressing(tiny_yolo(), 0.25, apart=apart))
    assert found == pytest.approx(0.25)


def test_without_suppression_there_is_none() -> None:
    assert least_score(tiny_yolo()) is None
    assert own_suppression(read_spec(tiny_yolo(), "m")) is None


@pytest.mark.parametrize(("threshold", "words"), [(0.25, "0.25"), (0.0, "not known"), (0.001, None)])
def test_only_what_an_evaluation_notices_is_said(threshold: float, words: str | None) -> None:
    note = own_suppression(read_spec(suppressing(tiny_yolo(), threshold), "m"))
    assert (words in note) if note and words else note == words


def test_lost_names_are_told_from_given_ones() -> None:
    assert lost_names(read_spec(tiny_yolo(), "m")) is None
    assert "ModelOpt" in (lost_names(read_spec(tiny_yolo(names=False), "m")) or "")
