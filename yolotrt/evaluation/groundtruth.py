"""The annotated truth that detections are measured against, from a COCO instances file."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolotrt.errors import ArtifactError, InputError
from yolotrt.evaluation.instances import AnnotatedImage, Record, read_instances
from yolotrt.geometry.boxes import F64
from yolotrt.geometry.detections import I64, Bits
from yolotrt.geometry.rle import CocoRle, decode_rle


@dataclass(frozen=True)
class Objects:
    """The annotated objects of one image.

    Attributes:
        categories: (n,) COCO category ids.
        boxes: (n, 4) float64, x, y, width, height in px, as COCO writes boxes.
        areas: (n,) float64, area of the annotated mask, px.
        crowd: (n,) whether it is a region of many objects, which is never counted as missed.
        masks: The n masks, run-length encoded.
    """

    categories: I64
    boxes: F64
    areas: F64
    crowd: Bits
    masks: tuple[CocoRle, ...]


@dataclass(frozen=True)
class GroundTruth:
    """Annotated images.

    Attributes:
        images: The images, by ascending id.
        categories: Class names by COCO category id, by ascending id.
        objects: The objects of each image, by image id.
    """

    images: tuple[AnnotatedImage, ...]
    categories: dict[int, str]
    objects: dict[int, Objects]

    def files(self, folder: Path) -> list[Path]:
        """Return the image files, in the order of ``images``.

        Raises:
            InputError: Some are not in the folder.
        """
        paths = [folder / image.name for image in self.images]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(paths)} annotated images are not in {folder} "
                f"(the first is {missing[0].name}).",
                hint="Give the folder that belongs to the annotations, or annotations of just these images.",
            )
        return paths


def load_ground_truth(path: Path, *, limit: int | None = None) -> GroundTruth:
    """Read annotations.

    Args:
        path: A COCO instances file.
        limit: Take only the first images by id.

    Raises:
        InputError: The file cannot be read.
        ArtifactError: It is not COCO instances, or has no images or objects, or an object has no mask.
    """
    instances = read_instances(path)
    images = instances.images[:limit]
    objects = {i.id: _objects(instances.annotations[i.id], i.size_wh, path) for i in images}
    if not any(len(found.categories) for found in objects.values()):
        raise ArtifactError(
            f"{path} has no annotated object in {len(images)} images: there is nothing to measure.",
            hint="Give annotations with objects, or raise --limit.",
        )
    return GroundTruth(images, instances.categories, objects)


def _objects(records: Sequence[Record], image_wh: tuple[int, int], path: Path) -> Objects:
    return Objects(
        np.array([r["category_id"] for r in records], np.int64),
        np.array([r["bbox"] for r in records], np.float64).reshape(-1, 4),
        np.array([r["area"] for r in records], np.float64),
        np.array([r.get("iscrowd", 0) for r in records], np.bool_),
        tuple(_mask(r, image_wh, path) for r in records),
    )


def _mask(record: Record, image_wh: tuple[int, int], path: Path) -> CocoRle:
    """Return an annotation's mask: polygons or run lengths, compressed or not."""
    from pycocotools import mask

    width, height = image_wh
    shape = record.get("segmentation")
    if isinstance(shape, list) and shape and all(_is_polygon(points, max(image_wh)) for points in shape):
        merged: CocoRle = mask.merge(mask.frPyObjects(shape, height, width))
        return merged
    if isinstance(shape, dict):
        if (size := shape.get("size")) != [height, width]:
            raise ArtifactError(
                f"Annotation {record['id']} in {path} has run lengths of size {size!r:.80}, but its image "
                f"has height {height} and width {width}.",
                hint="Use annotations of these images: run lengths ([height, width]) fit no other size.",
            )
        counts = shape.get("counts")
        if isinstance(counts, str):
            with contextlib.suppress(ValueError):
                encoded: CocoRle = {"size": [height, width], "counts": counts.encode()}
                decode_rle(encoded)
                return encoded
        if _are_counts(counts, width * height):
            plain: CocoRle = mask.frPyObjects(shape, height, width)
            return plain
    raise ArtifactError(
        f"Annotation {record['id']} in {path} has no usable segmentation: masks cannot be measured.",
        hint="Use instance annotations (instances_*.json) with polygons or run lengths, not boxes alone.",
    )


def _is_polygon(points: object, side: int) -> bool:
    """Whether it is a polygon near its image: pycocotools walks along its edges, however long they are."""
    return (
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(isinstance(p, int | float) and -side <= p <= 2 * side for p in points)
    )


def _are_counts(counts: object, pixels: int) -> bool:
    return (
        isinstance(counts, list)
        and all(isinstance(c, int) and c >= 0 for c in counts)
        and sum(counts) == pixels
    )
