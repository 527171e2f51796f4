"""What counts as the same detections on GPU and CPU, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gpu_agreement import PairTally, compare
from yolotrt.geometry.detections import Detections, Mask


def _found(*objects: tuple[float, float]) -> Detections:
    """Return squares of 20 px at x, with these scores."""
    boxes = np.array([(x, 10, x + 20, 30) for x, _ in objects], np.float32).reshape(-1, 4)
    masks = tuple(Mask(round(x), 10, np.ones((20, 20), np.bool_)) for x, _ in objects)
    scores = np.array([score for _, score in objects], np.float32)
    return Detections(boxes, scores, np.zeros(len(objects), np.int64), masks)


def _tally(expected: Detections, found: Detections, candidates: Detections) -> PairTally:
    tally = PairTally(box_px_limit=2.0)
    compare(expected, found, 0.25, tally, lambda: candidates)
    return tally


def test_the_same_detections_agree() -> None:
    seen = _found((10, 0.9), (100, 0.5))
    summary = _tally(seen, seen, seen).summary()
    assert (summary["matched"], summary["swapped"], summary["beyond_limits"]) == (2, 0, 0)
    assert (summary["box_px_max"], summary["mask_iou_min"]) == (0, 1)


def test_another_candidate_of_a_like_score_is_a_swap() -> None:
    tally = _tally(_found((10, 0.9)), _found((15, 0.899)), _found((10, 0.9), (15, 0.898)))
    assert (tally.swapped, tally.box_px) == (1, [])
    assert tally.summary()["matched"] == 1


@pytest.mark.parametrize(
    "candidates",
    [_found((10, 0.9)), _found((10, 0.9), (15, 0.8)), _found((10, 0.9), (12, 0.899))],
    ids=["no candidate there", "a worse candidate", "a candidate elsewhere"],
)
def test_anything_else_is_a_disagreement(candidates: Detections) -> None:
    tally = _tally(_found((10, 0.9)), _found((15, 0.899)), candidates)
    assert (tally.swapped, tally.box_px) == (0, [5.0])
    assert tally.summary()["beyond_limits"] == 1


def test_only_doubtful_detections_may_be_missing() -> None:
    tally = _tally(_found((10, 0.9), (100, 0.255)), _found((10, 0.9), (200, 0.4)), _found())
    assert (tally.cpu, tally.gpu, tally.unmatched_beyond_threshold) == (2, 2, 1)
