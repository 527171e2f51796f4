"""How like FP32's detections an INT8 engine's are, and what loss of mAP that tells of, without annotations.

What FP32 finds (confidence 0.25) is compared with as many of the engine's best detections, so that an engine
that scores everything higher or lower is judged by what it finds and not by where its threshold lies.
Rounding moves edges to and fro, towards the truth as often as away from it, so good engines differ from
FP32, too: each figure has a part that costs nothing (:data:`FREE`), and what is beyond it stands for a loss
of mAP (:data:`PER_LOSS`). Both are from the engines of ``python -m benchmarks.int8_bound``, and how often the
rule errs is in docs/accuracy-bound.md. This is an estimate: with annotations the loss is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolotrt.arrays import F64
from yolotrt.artifacts.hashing import content_key, sha256_file
from yolotrt.backends.base import Engine
from yolotrt.data.images import read_image
from yolotrt.errors import InputError
from yolotrt.evaluation.agreement import Agreement, agreement, best_of
from yolotrt.geometry.detections import CONFIDENT, Detections
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.tiled import PassMode, PipelineSettings, TiledPipeline
from yolotrt.progress import Progress
from yolotrt.quantization.batches import spread
from yolotrt.workflow.accuracy_bound.criterion import DRIFT, Judgement
from yolotrt.workflow.accuracy_bound.thresholds import threshold

JUDGED_DECODE = DecodeSettings(conf=0.1)
"""What engines are judged by: below the confidence that is used, so that an engine that scores everything
lower is still seen to find it."""

JUDGED = 24
"""Images that are looked at, evenly spread over those given, if FP32 finds enough in them."""

ENOUGH = 150
"""Objects that FP32 finds in images enough; with fewer, further images are looked at."""

MOST = 120
"""Images that are looked at in any case at most."""

FEWEST = 20
"""Images below which the estimate has not been tested."""

EMPTY = 0.8
"""Part of the images in which FP32 may find nothing."""

LEAST_BOUND = 0.005
"""Smallest loss that can be told from the differences that cost nothing."""

FREE = {"objects": 0.065, "box IoU": 0.022, "mask IoU": 0.03}
"""How much of each disagreement goes with no loss of mAP."""

PER_LOSS = {"objects": 1.5, "box IoU": 0.8, "mask IoU": 1.0}
"""How much of each disagreement, beyond that, stands for the same relative loss of mAP."""


class AgreementCriterion:
    """Disagreement with FP32's detections, as the loss of mAP that it tells of.

    The reference agrees with itself wholly, so percent and points mean the same here.

    Args:
        images: Image files; unreadable ones are refused.
        threads: CPU threads of an engine.
        mode: Which passes look at an image.
    """

    name = "agreement with FP32"

    def __init__(self, images: Sequence[Path], threads: int, mode: PassMode = "global") -> None:
        every = spread(images, MOST)
        first = spread(every, JUDGED)
        self._images = first + [path for path in every if path not in set(first)]
        self._key = content_key({"files": [sha256_file(path) for path in self._images]})
        self._settings = PipelineSettings(mode, cpu_threads=threads, decode=JUDGED_DECODE)
        self._reference: list[Detections] = []
        self._found: list[Detections] = []

    @property
    def caveat(self) -> str:
        """What the judgement is worth; known once the reference was judged."""
        few = f" (fewer than {FEWEST}, with which it was never tested)" if len(self._images) < FEWEST else ""
        objects = _confident(self._reference)
        if objects < ENOUGH:
            few += f" with {objects} objects (too few to be sure: better {ENOUGH})"
        return (
            f"judging: without annotations the loss of mAP is estimated, on {len(self._images)} images{few}; "
            "how often that errs is in docs/accuracy-bound.md; --annotations measures it"
        )

    def key(self) -> str:
        """Return a key of the images; see :class:`~yolotrt.workflow.accuracy_bound.criterion.Criterion`."""
        return self._key

    def judge(self, engine: Engine, progress: Progress) -> Judgement:
        """Compare an engine's detections; see :class:`~yolotrt.workflow.accuracy_bound.criterion.Criterion`.

        Raises:
            InputError: FP32 finds nothing in all images, or in nearly all.
        """
        found: list[Detections] = []
        with TiledPipeline(engine, self._settings) as pipeline:
            for done, path in enumerate(self._images, 1):
                found.append(pipeline(read_image(path)).detections)
                progress("compare", done, min(len(self._images), max(done, JUDGED)))
                if not self._reference and done >= JUDGED and _confident(found) >= ENOUGH:
                    break
        if not self._reference:
            self._reference = with_objects(found)
            self._images = self._images[: len(found)]
        self._found = found
        return likeness(self._reference, found)

    def moved(self, shift: float) -> Judgement:
        """Judge the last engine as if its logits were elsewhere; see ``Criterion``."""
        return likeness(self._reference, [with_logits_moved(each, shift) for each in self._found])


def likeness(reference: Sequence[Detections], found: Sequence[Detections]) -> Judgement:
    """Judge detections by those of the reference on the same images.

    Args:
        reference: What FP32 finds in each image, above the confidence of :data:`JUDGED_DECODE`.
        found: What the engine finds, above the same.
    """
    expected = [each.take(each.scores >= CONFIDENT) for each in reference]
    best = best_of(found, sum(map(len, expected)))
    own = agreement(zip(expected, expected, strict=True))
    measured = agreement(zip(expected, best, strict=True))
    judged = agreement_judgement(measured, own)
    drift, slope = measured.score_drift, measured.score_slope
    shift = -drift / slope if drift is not None and slope else None
    return replace(judged, threshold=threshold(_scores(reference), _scores(found)), shift=shift)


def with_logits_moved(found: Detections, shift: float) -> Detections:
    """Return detections with ``shift`` added to the logit of each score."""
    scores = np.clip(found.scores.astype(np.float64), 1e-6, 1 - 1e-6)
    moved = 1 / (1 + np.exp(-shift) * (1 - scores) / scores)
    return replace(found, scores=moved.astype(np.float32))


def _confident(found: Sequence[Detections]) -> int:
    return sum(int((each.scores >= CONFIDENT).sum()) for each in found)


def _scores(found: Sequence[Detections]) -> F64:
    return np.concatenate([each.scores for each in found]).astype(np.float64)


def agreement_judgement(measured: Agreement, own: Agreement) -> Judgement:
    """Return what an agreement tells of the relative loss of mAP.

    Args:
        measured: The engine's agreement with the reference.
        own: The reference's with itself: objects with empty masks agree by nothing even there.
    """
    figures, best = _figures(measured), _figures(own)
    losses = {
        name: max(0.0, best[name] - figures.get(name, 0.0) - FREE[name]) / PER_LOSS[name] for name in best
    }
    drift = measured.score_drift or 0.0
    return Judgement({**dict.fromkeys(best, 0.0), **figures, DRIFT: drift}, losses)


def _figures(measured: Agreement) -> dict[str, float]:
    both = measured.reference + measured.detections
    figures = {"objects": 2 * measured.matched / both, "box IoU": measured.box_iou or 0.0}
    if measured.mask_iou is not None:
        figures["mask IoU"] = measured.mask_iou
    return figures


def with_objects(found: list[Detections]) -> list[Detections]:
    """Return what FP32 finds, unless that is too little to agree with.

    Raises:
        InputError: It is.
    """
    empty = sum(not (each.scores >= CONFIDENT).any() for each in found)
    if empty > EMPTY * len(found):
        raise InputError(
            f"The FP32 network finds nothing in {empty} of the {len(found)} images to judge on: there is "
            "nothing to agree with.",
            hint="Name images with objects that the model knows: --eval-images DIR",
        )
    return found
