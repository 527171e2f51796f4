"""Large annotated frames, composed of smaller annotated images.

What tiling buys can be measured only on frames much larger than a network's input, and annotated sets of
those are rare. A mosaic carries the annotations of its images over: rows of images, scaled to the height
of their row, on a grey ground. Rows of different heights give objects from a few pixels up to several
tiles wide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolotrt.arrays import U8
from yolotrt.artifacts.files import write_bytes, write_text
from yolotrt.artifacts.folders import named, owning
from yolotrt.data.formats.coco import FILE_NAME
from yolotrt.data.formats.pictures import read_annotated
from yolotrt.data.jpeg import encoded_jpeg
from yolotrt.errors import UsageError
from yolotrt.evaluation.groundtruth import GroundTruth
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.letterbox import PADDING
from yolotrt.geometry.rle import coco_rle, decode_rle
from yolotrt.progress import Progress, no_progress

ROW_SHARES = (1 / 4, 1 / 3, 1 / 2, 2 / 3)
"""Heights of rows, as shares of the frame's height."""


@dataclass(frozen=True)
class Place:
    """Where one image lies in a frame.

    Attributes:
        image_id: The image.
        x: Left edge in the frame, px.
        y: Upper edge in the frame, px.
        size_wh: Width and height in the frame, px.
    """

    image_id: int
    x: int
    y: int
    size_wh: tuple[int, int]


def plan_mosaics(
    sizes: Sequence[tuple[int, tuple[int, int]]], frame_wh: tuple[int, int], seed: int = 0
) -> list[list[Place]]:
    """Lay images out in frames, each image once.

    Args:
        sizes: Id and width and height of each image.
        frame_wh: Width and height of the frames, px.
        seed: Another seed gives another order and other rows.

    Returns:
        The places of each frame. Images do not overlap and lie inside the frame.

    Raises:
        UsageError: The frame has no size.
    """
    width, height = frame_wh
    if width < 64 or height < 64:
        raise UsageError(f"A frame of {width}x{height} px holds no mosaic.", hint="Use 3840x2160.")
    rng = np.random.default_rng(seed)
    waiting = [sizes[i] for i in rng.permutation(len(sizes))]
    frames: list[list[Place]] = []
    while waiting:
        frame: list[Place] = []
        top = 0
        for row in _rows(height, rng):
            left = 0
            while waiting:
                image_id, (w, h) = waiting[-1]
                scale = min(row / h, width / w)
                size_wh = (max(round(w * scale), 1), max(round(h * scale), 1))
                if left + size_wh[0] > width:
                    break
                frame.append(Place(image_id, left, top, size_wh))
                waiting.pop()
                left += size_wh[0]
            top += row
        frames.append(frame)
    return frames


def plan_alone(sizes: Sequence[tuple[int, tuple[int, int]]], frame_wh: tuple[int, int]) -> list[list[Place]]:
    """Give each image a frame of its own, of its shape and as large as fits, instead of a mosaic.

    Args:
        sizes: As in :func:`plan_mosaics`.
        frame_wh: Largest width and height of a frame, px.
    """
    found = []
    for image_id, (w, h) in sizes:
        scale = min(frame_wh[0] / w, frame_wh[1] / h)
        found.append([Place(image_id, 0, 0, (max(round(w * scale), 1), max(round(h * scale), 1)))])
    return found


