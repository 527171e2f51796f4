"""Measure the accuracy of engines on annotated images, and hold it against a bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.backends.placement import place
from yolotrt.backends.registry import backend
from yolotrt.bench.statistics import median
from yolotrt.bench.verdict import GROSS, Outcome, outcome
from yolotrt.errors import UsageError
from yolotrt.evaluation.coco import Evaluation
from yolotrt.evaluation.comparison import AccuracyComparison, Difference, compare
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.model.notes import own_suppression
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.merge import MergeSettings
from yolotrt.pipeline.tiled import PassMode, PipelineSettings
from yolotrt.progress import Progress, no_progress
from yolotrt.workflow.accuracy_file import EngineFigures
from yolotrt.workflow.look import Judged, judge_passes, looks_at

COCO_DECODE = DecodeSettings(conf=0.001, iou=0.7, max_det=300, multi_label=True)
"""Thresholds of a COCO evaluation: low enough that the precision-recall curve is complete."""

Judge = Callable[
    [EngineFile, GroundTruth, "Path | None", PipelineSettings, Sequence[PassMode], Progress],
    dict[PassMode, Judged],
]
"""Does what :func:`yolotrt.workflow.look.judge_passes` does, with an engine that is not loaded yet."""


@dataclass(frozen=True)
class MaxDrop:
    """The largest accepted loss of mAP50-95, in boxes and in masks.

    Attributes:
        value: The loss as a fraction: 0.01 is one percent or one point.
        relative: Whether it is relative to the reference's mAP, or in absolute points.
    """

    value: float
    relative: bool

    @classmethod
    def parse(cls, text: str, option: str = "--max-drop") -> MaxDrop:
        """Read ``1%`` (relative) or ``0.5pt`` (absolute points).

        Raises:
            UsageError: It is neither.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|pt)", text.strip())
        if not match:
            raise UsageError(
                f"{option} {text!r} is neither a percentage nor points.",
                hint=f"Like this: {option} 1% (relative) or {option} 0.5pt (absolute mAP points)",
            )
        return cls(float(match[1]) / 100, match[2] == "%")

    def outcome(self, difference: Difference) -> Outcome:
        """Judge a difference by the rule of all gates; see :mod:`yolotrt.bench.verdict`.

        A reference that finds nothing has nothing to lose, so it tells nothing.
        """
        if not difference.reference > 0:
            return "undecided"
        unit = difference.reference if self.relative else 1.0
        loss = -difference.absolute / unit
        known = difference.low is not None
        return outcome(
            loss,
            self.value,
            certain=not difference.within_noise,
            known=known,
            reach=-(difference.low or 0.0) / unit if known else loss,
            gross=GROSS["accuracy"] * difference.reference / unit,
        )

    def beyond(self, difference: Difference) -> bool:
        """Whether the loss, noise or not, is larger than accepted."""
        loss = difference.relative if self.relative else difference.absolute
        return loss is not None and -loss > self.value

    def chance(self, difference: Difference) -> float | None:
        """Return how likely the loss is larger than accepted, by the bootstrap, to a hundredth.

        None if that is not known: of a single image, or of a reference that finds nothing.
        """
        if not difference.reference > 0:
            return None
        return difference.chance_of_losing(self.value * (difference.reference if self.relative else 1.0))

    def __str__(self) -> str:
        return f"{self.value * 100:g}{'%' if self.relative else 'pt'}"


@dataclass(frozen=True)
class EngineAccuracy:
    """One engine's accuracy, and how it compares with the reference.

    Attributes:
        file: The engine.
        evaluation: Its figures.
        comparison: Against the reference; None for the reference itself.
        mode: Which passes looked at an image.
        seconds: Time of each image from pixels to merged detections, in the order of the annotations; empty
            if it was not measured.
        small_recall: Part of the small objects that is found, see :mod:`yolotrt.evaluation.recall`; None
            if there are none.
    """

    file: EngineFile
    evaluation: Evaluation
    comparison: AccuracyComparison | None
    mode: PassMode
    seconds: tuple[float, ...]
    small_recall: float | None = None

    @property
    def median_seconds(self) -> float | None:
        """Median time of an image; None if it was not measured."""
        return median(self.seconds)

    def figures(self) -> EngineFigures:
        """Return the figures as they are written."""
        return EngineFigures(
            **vars(self.evaluation.accuracy),
            engine=self.file.name,
            precision=self.file.precision,
            sha256=self.file.sha256,
            mode=self.mode,
            median_seconds=self.median_seconds,
            small_recall=self.small_recall,
            comparison=self.comparison,
        )


