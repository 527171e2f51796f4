"""How well the objects of a video are found, how soon, and whether they keep their numbers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from yolotrt.arrays import F64, I64
from yolotrt.data.formats.tracked import TrackedObjects
from yolotrt.evaluation.classes import map_classes
from yolotrt.evaluation.recall import are_found, are_small
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import CONFIDENT, Detections


@dataclass(frozen=True)
class Identities:
    """How well objects keep their numbers, as TrackEval defines it.

    Attributes:
        idf1: Part of the detections that carry the right number (Ristani and others, 2016).
        hota: Detection and association together, the mean over overlaps (Luiten and others, 2020).
    """

    idf1: float
    hota: float


@dataclass
class SequenceTally:
    """Counts frame after frame of one video.

    Attributes:
        truth_names: Class names of what is annotated.
        names: Class names of the model, by index.
    """

    truth_names: Sequence[str]
    names: Sequence[str]
    objects: int = 0
    found: int = 0
    small_objects: int = 0
    small_found: int = 0
    born: dict[int, int] = field(default_factory=dict)
    """The first frame that shows each object."""
    seen: dict[int, int] = field(default_factory=dict)
    """The first frame in which each object was found."""
    _ids: list[tuple[I64, I64, F64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._classes = map_classes(dict(enumerate(self.truth_names)), self.names).category

    def add(self, frame: int, shown: TrackedObjects, found: Detections, ids: I64 | None) -> None:
        """Count a frame.

        Args:
            frame: Its index.
            shown: What it shows.
            found: What was found, in px of the frame.
            ids: (n,) number of each detection, -1 for none; None without tracking.
        """
        as_shown = Detections(found.boxes, found.scores, self._classes[found.classes])
        known = np.isin(shown.classes, self._classes)
        boxes, classes, tracks = shown.boxes[known], shown.classes[known], shown.tracks[known]
        hits, small = are_found(boxes, classes, as_shown), are_small(boxes)
        self.objects += len(hits)
        self.found += int(hits.sum())
        self.small_objects += int(small.sum())
        self.small_found += int((hits & small).sum())
        for track, hit in zip(tracks.tolist(), hits.tolist(), strict=True):
            self.born.setdefault(track, frame)
            if hit:
                self.seen.setdefault(track, frame)
        if ids is not None:
            mine = np.flatnonzero((ids >= 0) & (as_shown.scores >= CONFIDENT))
            overlaps = box_overlap(boxes, as_shown.boxes[mine])
            overlaps = np.where(classes[:, None] == as_shown.classes[mine][None], overlaps, 0.0)
            self._ids.append((tracks, ids[mine], overlaps))

    @property
    def recall(self) -> float | None:
        """Part of all objects in all frames that was found; None without objects."""
        return self.found / self.objects if self.objects else None

    @property
    def small_recall(self) -> float | None:
        """The same of small ones; see :data:`yolotrt.evaluation.recall.SMALL_PX`."""
        return self.small_found / self.small_objects if self.small_objects else None

    def delays(self, against: SequenceTally | None = None) -> list[int]:
        """Return by how many frames later each object that came into view was found, of those that were.

        Objects of the first frame are left out: all tiles are looked at there.

        Args:
            against: Later than there, of objects that both found; None counts from the first frame that
                shows an object.
        """
        start = self.born if against is None else against.seen
        return [
            self.seen[track] - start[track]
            for track, born in self.born.items()
            if born > min(self.born.values()) and track in self.seen and track in start
        ]

    def missed(self, against: SequenceTally) -> int:
        """Return how many objects were found there, and never here."""
        return len(against.seen.keys() - self.seen.keys())

    def identities(self) -> Identities | None:
        """Return how well objects keep their numbers; None without tracking, or without TrackEval."""
        if not self._ids:
            return None
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it says which datasets it cannot read
                from trackeval.metrics import HOTA, Identity
        except ImportError:
            return None
        data = _trackeval(self._ids)
        idf1 = Identity({"PRINT_CONFIG": False}).eval_sequence(data)["IDF1"]
        hota = HOTA().eval_sequence(data)["HOTA"]
        return Identities(float(idf1), float(np.mean(hota)))


def _trackeval(frames: Sequence[tuple[I64, I64, F64]]) -> dict[str, Any]:
    """Return frames as TrackEval's metrics take them: numbers that count from 0."""
    shown, shown_ids = _counted([entry[0] for entry in frames])
    found, found_ids = _counted([entry[1] for entry in frames])
    return {
        "gt_ids": shown,
        "tracker_ids": found,
        "num_gt_ids": shown_ids,
        "num_tracker_ids": found_ids,
        "num_gt_dets": sum(map(len, shown)),
        "num_tracker_dets": sum(map(len, found)),
        "num_timesteps": len(frames),
        "similarity_scores": [entry[2] for entry in frames],
    }


def _counted(ids: Sequence[I64]) -> tuple[list[I64], int]:
    known = np.unique(np.concatenate(ids))
    return [np.searchsorted(known, one) for one in ids], len(known)
