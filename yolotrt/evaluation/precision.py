"""Average precision from matched images, for one set of images or many weighted ones at once.

The figure is that of pycocotools' ``COCOeval.accumulate``: for each class, the precision that is still
reached at 101 recalls from 0 to 1, averaged. It is computed here from true positives only, because the
interpolated precision can change nowhere else, and for a whole matrix of image weights, because a
bootstrap needs a thousand evaluations: drawing an image k times is giving it the weight k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F64, I64, Bits
from yolotrt.evaluation.matching import AREAS, IOU_THRESHOLDS, ImageMatches

RECALLS = np.linspace(0, 1, 101)

_AT_ONCE = 1 << 21
"""Weighted detections handled together, so that memory stays flat for large sets of images."""


@dataclass(frozen=True)
class _Class:
    """Everything of one category over all images; detections from the best score down."""

    image: I64
    matched: Bits
    ignored: Bits
    scores: F64
    truth_image: I64
    truth_ignored: Bits


class PrecisionTable:
    """Matches of a set of images, grouped by category and ready for any weighting of the images."""

    def __init__(self, matches: Sequence[ImageMatches], categories: Sequence[int]) -> None:
        """Group the matches of all images for the categories that are to be measured."""
        self._images = len(matches)
        image = np.repeat(np.arange(len(matches)), [len(m.scores) for m in matches])
        truth_image = np.repeat(np.arange(len(matches)), [len(m.truth_categories) for m in matches])
        category = np.concatenate([m.categories for m in matches])
        truth_category = np.concatenate([m.truth_categories for m in matches])
        scores = np.concatenate([m.scores for m in matches])
        matched = np.concatenate([m.matched for m in matches], axis=2)
        ignored = np.concatenate([m.ignored for m in matches], axis=2)
        truth_ignored = np.concatenate([m.truth_ignored for m in matches], axis=1)
        self._classes = []
        for key in categories:
            mine = np.flatnonzero(category == key)
            mine = mine[np.argsort(-scores[mine], kind="stable")]
            objects = np.flatnonzero(truth_category == key)
            self._classes.append(
                _Class(
                    image[mine],
                    matched[:, :, mine],
                    ignored[:, :, mine],
                    scores[mine],
                    truth_image[objects],
                    truth_ignored[:, objects],
                )
            )

    @property
    def scores(self) -> F64:
        """(n,) scores of all detections that count, whatever their class."""
        parts = [group.scores[~group.ignored[0, 0]] for group in self._classes]
        return np.concatenate(parts) if parts else np.zeros(0)

    def best_confidence(self) -> float | None:
        """Return the confidence with the best F1 at an IoU of 0.5, over all classes; None without a hit."""
        counted = [~group.ignored[0, 0] for group in self._classes]
        scores = self.scores
        order = np.argsort(-scores, kind="stable")
        hits = [group.matched[0, 0][kept] for group, kept in zip(self._classes, counted, strict=True)]
        true = np.cumsum(np.concatenate(hits)[order]) if len(scores) else np.zeros(0)
        objects = sum(int((~group.truth_ignored[0]).sum()) for group in self._classes)
        if not len(true) or not true[-1]:
            return None
        ranked = scores[order]
        ends = np.append(ranked[1:] < ranked[:-1], True)  # a threshold takes equal scores together
        f1 = np.where(ends, 2 * true / (np.arange(1, len(true) + 1) + objects), 0.0)
        return float(ranked[int(np.argmax(f1))])

    def per_class(self, area: str = "all", weights: npt.NDArray[np.integer] | None = None) -> F64:
        """Return the average precision of every category at every IoU threshold.

        Args:
            area: One of :data:`yolotrt.evaluation.matching.AREAS`.
            weights: (b, images) how often each image counts; once each if None.

        Returns:
            (b, categories, thresholds) in [0, 1]; NaN for a category without an object that counts.
        """
        if weights is None:
            weights = np.ones((1, self._images), np.int64)
        index = list(AREAS).index(area)
        result = np.empty((len(weights), len(self._classes), len(IOU_THRESHOLDS)))
        for k, group in enumerate(self._classes):
            rows = max(_AT_ONCE // max(len(group.image), 1), 1)
            for begin in range(0, len(weights), rows):
                part = slice(begin, begin + rows)
                result[part, k] = _class_precision(group, index, weights[part])
        return result


def _class_precision(group: _Class, area: int, weights: npt.NDArray[np.integer]) -> F64:
    """Return the (b, thresholds) average precision of one category."""
    objects = weights[:, group.truth_image[~group.truth_ignored[area]]].sum(axis=1)
    result = np.zeros((len(weights), len(IOU_THRESHOLDS)))
    reached = np.cumsum(weights[:, group.image], axis=1, dtype=np.int64)
    for t in range(len(IOU_THRESHOLDS)):
        ignored = group.ignored[area, t]
        hits = np.flatnonzero(group.matched[area, t] & ~ignored)
        if not len(hits):
            continue
        true = np.cumsum(weights[:, group.image[hits]], axis=1)
        skipped = np.flatnonzero(ignored)
        uncounted = np.zeros((len(weights), len(skipped) + 1), np.int64)
        np.cumsum(weights[:, group.image[skipped]], axis=1, out=uncounted[:, 1:])
        counted = reached[:, hits] - uncounted[:, np.searchsorted(skipped, hits)]
        result[:, t] = _interpolated(true, counted, objects)
    result[objects == 0] = np.nan
    return result


def _interpolated(true: I64, counted: I64, objects: I64) -> F64:
    """Return the mean interpolated precision.

    Args:
        true: (b, n) true positives up to and including each true positive.
        counted: (b, n) detections that count up to there.
        objects: (b,) objects to be found.
    """
    precision = np.divide(true, counted, out=np.zeros(true.shape), where=counted > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = np.divide(true, objects[:, None], out=np.zeros(true.shape), where=objects[:, None] > 0)
    steps = np.searchsorted(RECALLS, recall, side="right")
    steps[:, 1:] -= steps[:, :-1].copy()
    result: F64 = (precision * steps).sum(axis=1) / len(RECALLS)
    return result
