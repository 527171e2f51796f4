"""What a search for the best engine and settings is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from yolotrt.backends.base import Precision
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.sweep import SweepSettings
from yolotrt.data.formats.reader import require_images
from yolotrt.errors import UsageError
from yolotrt.workflow.accuracy_bound.one_engine import ESTIMATED
from yolotrt.workflow.accuracy_bound.search import BoundRequest
from yolotrt.workflow.build import BuildRequest
from yolotrt.workflow.evaluate import MaxDrop


@dataclass(frozen=True)
class TuneRequest:
    """What to search and what must be kept.

    Attributes:
        build: How engines are built; its precision and profiles are set by the search.
        precisions: Precisions to try; empty takes those that are worthwhile on the device.
        sweep: Pass (exactly one), dispatch modes, group counts, overlap and threads.
        chunk: Tiles per batch to try instead of the group counts of ``sweep``; a group has at most so many.
        budgets: What stages may take.
        max_drop: Largest accepted loss of mAP against FP32; None accepts any. Without annotations INT8 is
            built so that its estimated loss is within it, and FP16 is tried if its own is.
        images: Annotated images, unless the annotations name them.
        annotations: Their COCO instances JSON or a ``data.yaml``; None measures no accuracy.
        limit: Use only the first annotated images.
        state: File with what is known so far; a search that was interrupted continues from it.
        device: Where engines run; see :func:`yolotrt.backends.placement.place`.
        pictures: Name and sha256 of every picture that the frames come from; none for a synthetic scene.

    Raises:
        UsageError: ``max_drop`` with nothing to judge by.
    """

    build: BuildRequest
    precisions: tuple[Precision, ...]
    sweep: SweepSettings
    budgets: Budgets
    max_drop: MaxDrop | None
    images: Path | None
    annotations: Path | None
    limit: int | None
    state: Path
    chunk: tuple[int, ...] = ()
    device: str = "auto"
    pictures: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.annotations is not None:
            require_images(self.annotations, self.images, option="--eval-images")
        elif self.images is not None:
            raise UsageError(
                "Accuracy needs both images and annotations.", hint="--eval-images, --annotations"
            )
        if self.max_drop is not None and self.annotations is None:
            if self.precisions and not set(ESTIMATED) & set(self.precisions):
                raise UsageError(
                    "Without annotations --max-drop is estimated for INT8 and FP16, and neither is tried.",
                    hint="Add int8 to --precisions, or measure: --eval-images DIR --annotations FILE",
                )
            if "fp8" in self.precisions:
                raise UsageError(
                    "Without annotations --max-drop is estimated for INT8 and FP16; FP8 may lose as much.",
                    hint="Leave fp8 out of --precisions, or measure: --eval-images DIR --annotations FILE",
                )
            if self.build.images is None:
                raise UsageError(
                    "--max-drop needs images to judge on.",
                    hint="Add --images DIR to estimate the loss, or measure it: --eval-images DIR "
                    "--annotations FILE; yolotrt download fetches some of COCO.",
                )
            self.bounded(self.build)

    def bounded(self, build: BuildRequest) -> BoundRequest | None:
        """Return what INT8 and FP16 may lose by an estimate; None if it is measured, or anything is accepted.

        Args:
            build: How the engine is built.

        Raises:
            UsageError: The bound is smaller than what can be estimated.
        """
        if self.max_drop is None or self.annotations is not None:
            return None
        build = replace(build, precision="int8")
        return BoundRequest(build, self.max_drop, threads=self.sweep.threads, mode=self.sweep.modes[0])