def eval_notes(file: EngineFile, device: str) -> list[str]:
    """Return what makes an engine's figures mean something else than they seem to.

    Args:
        file: The engine.
        device: Where it is to run; see :func:`yolotrt.backends.placement.place`.

    Raises:
        UsageError: It cannot run there.
    """
    own = own_suppression(file.spec)
    on_gpu = bool(place(file, device).gpus)
    return [*([own] if own else []), *backend(file.backend).remarks(file, "accuracy", on_gpu=on_gpu)]


def evaluate_engines(
    files: Sequence[EngineFile],
    truth: GroundTruth,
    folder: Path | None,
    *,
    mode: PassMode = "global",
    overlap: float = 0.2,
    merge: MergeSettings | None = None,
    threads: int = 1,
    device: str = "auto",
    progress: Progress = no_progress,
) -> list[EngineAccuracy]:
    """Evaluate engines on the same images; the first one is the reference.

    Args:
        files: The engines.
        truth: The annotations.
        folder: Where the images lie, unless ``truth`` knows.
        mode: Which passes look at an image.
        overlap: Tile overlap of tiled passes.
        merge: How tiles are joined.
        threads: CPU threads of an engine.
        device: Where they run; see :func:`yolotrt.backends.placement.place`. One GPU at most: boxes with
            several classes are decoded on the host, which feeds one.
        progress: Told after each image.

    Raises:
        InputError: An image is missing.
        ArtifactError: An image has not the size that the annotations give.
        ExecutionError: An engine gave NaN or failed.
        UsageError: The engines know different classes, or several GPUs are named.
    """
    return evaluate_modes(
        files,
        truth,
        folder,
        modes=(mode,),
        overlap=overlap,
        merge=merge,
        threads=threads,
        device=device,
        progress=progress,
    )[mode]


def evaluate_modes(
    files: Sequence[EngineFile],
    truth: GroundTruth,
    folder: Path | None,
    *,
    modes: Sequence[PassMode],
    overlap: float = 0.2,
    merge: MergeSettings | None = None,
    threads: int = 1,
    device: str = "auto",
    progress: Progress = no_progress,
    judge: Judge | None = None,
) -> dict[PassMode, list[EngineAccuracy]]:
    """Evaluate several passes as :func:`evaluate_engines` would one by one, from one look at each image.

    Tiles and global pass are looked at once and merged for each mode. See
    :func:`yolotrt.workflow.look.judge_passes` for what the seconds are.

    Args:
        files: The engines; the first one is the reference in each mode.
        truth: The annotations.
        folder: Where the images lie, unless ``truth`` knows.
        modes: Which passes look at an image.
        overlap: Tile overlap of tiled passes.
        merge: How tiles are joined.
        threads: CPU threads of an engine.
        device: As in :func:`evaluate_engines`.
        progress: Told after each image.
        judge: Looks at the images, perhaps elsewhere; None does it in this process.

    Raises:
        YoloTrtError: As :func:`evaluate_engines`.
    """
    for file in files:
        if len(place(file, device).gpus) > 1:
            raise UsageError(
                f"Accuracy is measured on one GPU, not on {device}.",
                hint="Use --device cuda:0: more GPUs change the speed, not the detections.",
            )
    modes = tuple(dict.fromkeys(modes))
    settings = PipelineSettings(
        looks_at(modes),
        overlap=overlap,
        cpu_threads=threads,
        decode=COCO_DECODE,
        merge=merge or MergeSettings(),
    )
    found: dict[PassMode, list[EngineAccuracy]] = {mode: [] for mode in modes}
    for file in files:
        name = f"evaluate {file.path.name}, {', '.join(modes)}"
        if judge is not None:
            results = judge(file, truth, folder, settings, modes, _named(name, progress))
        else:
            with closing(load_engine(file, device)) as engine:
                results = judge_passes(engine, truth, folder, settings, modes, _named(name, progress))
        for mode, judged in results.items():
            entries = found[mode]
            against = compare(entries[0].evaluation, judged.evaluation) if entries else None
            entries.append(
                EngineAccuracy(file, judged.evaluation, against, mode, judged.seconds, judged.small_recall)
            )
    return found


def _named(name: str, progress: Progress) -> Progress:
    return lambda _step, done, total: progress(name, done, total)
