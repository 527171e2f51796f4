"""Recall, delays and identities of a video, on worlds small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from yolotrt.arrays import I64
from yolotrt.data.formats.tracked import TrackedObjects
from yolotrt.evaluation.sequence import SequenceTally
from yolotrt.geometry.detections import Detections

NAMES = ("disc", "ring")


def objects(*rows: tuple[int, float, int]) -> TrackedObjects:
    """Objects by track, x and class, all of 20 px."""
    boxes = [[x, 0, x + 20, 20] for _, x, _ in rows]
    classes, tracks = (np.array([row[k] for row in rows], np.int64) for k in (2, 0))
    return TrackedObjects(np.array(boxes, np.float32).reshape(-1, 4), classes, tracks)


def seen(*rows: tuple[float, int], score: float = 0.9) -> Detections:
    boxes = np.array([[x, 0, x + 20, 20] for x, _ in rows], np.float32).reshape(-1, 4)
    return Detections(
        boxes, np.full(len(rows), score, np.float32), np.array([c for _, c in rows], np.int64), None
    )


def ids(*numbers: int) -> I64:
    return np.array(numbers, np.int64)


def test_recall_delays_and_what_is_never_seen() -> None:
    full, some = SequenceTally(NAMES, NAMES), SequenceTally(NAMES, NAMES)
    shown = [
        objects((1, 0, 0)),
        objects((1, 0, 0), (2, 50, 1)),
        objects((1, 0, 0), (2, 50, 1), (3, 100, 0)),
        objects((1, 0, 0), (2, 50, 1), (3, 100, 0)),
    ]
    both = seen((0, 0), (50, 1))
    for frame, (truth, of_full, of_some) in enumerate(
        zip(shown, [seen((0, 0)), both, seen((0, 0), (50, 1), (100, 0)), both],
            [seen((0, 0)), seen((0, 0)), seen((0, 0), (50, 0)), both], strict=True)
    ):  # fmt: skip
        full.add(frame, truth, of_full, None)
        some.add(frame, truth, of_some, None)
    assert (full.recall, some.recall) == (8 / 9, 5 / 9)
    assert full.small_recall == full.recall
    assert (full.delays(), some.delays(), some.delays(full)) == ([0, 0], [2], [2])
    assert (some.missed(full), full.missed(some)) == (1, 0)
    assert full.identities() is None


def test_faint_and_wrongly_named_detections_find_nothing_and_other_names_are_matched() -> None:
    tally = SequenceTally(("Ring", "house"), NAMES)
    tally.add(0, objects((1, 0, 0), (2, 90, 1)), seen((0, 1)), None)
    assert (tally.objects, tally.found) == (1, 1), "a house is nothing that the model knows"
    tally.add(1, objects((1, 0, 0)), seen((0, 1), score=0.2), None)
    tally.add(2, objects((1, 0, 0)), seen((0, 0)), None)
    assert (tally.objects, tally.found) == (3, 1)


def test_identities_are_those_of_trackeval() -> None:
    pytest.importorskip("trackeval")
    tally = SequenceTally(NAMES, NAMES)
    for frame in range(4):
        tally.add(frame, objects((1, 0, 0), (2, 50, 1)), seen((0, 0), (50, 1)), ids(7, 8))
    perfect = tally.identities()
    assert perfect is not None
    assert (perfect.idf1, perfect.hota) == pytest.approx((1, 1))
    swapped = SequenceTally(NAMES, NAMES)
    for frame in range(4):
        numbers = ids(7, 8) if frame < 2 else ids(9, -1)
        swapped.add(frame, objects((1, 0, 0), (2, 50, 1)), seen((0, 0), (50, 1)), numbers)
    found = swapped.identities()
    assert found is not None
    assert found.idf1 == pytest.approx(2 * 4 / (8 + 6))  # 8 are there, 6 are claimed
    assert 0 < found.hota < 1