def write_mosaics(
    truth: GroundTruth,
    folder: Path | None,
    target: Path,
    *,
    frame_wh: tuple[int, int] = (3840, 2160),
    seed: int = 0,
    single: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Compose the images of an annotated set into frames.

    The same images and arguments give the same frames and annotations.

    Args:
        truth: The annotated images.
        folder: Where the image files are, unless ``truth`` knows.
        target: Folder for ``images/`` and ``instances.json``.
        frame_wh: Width and height of the frames, px.
        seed: Chooses the layout.
        single: Enlarge each image to a frame of its own; see :func:`plan_alone`.
        overwrite: Write also into a folder with pictures or annotations that no mosaics wrote.
        progress: Told after each frame.

    Returns:
        The annotations, ``target/instances.json``.

    Raises:
        InputError: An image file is missing or cannot be read.
        ArtifactError: An image is not of the annotated size.
        StorageError: The target cannot be written, or would come among files of others.
    """
    with owning(target, "yolotrt mosaics", named("images", FILE_NAME), overwrite=overwrite):
        return _write(truth, folder, target, frame_wh, None if single else seed, progress)


def _write(
    truth: GroundTruth,
    folder: Path | None,
    target: Path,
    frame_wh: tuple[int, int],
    seed: int | None,
    progress: Progress,
) -> Path:
    files = dict(zip([i.id for i in truth.images], truth.files(folder), strict=True))
    known = {image.id: image for image in truth.images}
    sizes = [(i.id, i.size_wh) for i in truth.images]
    frames = plan_alone(sizes, frame_wh) if seed is None else plan_mosaics(sizes, frame_wh, seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, places in enumerate(frames):
        name = f"mosaic{number:04d}.jpg"
        width, height = wh = frame_wh if seed is not None else places[0].size_wh
        canvas: U8 = np.full((height, width, 3), PADDING, np.uint8)
        for place in places:
            inside = canvas[place.y : place.y + place.size_wh[1], place.x : place.x + place.size_wh[0]]
            inside[:] = _resized(read_annotated(known[place.image_id], files[place.image_id]), place.size_wh)
        write_bytes(target / "images" / name, encoded_jpeg(canvas))
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for record in _annotations(truth, places, wh):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **record})
        progress("compose", number + 1, len(frames))
    categories = [{"id": key, "name": name} for key, name in truth.categories.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return write_text(target / FILE_NAME, json.dumps(document) + "\n")


def _rows(height: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield heights of rows that fill the frame."""
    left = height
    while left > 0:
        row = round(height * float(rng.choice(ROW_SHARES)))
        # No sliver at the bottom: the last row takes what is left.
        row = left if left - row < height * min(ROW_SHARES) else row
        yield row
        left -= row


def _resized(image: U8, size_wh: tuple[int, int]) -> U8:
    shrinks = size_wh[1] < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    result: U8 = np.asarray(cv2.resize(image, size_wh, interpolation=how), np.uint8)
    return result


def _annotations(
    truth: GroundTruth, places: Sequence[Place], frame_wh: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Yield the annotations of all images of a frame, moved and scaled with them."""
    sizes = {image.id: image.size_wh for image in truth.images}
    for place in places:
        objects = truth.objects[place.image_id]
        scale = np.divide(place.size_wh, sizes[place.image_id])
        offset = np.array([place.x, place.y, 0, 0])
        for k, encoded in enumerate(objects.masks):
            box = objects.boxes[k] * [*scale, *scale] + offset
            record = {
                "category_id": int(objects.categories[k]),
                "bbox": [round(float(v), 2) for v in box],
                "area": round(float(objects.areas[k] * scale.prod()), 2),
                "iscrowd": int(objects.crowd[k]),
            }
            if objects.has_mask[k]:
                moved = coco_rle(_scaled(decode_rle(encoded), sizes[place.image_id], place), frame_wh)
                record["segmentation"] = {"size": moved["size"], "counts": moved["counts"].decode()}
            yield record


def _scaled(mask: Mask, image_wh: tuple[int, int], place: Place) -> Mask:
    """Return an image's mask in the frame that the image was placed in."""
    whole = np.zeros((image_wh[1], image_wh[0]), np.float32)
    height, width = mask.bits.shape
    whole[mask.y : mask.y + height, mask.x : mask.x + width] = mask.bits
    bits = cv2.resize(whole, place.size_wh, interpolation=cv2.INTER_LINEAR) > 0.5
    return Mask(place.x, place.y, bits)
