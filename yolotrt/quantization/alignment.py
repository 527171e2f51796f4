"""How far 8 bits move the scores, learnt while calibrating, so that a build can take it back.

Rounding moves all scores of a network a little at once. The order of objects stays, and with it mAP, but at a
fixed confidence more or fewer are found. The calibration has FP32's outputs anyway; a few of its images run
once more through each INT8 network, and the best objects of both are compared, as many of each. One number
on the logits of all classes then puts them where they were (:mod:`yolotrt.model.scores`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from yolotrt.arrays import F32, F64, U8
from yolotrt.geometry.detections import CONFIDENT
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress, no_progress
from yolotrt.quantization.observe import open_session
from yolotrt.quantization.witness import object_scores

ALIGNED_ON = 40
"""Pictures that run once more."""

FEWEST_OBJECTS = 30
"""Objects above the confidence below which nothing is moved: so few tell nothing."""

_LEAST = 0.05
"""Least score of an object that is looked at: low enough that a network that scores everything lower still
shows as many as FP32 does."""

_EDGE = 1e-4
"""Scores nearer to 0 or 1 than this count as that far away: their logits are all rounding."""

_FARTHEST = 4.0
"""Logits are moved no farther."""


class Alignment:
    """Keeps some pictures of a calibration with FP32's scores, and holds other networks against them.

    Attributes:
        kept_last: Whether the last batch was kept: of others the outputs do not matter.

    Args:
        spec: The network's interface.
        batches: Number of batches that will come, as far as it is known.
        size: Pictures in each.
        pictures: How many to keep, about; none if nothing will be held against them.
    """

    def __init__(self, spec: ModelSpec, batches: int, size: int, pictures: int = ALIGNED_ON) -> None:
        self._spec = spec
        self._wanted = max(1, pictures // size) if pictures else 0
        self._step = max(1, batches // max(1, self._wanted))
        self._fed, self._seen = 0, 0
        self.kept_last = False
        self._pictures: list[U8] = []
        self._scores: list[list[F32]] = []

    def keep(self, batch: F32) -> None:
        """Look at the next batch that is fed, (n, 3, h, w) in [0, 1], and keep some."""
        self.kept_last = self._is_wanted(self._fed)
        if self.kept_last:
            self._pictures.append(np.rint(batch * 255).astype(np.uint8))
        self._fed += 1

    def look(self, outputs: Mapping[str, F32]) -> None:
        """Look at the outputs of the next batch, by name; batches come in the order in which they are fed."""
        if self._is_wanted(self._seen):
            scores = object_scores(outputs.get(self._spec.head_output), self._spec, _LEAST)
            if scores is not None:
                self._scores.append(scores)
        self._seen += 1

    def _is_wanted(self, index: int) -> bool:
        return index % self._step == 0 and index // self._step < self._wanted

    def shift(
        self, network: onnx.ModelProto, threads: int | None = None, progress: Progress = no_progress
    ) -> float:
        """Return what to add to all logits of a network so that it scores as FP32 does.

        Args:
            network: The FP32 network with Q/DQ.
            threads: Its threads; None leaves it to ONNX Runtime.
            progress: Told before each picture.

        Returns:
            The number, or 0 where the head is of an unknown kind, or FP32 finds too little.
        """
        if not self._scores or len(self._scores) != len(self._pictures):
            return 0.0
        run = open_session(network, threads)
        found: list[list[F32]] = []
        for done, pictures in enumerate(self._pictures):
            progress("compare INT8", done, len(self._pictures))
            (head,) = run([self._spec.head_output], {self._spec.input_name: pictures / np.float32(255)})
            scores = object_scores(head, self._spec, _LEAST)
            if scores is None:
                return 0.0
            found.append(scores)
        progress("compare INT8", len(found), len(found))
        return shift_between(_all(self._scores), _all(found))


def shift_between(exact: F32, moved: F32, conf: float = CONFIDENT) -> float:
    """Return what to add to the logits of ``moved`` so that its best scores have the mean of ``exact``'s.

    As many are compared as ``exact`` has above a confidence, each side's own best: the same ones on both
    sides would be a biased choice, since what is best on one side is in the mean less so on the other.

    Args:
        exact: (n,) scores of objects.
        moved: (m,) scores of what the other network finds in the same pictures.
        conf: The confidence.
    """
    count = min(int((exact >= conf).sum()), len(moved))
    if count < FEWEST_OBJECTS:
        return 0.0
    wanted, best = _best(exact, count).mean(), _best(moved, count)
    logits = np.log(best / (1 - best))
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(30):  # the mean rises with what is added
        middle = (low + high) / 2
        below = float(np.mean(1 / (1 + np.exp(-logits - middle)))) < wanted
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _best(scores: F32, count: int) -> F64:
    best: F64 = np.sort(scores)[-count:].astype(np.float64).clip(_EDGE, 1 - _EDGE)
    return best


def _all(batches: list[list[F32]]) -> F32:
    return np.concatenate([scores for batch in batches for scores in batch])
