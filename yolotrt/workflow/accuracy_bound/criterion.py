"""What an INT8 engine may lose, and how engines are judged: mAP on annotated images.

Where nothing is annotated, :mod:`yolotrt.workflow.accuracy_bound.likeness` judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from yolotrt.backends.base import Engine
from yolotrt.errors import InputError
from yolotrt.evaluation.coco import Evaluation
from yolotrt.evaluation.comparison import Difference, compare
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.pipeline.tiled import PassMode, PipelineSettings
from yolotrt.progress import Progress
from yolotrt.workflow.evaluate import COCO_DECODE, MaxDrop
from yolotrt.workflow.look import judge_passes


@dataclass(frozen=True)
class Judgement:
    """One engine held against the reference.

    Attributes:
        figures: What was measured, by name, in [0, 1] (a drift may be negative).
        losses: What counts against the bound, by name, in the bound's unit; negative is a gain.
        noise: Names of losses that may be none: their interval includes zero.
    """

    figures: Mapping[str, float]
    losses: Mapping[str, float]
    noise: frozenset[str] = frozenset()

    @property
    def worst(self) -> str:
        """Name of the largest loss."""
        return max(self.losses, key=lambda name: self.losses[name])


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


class AnnotatedCriterion:
    """Relative or absolute loss of box and mask mAP50-95.

    Args:
        truth: The annotations.
        folder: Where their images lie, unless ``truth`` knows.
        bound: Says whether losses are relative.
        threads: CPU threads of an engine.
        mode: Which passes look at an image.
    """

    name = "mAP50-95"

    def __init__(
        self, truth: GroundTruth, folder: Path | None, bound: MaxDrop, threads: int, mode: PassMode = "global"
    ) -> None:
        self._truth, self._folder, self._bound = truth, folder, bound
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
        differences = {"box mAP": against.box}
        if against.mask is not None:
            differences["mask mAP"] = against.mask
        return Judgement(
            {name: d.value for name, d in differences.items()},
            {name: self._loss(d) for name, d in differences.items()},
            frozenset(name for name, d in differences.items() if d.within_noise),
        )

    def _loss(self, difference: Difference) -> float:
        loss = difference.relative if self._bound.relative else difference.absolute
        return -(loss or 0.0)
