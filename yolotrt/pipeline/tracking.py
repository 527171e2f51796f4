"""Numbers that objects keep from frame to frame: ByteTrack, of the package ``trackers``.

The tracker gets the merged detections of a frame, carried ones among them, so that neither a tile's border
nor a tile that was skipped shows. Its rows come back in another order than they went in, with their index.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from yolotrt.arrays import I64
from yolotrt.distribution import install_hint
from yolotrt.errors import MissingDependency
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.streams import Streams

SURE = 0.5
"""Score from which a detection begins a track, and is matched before fainter ones."""

NO_ID = -1
"""Of a detection that belongs to no track, or to one that was seen once only."""

_ROW = "row"


class Tracking:
    """Tracks the objects of one or several cameras.

    Raises:
        MissingDependency: ``trackers`` is not installed.
    """

    def __init__(self) -> None:
        self._trackers: Streams[Any] = Streams()
        self._new_tracker()  # refuses now, not at the first frame

    def numbered(self, result: FrameResult, stream: Hashable) -> FrameResult:
        """Return a camera's next result with its numbers."""
        tracker = self._trackers.get(stream) or self._new_tracker()
        self._trackers.put(stream, tracker)
        return replace(result, ids=_ids(tracker, result.detections))

    @staticmethod
    def _new_tracker() -> Any:
        try:
            from trackers import ByteTrackTracker
        except ImportError as exc:
            raise MissingDependency(
                f"Tracking needs the package trackers ({exc}).", hint=install_hint("track")
            ) from exc
        return ByteTrackTracker(track_activation_threshold=SURE, high_conf_det_threshold=SURE)


def _ids(tracker: Any, found: Detections) -> I64:
    """Return (n,) numbers of a frame's detections; the tracker is moved on by a frame."""
    import supervision

    tracked = tracker.update(
        supervision.Detections(
            xyxy=found.boxes.astype(np.float64),
            confidence=found.scores.astype(np.float64),
            class_id=found.classes.astype(int),
            data={_ROW: np.arange(len(found))},
        )
    )
    ids = np.full(len(found), NO_ID, np.int64)
    if len(tracked):
        ids[tracked.data[_ROW]] = tracked.tracker_id
    return ids
