"""What an INT8 engine may lose, and how engines are judged: mAP on annotated images.

Where nothing is annotated, :mod:`yolotrt.workflow.accuracy_bound.likeness` judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from yolotrt.backends.base import Engine
from yolotrt.errors import InputError
from yolotrt.evaluation.coco import Evaluation
from yolotrt.evaluation.comparison import Difference, compare
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.pipeline.tiled import PassMode, PipelineSettings
from yolotrt.progress import Progress
from yolotrt.workflow.accuracy_bound.thresholds import Threshold, threshold
from yolotrt.workflow.evaluate import COCO_DECODE, MaxDrop
from yolotrt.workflow.look import judge_passes

SMALL = "small boxes"
"""Name of the loss of small objects' box mAP."""

SMALL_KEY = "small"

DRIFT = "score drift"
"""Name of the figure that tells how scores moved; it is no loss."""


@dataclass(frozen=True)
class Judgement:
    """One engine held against the reference.

    Attributes:
        figures: What was measured, by name, in [0, 1] (a drift may be negative).
        losses: What counts against the bound, by name, in the bound's unit; negative is a gain.
        noise: Names of losses that may be none: their interval includes zero.
        chances: How likely each loss is larger than its bound, by name, as far as that is known.
        limits: Bounds of losses that have one of their own.
        threshold: Where the engine's confidence lies.
        shift: What added to all logits would bring scores back to where the reference's are; None if that is
            not known.
    """

    figures: Mapping[str, float]
    losses: Mapping[str, float]
    noise: frozenset[str] = frozenset()
    chances: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    threshold: Threshold | None = None
    shift: float | None = None

    def beyond(self, bound: float) -> frozenset[str]:
        """Return the names of the losses that are larger than their own bound, or than this one."""
        return frozenset(n for n, loss in self.losses.items() if loss > self.limits.get(n, bound))

    def worst(self, bound: float) -> str:
        """Return the name of the loss that takes the largest part of its own bound, or of this one."""
        return max(self.losses, key=lambda name: self.losses[name] / max(self.limits.get(name, bound), 1e-9))

    def worst_loss(self, bound: float) -> float:
        """Return that loss."""
        return self.losses[self.worst(bound)]


class Criterion(Protocol):
    """A way to judge engines.

    Attributes:
        name: What it measures.
    """

    name: str

    def key(self) -> str:
        """Return a content key of what engines are judged on."""
        ...

    def judge(self, engine: Engine, progress: Progress) -> Judgement:
        """Judge an engine; the first one is the reference and loses nothing.

        Raises:
            YoloTrtError: An image cannot be used, or the engine failed.
        """
        ...

    def moved(self, shift: float) -> Judgement:
        """Judge the last engine again as if all its logits had been moved; its judgement named a shift."""
        ...


class AnnotatedCriterion:
    """Relative or absolute loss of box and mask mAP50-95.

    Args:
        truth: The annotations.
        folder: Where their images lie, unless ``truth`` knows.
        bound: Says whether losses are relative.
        threads: CPU threads of an engine.
        mode: Which passes look at an image.
        small: Largest accepted loss of the box mAP of small objects; None leaves them to the rest.
    """

    name = "mAP50-95"

    def __init__(
        self,
        truth: GroundTruth,
        folder: Path | None,
        bound: MaxDrop,
        threads: int,
        mode: PassMode = "global",
        small: MaxDrop | None = None,
    ) -> None:
        self._truth, self._folder, self._bound, self._small = truth, folder, bound, small
        self._settings = PipelineSettings(mode, cpu_threads=threads, decode=COCO_DECODE)
        self._reference: Evaluation | None = None

    def key(self) -> str:
        """Return a key of images and annotations; see :class:`Criterion`."""
        return self._truth.key(self._folder)

    def judge(self, engine: Engine, progress: Progress) -> Judgement:
        """Evaluate an engine; see :class:`Criterion`."""
        mode = self._settings.mode
        judged = judge_passes(engine, self._truth, self._folder, self._settings, (mode,), progress)
        found = judged[mode].evaluation
        if self._reference is None:
            self._reference = found
        against = compare(self._reference, found)
        if not against.box.reference > 0:
            raise InputError(
                "The FP32 network finds nothing of what is annotated: there is no accuracy to keep.",
                hint="Give images and annotations of what the model was trained on.",
            )
        differences = {"box mAP": (against.box, self._bound)}
        if against.mask is not None:
            differences["mask mAP"] = (against.mask, self._bound)
        if self._small is not None:
            if SMALL_KEY not in against.sizes:
                raise InputError(
                    "None of the annotated objects is small, so nothing can be said of small objects.",
                    hint="Leave --max-drop-small out, or give images with objects below 32 x 32 px.",
                )
            differences[SMALL] = (against.sizes[SMALL_KEY], self._small)
        chances = {name: bound.chance(d) for name, (d, bound) in differences.items()}
        return Judgement(
            {name: d.value for name, (d, _) in differences.items()},
            {name: _loss(d, bound) for name, (d, bound) in differences.items()},
            frozenset(name for name, (d, _) in differences.items() if d.within_noise),
            {name: chance for name, chance in chances.items() if chance is not None},
            {} if self._small is None else {SMALL: self._small.value},
            replace(
                threshold(self._reference.boxes.scores, found.boxes.scores),
                reference_best=self._reference.boxes.best_confidence(),
                best=found.boxes.best_confidence(),
            ),
        )

    def moved(self, shift: float) -> Judgement:
        """Refuse: mAP does not depend on where scores lie, and its judgements name no shift."""
        raise NotImplementedError


def _loss(difference: Difference, bound: MaxDrop) -> float:
    loss = difference.relative if bound.relative else difference.absolute
    return -(loss or 0.0)
