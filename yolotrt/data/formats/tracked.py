"""What the frames of a video show, as ``yolotrt scenes --truth`` writes it: COCO's format with track ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yolotrt.arrays import F32, I64
from yolotrt.data.formats.coco import parse_json
from yolotrt.errors import ArtifactError


@dataclass(frozen=True)
class TrackedObjects:
    """The objects of one frame.

    Attributes:
        boxes: (n, 4) float32 xyxy, px.
        classes: (n,) index into the names.
        tracks: (n,) number of each object, the same in all frames.
    """

    boxes: F32
    classes: I64
    tracks: I64


@dataclass(frozen=True)
class TrackedVideo:
    """All frames of a video.

    Attributes:
        names: Class names.
        frames: What each frame shows, by its index in the video.
        size_wh: Width and height, px.
    """

    names: tuple[str, ...]
    frames: dict[int, TrackedObjects]
    size_wh: tuple[int, int]


def read_tracked(path: Path) -> TrackedVideo:
    """Read what the frames of one video show.

    Args:
        path: COCO's format: an image for each frame with ``frame_index``, an annotation for each object in a
            frame with ``track_id``. Crowds (``iscrowd``) are left out.

    Raises:
        InputError: It cannot be read.
        ArtifactError: It is not like that, or of several videos, or of no frame.
    """
    found = parse_json(path)
    try:
        return _tracked(found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as exc:
        raise ArtifactError(
            f"{path} does not say what the frames of one video show ({type(exc).__name__}: {exc}).",
            hint="It should be as this writes it: yolotrt scenes --video day.mp4 --footage day --truth FILE",
        ) from exc


def _tracked(found: dict[str, Any]) -> TrackedVideo:
    images, categories = found["images"], found["categories"]
    videos = {image.get("video_id", 1) for image in images}
    sizes = {(int(image["width"]), int(image["height"])) for image in images}
    if len(videos) != 1 or len(sizes) != 1:
        raise ValueError(f"{len(videos)} videos of {len(sizes)} sizes")
    place = {category["id"]: k for k, category in enumerate(categories)}
    frames = {image["id"]: int(image["frame_index"]) for image in images}
    if len(set(frames.values())) != len(images):
        raise ValueError("a frame is there twice")
    rows: dict[int, list[tuple[list[float], int, int]]] = {index: [] for index in frames.values()}
    for one in found["annotations"]:
        if not one.get("iscrowd"):
            row = [float(v) for v in one["bbox"]], place[one["category_id"]], int(one["track_id"])
            rows[frames[one["image_id"]]].append(row)
    names = tuple(str(category["name"]) for category in categories)
    return TrackedVideo(names, {k: _objects(v) for k, v in rows.items()}, sizes.pop())


def _objects(rows: list[tuple[list[float], int, int]]) -> TrackedObjects:
    boxes = np.array([row[0] for row in rows], np.float64).reshape(-1, 4)
    tracks = np.array([row[2] for row in rows], np.int64)
    sane = (np.abs(boxes) < 1e9).all()  # not of NaN or infinity either
    if not sane or (boxes[:, 2:] < 0).any() or len(np.unique(tracks)) != len(tracks):
        raise ValueError("a box of no size, or an object twice in a frame")
    boxes[:, 2:] += boxes[:, :2]
    return TrackedObjects(boxes.astype(np.float32), np.array([row[1] for row in rows], np.int64), tracks)
