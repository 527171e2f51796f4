"""Numbers of objects, with the real tracker; skipped where the extra is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from yolotrt.errors import MissingDependency
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.frames import FrameResult, Passes
from yolotrt.pipeline.tracking import NO_ID, Tracking
from yolotrt.timing.trace import FrameTrace


def result(*rows: tuple[float, float]) -> FrameResult:
    """A frame with objects at x, by score."""
    boxes = np.array([[x, 0, x + 20, 20] for x, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in rows], np.float32)
    found = Detections(boxes, scores, np.zeros(len(rows), np.int64), None)
    return FrameResult(found, FrameTrace(), Passes(), (640, 100), ("disc",))


def test_rows_keep_their_order_and_objects_their_numbers() -> None:
    pytest.importorskip("trackers")
    tracking, numbers = Tracking(), []
    for frame in range(8):
        # The tracker regroups rows by score: the faint one, which follows a track, comes first here.
        step = 3 * frame
        rows = [(100 + step, 0.3 if frame > 3 else 0.9), (300 - step, 0.95), (500, 0.8)]
        if frame == 6:
            rows = rows[:2]  # a gap
        ids = tracking.numbered(result(*rows), "gate").ids
        assert ids is not None
        numbers.append(ids.tolist())
    settled = numbers[-1]
    assert len(set(settled)) == 3
    assert min(settled) >= 0
    assert all(row == settled[: len(row)] for row in numbers[3:])
    other = tracking.numbered(result((100, 0.9)), "yard").ids
    assert other is not None
    assert other.tolist() == [NO_ID], "another camera's objects are its own"
    empty = tracking.numbered(result(), "gate").ids
    assert empty is not None
    assert len(empty) == 0


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(MissingDependency, match="Tracking needs the package trackers") as caught:
        Tracking()
    assert "pip install" in (caught.value.hint or "")
