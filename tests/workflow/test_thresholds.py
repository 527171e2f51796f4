"""Where an INT8 engine's confidence threshold lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.worlds import NAMES, detect, world
from yolotrt.evaluation.coco import evaluate
from yolotrt.workflow.accuracy_bound.thresholds import threshold, threshold_text

SCORES = np.array([0.9, 0.8, 0.5, 0.3, 0.2])


def test_an_engine_that_scores_lower_finds_as_much_at_a_lower_confidence() -> None:
    at = threshold(SCORES, SCORES * 0.8)
    assert (at.reference, at.found, at.equal, at.differs) == (4, 3, 0.24, True)
    assert "at 0.25 it finds 3 objects, FP32 4, as many at 0.240" in threshold_text(at)
    assert not threshold(SCORES, SCORES).differs
    assert threshold(SCORES, SCORES).equal == 0.3


def test_an_engine_that_never_finds_as_much_has_no_such_confidence() -> None:
    at = threshold(SCORES, SCORES[:2])
    assert (at.found, at.equal) == (2, None)
    assert threshold(np.zeros(0), SCORES).equal is None


def test_the_best_confidence_is_that_of_the_best_f1(tmp_path: Path) -> None:
    """Against every threshold tried one by one, by the matches of the evaluation."""
    _, truth = world(tmp_path, 3, images=12)
    found = evaluate(truth, NAMES, detect(truth, 2, skill=0.7).items()).boxes
    best = found.best_confidence()
    assert best is not None

    def f1(conf: float) -> float:
        true = sum(
            int((g.matched[0, 0] & ~g.ignored[0, 0] & (g.scores >= conf)).sum()) for g in found._classes
        )
        objects = sum(int((~g.truth_ignored[0]).sum()) for g in found._classes)
        return 2 * true / (int((found.scores >= conf).sum()) + objects)

    assert f1(best) == pytest.approx(max(f1(conf) for conf in found.scores))
