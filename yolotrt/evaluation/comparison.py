"""Is one engine less accurate than another, or is the difference noise?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from yolotrt.arrays import F64, I64
from yolotrt.errors import UsageError
from yolotrt.evaluation.coco import Evaluation, mean_precision
from yolotrt.evaluation.precision import PrecisionTable

RESAMPLES = 1000
"""Bootstrap resamples: enough for two digits of a 95 % interval."""

SIZES = ("small", "medium", "large")
"""Areas of :data:`yolotrt.evaluation.matching.AREAS` that are compared apart: a collapse of small objects can
hide in a mean that has hardly moved."""

_OF_SIZES = 300
"""Resamples for each size: an area costs as much as all objects."""

_PERCENTS = np.arange(101)


@dataclass(frozen=True)
class Difference:
    """How much one mAP50-95 differs from another on the same images.

    Attributes:
        reference: The reference's mAP, in [0, 1].
        value: The other's mAP.
        absolute: ``value - reference``; negative is a loss. 0.01 is one point.
        relative: ``absolute / reference``; None if the reference is 0.
        low: Lower end of the 95 % interval of ``absolute``, by a paired bootstrap over images; None for a
            single image, which is all that could be drawn.
        high: Upper end of it.
        within_noise: Whether the interval contains 0 or there is none, so that these images cannot tell the
            two apart.
        percentiles: The draws' values of ``absolute`` at 0, 1, ... 100 %; empty if there were none.
    """

    reference: float
    value: float
    absolute: float
    relative: float | None
    low: float | None
    high: float | None
    within_noise: bool
    percentiles: tuple[float, ...] = ()

    def chance_of_losing(self, more_than: float) -> float | None:
        """Return the part of the draws that lose more than ``more_than``, absolute; None without draws.

        To a hundredth: it is read off the percentiles.
        """
        if not self.percentiles:
            return None
        return float(np.interp(-more_than, self.percentiles, _PERCENTS / 100))


@dataclass(frozen=True)
class AccuracyComparison:
    """Two evaluations of the same images, side by side.

    Attributes:
        box: Difference of the box mAP.
        mask: Difference of the mask mAP; None unless both have masks.
        resamples: Bootstrap resamples behind the intervals.
        sizes: Difference of the box mAP of small, medium and large objects, as far as there are any.
    """

    box: Difference
    mask: Difference | None
    resamples: int
    sizes: Mapping[str, Difference] = field(default_factory=dict)


def compare(
    reference: Evaluation, other: Evaluation, *, resamples: int = RESAMPLES, seed: int = 0
) -> AccuracyComparison:
    """Compare two evaluations of the same images and classes.

    Images are drawn with replacement; each draw is evaluated for both, and the differences of all draws
    give the interval (percentile bootstrap: Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993,
    chapter 13). Pairing removes what makes an image hard for both, so that differences far below the
    spread of either mAP can be seen.

    Args:
        reference: What is compared with, such as the FP32 engine.
        other: What is judged.
        resamples: How many times the images are drawn.
        seed: The same seed gives the same interval.

    Raises:
        UsageError: The images or the measured classes differ.
    """
    if (reference.image_ids, reference.categories) != (other.image_ids, other.categories):
        raise UsageError(
            "Two evaluations of different images or classes cannot be compared.",
            hint="Evaluate both engines in one call, on the same images.",
        )
    n = len(reference.image_ids)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    box = _difference(reference.boxes, other.boxes, weights)
    sizes = {
        size: _difference(reference.boxes, other.boxes, weights[:_OF_SIZES], size)
        for size in SIZES
        if getattr(reference.accuracy.box, size) is not None
    }
    return AccuracyComparison(
        box=box,
        mask=_difference(reference.masks, other.masks, weights)
        if reference.masks is not None and other.masks is not None
        else None,
        resamples=resamples,
        sizes=sizes,
    )


def _difference(
    reference: PrecisionTable, other: PrecisionTable, weights: I64, area: str = "all"
) -> Difference:
    before, after = (float(mean_precision(table.per_class(area))[0]) for table in (reference, other))
    draws = _draws(reference, other, weights, area) if weights.shape[1] > 1 else None
    low, high = (None, None) if draws is None else np.percentile(draws, [2.5, 97.5]).tolist()
    return Difference(
        reference=before,
        value=after,
        absolute=after - before,
        relative=(after - before) / before if before > 0 else None,
        low=low,
        high=high,
        within_noise=low is None or high is None or low <= 0 <= high,
        percentiles=() if draws is None else tuple(np.percentile(draws, _PERCENTS).tolist()),
    )


def _draws(reference: PrecisionTable, other: PrecisionTable, weights: I64, area: str) -> F64 | None:
    """Return the differences of all draws that hold an object of the area; None if none does."""
    drawn = [mean_precision(table.per_class(area, weights)) for table in (reference, other)]
    differences: F64 = drawn[1] - drawn[0]
    known = differences[~np.isnan(differences)]
    return known if len(known) else None
