"""Is one engine less accurate than another, or is the difference noise?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.errors import UsageError
from yolotrt.evaluation.coco import Evaluation, mean_precision
from yolotrt.evaluation.precision import PrecisionTable

RESAMPLES = 1000
"""Bootstrap resamples: enough for two digits of a 95 % interval."""


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
    """

    reference: float
    value: float
    absolute: float
    relative: float | None
    low: float | None
    high: float | None
    within_noise: bool


@dataclass(frozen=True)
class AccuracyComparison:
    """Two evaluations of the same images, side by side.

    Attributes:
        box: Difference of the box mAP.
        mask: Difference of the mask mAP; None unless both have masks.
        resamples: Bootstrap resamples behind the intervals.
    """

    box: Difference
    mask: Difference | None
    resamples: int


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
    return AccuracyComparison(
        box=_difference(reference.boxes, other.boxes, weights),
        mask=_difference(reference.masks, other.masks, weights)
        if reference.masks is not None and other.masks is not None
        else None,
        resamples=resamples,
    )


def _difference(
    reference: PrecisionTable, other: PrecisionTable, weights: np.ndarray[tuple[int, int], np.dtype[np.int64]]
) -> Difference:
    images = weights.shape[1]
    before, after = (float(mean_precision(table.per_class())[0]) for table in (reference, other))
    low, high = _interval(reference, other, weights) if images > 1 else (None, None)
    return Difference(
        reference=before,
        value=after,
        absolute=after - before,
        relative=(after - before) / before if before > 0 else None,
        low=low,
        high=high,
        within_noise=low is None or high is None or low <= 0 <= high,
    )


def _interval(
    reference: PrecisionTable, other: PrecisionTable, weights: np.ndarray[tuple[int, int], np.dtype[np.int64]]
) -> tuple[float, float]:
    drawn = [mean_precision(table.per_class(weights=weights)) for table in (reference, other)]
    low, high = np.nanpercentile(drawn[1] - drawn[0], [2.5, 97.5]).tolist()
    return low, high
