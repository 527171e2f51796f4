"""COCO box and mask mAP of our own detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from yolotrt.arrays import F64
from yolotrt.errors import ArtifactError
from yolotrt.evaluation.classes import map_classes
from yolotrt.evaluation.groundtruth import GroundTruth, Objects
from yolotrt.evaluation.matching import IOU_THRESHOLDS, ImageMatches, rank
from yolotrt.evaluation.overlaps import match_boxes, match_masks
from yolotrt.evaluation.precision import PrecisionTable
from yolotrt.geometry.detections import Detections


@dataclass(frozen=True)
class Scores:
    """Average precision, in [0, 1]; None where no annotated object counts.

    Attributes:
        ap: Mean over the IoU thresholds 0.50, 0.55, ... 0.95 ("50-95").
        ap50: At IoU 0.50.
        ap75: At IoU 0.75.
        small: As ``ap``, of objects below 32² px.
        medium: As ``ap``, of objects from 32² to 96² px.
        large: As ``ap``, of objects above 96² px.
        per_class: As ``ap``, by class name.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    per_class: dict[str, float | None]


@dataclass(frozen=True)
class Accuracy:
    """What an evaluation found; plain values that can be written as JSON.

    Attributes:
        images: Number of images.
        objects: Number of annotated objects of the measured classes, crowds left out.
        detections: Number of detections of the measured classes.
        box: Precision of the boxes.
        mask: Precision of the masks; None if the detections or the annotations had none.
        unknown_classes: Classes of the model that the annotations do not know; their detections do not
            count.
        unmeasured_classes: Classes of annotated objects that the model does not know; they do not count.
    """

    images: int
    objects: int
    detections: int
    box: Scores
    mask: Scores | None
    unknown_classes: tuple[str, ...]
    unmeasured_classes: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation with the matches behind it, so that it can be compared image by image.

    Attributes:
        accuracy: The figures.
        image_ids: The images, in the order of the tables.
        categories: COCO ids of the measured categories.
        boxes: Matches of the boxes.
        masks: Matches of the masks, or None.
    """

    accuracy: Accuracy
    image_ids: tuple[int, ...]
    categories: tuple[int, ...]
    boxes: PrecisionTable
    masks: PrecisionTable | None


@dataclass(frozen=True)
class MatchedPart:
    """Images that were matched by themselves.

    Attributes:
        boxes: Matches of the boxes, by image id.
        masks: Matches of the masks, likewise; empty without masks.
        detections: Detections of measured classes in these.
    """

    boxes: dict[int, ImageMatches]
    masks: dict[int, ImageMatches]
    detections: int


class Evaluator:
    """Collects the detections of one image after the other. Each is matched when it is added."""

    def __init__(self, truth: GroundTruth, names: Sequence[str]) -> None:
        """Map the model's classes to the annotations' categories, by name.

        Args:
            truth: The annotated images.
            names: Class names of the model, by index.

        Raises:
            ArtifactError: No class of the model is among the annotations' categories, or no object of
                one counts.
        """
        self._truth = truth
        self._classes = map_classes(truth.categories, names)
        self._category = self._classes.category
        self._names = tuple(names)
        self._measured = self._classes.measured
        self._with_masks = truth.has_masks
        if not self._measured:
            raise ArtifactError(
                f"None of the model's {len(names)} classes ({', '.join(names[:3])}, ...) is annotated "
                f"({', '.join(list(truth.categories.values())[:3])}, ...).",
                hint="Give annotations of the classes that the model was trained on; they match by name.",
            )
        if not any((~o.crowd & np.isin(o.categories, self._measured)).any() for o in self._every()):
            raise ArtifactError(
                "None of the annotated objects counts: they are crowds (iscrowd), or of classes that the "
                "model does not know.",
                hint="Give annotations with single objects of the classes that the model was trained on.",
            )
        self._boxes: dict[int, ImageMatches] = {}
        self._masks: dict[int, ImageMatches] = {}
        self._detections = 0

    def add(self, image_id: int, found: Detections) -> None:
        """Match the detections of one image.

        Args:
            image_id: An image of the ground truth.
            found: Detections in px of that image, with class indices of the model.

        Raises:
            ValueError: The image is unknown or was added before, or only some images have masks.
        """
        if image_id not in self._truth.objects or image_id in self._boxes:
            raise ValueError(f"image {image_id} is not annotated or was added before")
        if not self._with_masks:
            found = replace(found, masks=None)
        if self._boxes and (found.masks is None) != (not self._masks):
            raise ValueError("some images have masks and some have none")
        found = found.take(self._category[found.classes] >= 0)
        self._detections += len(found)
        categories = self._category[found.classes]
        chosen = rank(categories, found.scores)
        found, categories = found.take(chosen), categories[chosen]
        objects = self._objects(image_id)
        self._boxes[image_id] = match_boxes(found, categories, objects)
        if found.masks is not None:
            self._masks[image_id] = match_masks(found, categories, objects)

    def part(self) -> MatchedPart:
        """Return what was added, for an evaluator of the same truth and classes elsewhere."""
        return MatchedPart(dict(self._boxes), dict(self._masks), self._detections)

    def absorb(self, part: MatchedPart) -> None:
        """Add images that were matched elsewhere; the order of all makes no difference.

        Raises:
            ValueError: An image was added before.
        """
        if twice := self._boxes.keys() & part.boxes.keys():
            raise ValueError(f"image {min(twice)} was added before")
        self._boxes |= part.boxes
        self._masks |= part.masks
        self._detections += part.detections

    def result(self) -> Evaluation:
        """Return the figures over all images of the ground truth.

        Raises:
            ValueError: Some image was not added.
        """
        ids = tuple(image.id for image in self._truth.images)
        if set(ids) != set(self._boxes):
            raise ValueError(f"{len(ids) - len(self._boxes)} of {len(ids)} images were not added")
        boxes = PrecisionTable([self._boxes[i] for i in ids], self._measured)
        masks = PrecisionTable([self._masks[i] for i in ids], self._measured) if self._masks else None
        names = [self._truth.categories[key] for key in self._measured]
        every = list(self._every())
        counted = np.concatenate([o.categories[~o.crowd] for o in every])
        unmeasured = {int(key) for o in every for key in o.categories} - set(self._measured)
        accuracy = Accuracy(
            images=len(ids),
            objects=int(np.isin(counted, self._measured).sum()),
            detections=self._detections,
            box=_scores(boxes, names),
            mask=None if masks is None else _scores(masks, names),
            unknown_classes=tuple(n for n, k in zip(self._names, self._category, strict=True) if k < 0),
            unmeasured_classes=tuple(self._truth.categories[key] for key in sorted(unmeasured)),
        )
        return Evaluation(accuracy, ids, tuple(self._measured), boxes, masks)

    def _every(self) -> Iterator[Objects]:
        return (self._objects(image.id) for image in self._truth.images)

    def _objects(self, image_id: int) -> Objects:
        """Return the objects of an image, with categories of one name as one."""
        objects = self._truth.objects[image_id]
        return replace(objects, categories=self._classes.joined(objects.categories))


def evaluate(
    truth: GroundTruth, names: Sequence[str], results: Iterable[tuple[int, Detections]]
) -> Evaluation:
    """Measure detections against annotations.

    Args:
        truth: The annotated images.
        names: Class names of the model, by index.
        results: Image id and detections, once for every image, in any order.

    Raises:
        ArtifactError: The model and the annotations have no class in common.
        ValueError: An image is missing, unknown or there twice.
    """
    evaluator = Evaluator(truth, names)
    for image_id, found in results:
        evaluator.add(image_id, found)
    return evaluator.result()


def mean_precision(per_class: F64) -> F64:
    """Return the mean over the last two axes, leaving out NaN; NaN where nothing is left."""
    known = ~np.isnan(per_class)
    count = known.sum(axis=(-2, -1))
    total = np.where(known, per_class, 0).sum(axis=(-2, -1))
    mean: F64 = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _scores(table: PrecisionTable, names: Sequence[str]) -> Scores:
    every = {area: table.per_class(area)[0] for area in ("all", "small", "medium", "large")}
    whole = every["all"]
    at = {iou: int(np.argmin(np.abs(IOU_THRESHOLDS - iou))) for iou in (0.5, 0.75)}
    return Scores(
        ap=_mean(whole),
        ap50=_mean(whole[:, at[0.5]]),
        ap75=_mean(whole[:, at[0.75]]),
        small=_mean(every["small"]),
        medium=_mean(every["medium"]),
        large=_mean(every["large"]),
        per_class={name: _mean(row) for name, row in zip(names, whole, strict=True)},
    )


def _mean(values: F64) -> float | None:
    mean = float(mean_precision(values.reshape(1, -1)))
    return None if np.isnan(mean) else mean
