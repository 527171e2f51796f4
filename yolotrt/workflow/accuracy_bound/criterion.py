"""What an INT8 engine may lose: mAP on annotated images, or agreement with FP32 where nothing is annotated.

Agreement is no mAP, and this is how a bound on one is put on the other. FP32's detections (confidence
above 0.25) take the place of annotations, and four losses are held against the bound, each divided by
how much larger it was than the relative loss of mAP that went with it (:data:`PER_LOSS`, from both Q/DQ
placements of one network, YOLO11n-seg on COCO). A bound of 1 % thus asks for mean IoUs of 0.975 (boxes)
and 0.97 (masks), scores within 0.01 on average, and 0.94 of the objects in common. Rounding moves edges
to and fro, towards the truth as often as away from it, so most of what two engines disagree on costs
nothing; how much does differs between networks and images. So this guards against broken engines and
is no proof: with annotations the loss is measured, without them it is estimated. On the images that an
engine was calibrated on, the estimate is a little flattering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from yolotrt.artifacts.hashing import content_key, sha256_file
from yolotrt.backends.base import Engine
from yolotrt.data.images import read_image
from yolotrt.errors import InputError
from yolotrt.evaluation.agreement import Agreement, agreement
from yolotrt.evaluation.coco import Evaluation
from yolotrt.evaluation.comparison import Difference, compare
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.tiled import PassMode, PipelineSettings, TiledPipeline
from yolotrt.progress import Progress
from yolotrt.workflow.evaluate import COCO_DECODE, MaxDrop
from yolotrt.workflow.look import judge_passes

PER_LOSS = {"box IoU": 2.5, "mask IoU": 3.0, "score drift": 1.0, "objects": 6.0}
"""How much of each disagreement stands for the same relative loss of mAP."""


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


class AgreementCriterion:
    """Disagreement with FP32's detections, scaled as the module explains.

    The reference agrees with itself wholly, so percent and points mean the same here.

    Args:
        images: Image files; unreadable ones are refused.
        threads: CPU threads of an engine.
        mode: Which passes look at an image.
    """

    name = "agreement with FP32"

    def __init__(self, images: Sequence[Path], threads: int, mode: PassMode = "global") -> None:
        self._images = images
        self._settings = PipelineSettings(mode, cpu_threads=threads)
        self._reference: list[Detections] = []

    def key(self) -> str:
        """Return a key of the images; see :class:`Criterion`."""
        return content_key({"files": [sha256_file(path) for path in self._images]})

    def judge(self, engine: Engine, progress: Progress) -> Judgement:
        """Compare an engine's detections; see :class:`Criterion`."""
        found = []
        with TiledPipeline(engine, self._settings) as pipeline:
            for done, path in enumerate(self._images, 1):
                found.append(pipeline(read_image(path)).detections)
                progress("compare", done, len(self._images))
        self._reference = self._reference or found
        if not any(len(detections) for detections in self._reference):
            raise InputError(
                f"The FP32 network finds nothing in the {len(self._images)} images to judge on: there is "
                "nothing to agree with.",
                hint="Name images with objects that the model knows: --eval-images DIR",
            )
        own = agreement(zip(self._reference, self._reference, strict=True))
        return agreement_judgement(agreement(zip(self._reference, found, strict=True)), own)


def agreement_judgement(measured: Agreement, own: Agreement) -> Judgement:
    """Return what an agreement counts as, in units of relative loss of mAP; see the module.

    Args:
        measured: The engine's agreement with the reference.
        own: The reference's with itself: objects with empty masks agree by nothing even there.
    """
    figures = _figures(measured)
    best = _figures(own)
    losses = {name: (best[name] - figures.get(name, 0.0)) / PER_LOSS[name] for name in best}
    drift = measured.score_drift
    losses["score drift"] = 1.0 if drift is None else abs(drift) / PER_LOSS["score drift"]
    return Judgement({**dict.fromkeys(best, 0.0), **figures, "score drift": drift or 0.0}, losses)


def _figures(measured: Agreement) -> dict[str, float]:
    both = measured.found + measured.confirmed
    common = 2 * measured.found * measured.confirmed / both if both else 0.0
    figures = {"objects": common, "box IoU": measured.box_iou or 0.0}
    if measured.mask_iou is not None:
        figures["mask IoU"] = measured.mask_iou
    return figures
