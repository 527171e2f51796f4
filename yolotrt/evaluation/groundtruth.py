"""The annotated truth that detections are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yolotrt.arrays import F64, I64, Bits
from yolotrt.artifacts.hashing import content_key, sha256_bytes, sha256_file
from yolotrt.data.formats.annotated import AnnotatedImage, AnnotatedSet, Annotation
from yolotrt.data.formats.files import located, present
from yolotrt.data.formats.pictures import about_turned
from yolotrt.data.formats.reader import read_annotations
from yolotrt.errors import ArtifactError
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.rle import CocoRle, coco_rle


@dataclass(frozen=True)
class Objects:
    """The annotated objects of one image.

    Attributes:
        categories: (n,) COCO category ids.
        boxes: (n, 4) float64, x, y, width, height in px, as COCO writes boxes.
        areas: (n,) float64, area of the annotated mask, px.
        crowd: (n,) whether it is a region of many objects, which is never counted as missed.
        masks: The n masks, run-length encoded; of an object that has none, its box.
        has_mask: (n,) whether it has a mask. One that has none is a crowd where masks are measured.
    """

    categories: I64
    boxes: F64
    areas: F64
    crowd: Bits
    masks: tuple[CocoRle, ...]
    has_mask: Bits


@dataclass(frozen=True)
class GroundTruth:
    """Annotated images.

    Attributes:
        images: The images, by ascending id.
        categories: Class names by COCO category id, by ascending id.
        objects: The objects of each image, by image id.
        notes: What was left out of the annotations or looks odd, a line for each reason.
    """

    images: tuple[AnnotatedImage, ...]
    categories: dict[int, str]
    objects: dict[int, Objects]
    notes: tuple[str, ...] = ()

    @property
    def has_masks(self) -> bool:
        """Whether any object has a mask, so that masks can be measured."""
        return any(objects.has_mask.any() for objects in self.objects.values())

    def files(self, folder: Path | None) -> list[Path]:
        """Return the image files, in the order of ``images``.

        Args:
            folder: Where those are whose place is not known yet.

        Raises:
            InputError: Some are not in the folder.
            ValueError: No folder was named, and the places are not known.
        """
        images = self.images if folder is None else located(self.images, folder)
        paths = [image.path for image in images if image.path is not None]
        if len(paths) < len(images):
            raise ValueError("the images were not looked up, and no folder was named")
        return paths

    def key(self, folder: Path | None) -> str:
        """Return a content key of the images and everything that is annotated: what a measurement holds for.

        Args:
            folder: As in :meth:`files`.

        Raises:
            InputError: Some images are not in the folder.
        """
        ordered = [self.objects[image.id] for image in self.images]
        return content_key(
            {
                "images": [sha256_file(path) for path in self.files(folder)],
                "categories": [[key, name] for key, name in self.categories.items()],
                "objects": [
                    {
                        "categories": found.categories.tolist(),
                        "boxes": found.boxes.tolist(),
                        "areas": found.areas.tolist(),
                        "crowd": found.crowd.tolist(),
                        "has_mask": found.has_mask.tolist(),
                        "masks": [sha256_bytes(mask["counts"]) for mask in found.masks],
                    }
                    for found in ordered
                ],
            }
        )


def load_ground_truth(
    path: Path, folder: Path | None = None, *, split: str = "val", limit: int | None = None
) -> GroundTruth:
    """Read annotations, and find their images.

    Args:
        path: A COCO instances file, or the ``data.yaml`` of a YOLO dataset or its folder.
        folder: Where the images are, if the annotations do not say that themselves. Some are enough: a note
            says how many there are not.
        split: Which images of a YOLO dataset: ``train``, ``val`` or ``test``.
        limit: Take only the first images.

    Raises:
        InputError: The file cannot be read, or no image is there.
        ArtifactError: It is not of a known format, or has no images or objects.
    """
    found = read_annotations(path, split=split, limit=limit)
    if folder is not None and len(there := present(found.images, folder)) < len(found.images):
        note = (
            f"{len(found.images) - len(there)} of {len(found.images)} annotated images are not in {folder}: "
            f"what is measured holds for the other {len(there)}."
        )
        found = replace(found, images=there, notes=(*found.notes, note))
    if not any(found.objects[image.id] for image in found.images):
        said = f" ({'; '.join(found.notes)})" if found.notes else ""
        raise ArtifactError(
            f"{path} has no annotated object in {len(found.images)} images: there is nothing to measure"
            f"{said}.",
            hint="Give annotations with objects, or raise --limit.",
        )
    if folder is not None:
        found = replace(found, images=located(found.images, folder))
    return _ground_truth(found)


def _ground_truth(found: AnnotatedSet) -> GroundTruth:
    objects = {image.id: _objects(found.objects[image.id], image.size_wh) for image in found.images}
    return GroundTruth(found.images, found.categories, objects, (*found.notes, *about_turned(found.images)))


def _objects(found: Sequence[Annotation], image_wh: tuple[int, int]) -> Objects:
    return Objects(
        np.array([one.category_id for one in found], np.int64),
        np.array([one.box for one in found], np.float64).reshape(-1, 4),
        np.array([one.area for one in found], np.float64),
        np.array([one.crowd for one in found], np.bool_),
        tuple(one.mask or _box_mask(one, image_wh) for one in found),
        np.array([one.mask is not None for one in found], np.bool_),
    )


def _box_mask(one: Annotation, image_wh: tuple[int, int]) -> CocoRle:
    """Return the pixels of an object's box as a mask."""
    x, y, wide, high = one.box
    left, top = (int(np.floor(max(v, 0.0))) for v in (x, y))
    right = int(np.ceil(min(x + wide, image_wh[0])))
    bottom = int(np.ceil(min(y + high, image_wh[1])))
    return coco_rle(Mask(left, top, np.ones((bottom - top, right - left), np.bool_)), image_wh)
