"""Scenes as files: pictures with COCO annotations, and videos."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import write_bytes, write_text
from yolotrt.artifacts.folders import named, owning, owning_file
from yolotrt.data.formats.coco import FILE_NAME
from yolotrt.data.jpeg import encoded_jpeg
from yolotrt.data.scenes.scene import CLASS_NAMES, WH, Scene, cut_tile, make_scene, moving_scene
from yolotrt.data.video_writer import CODECS, new_video
from yolotrt.errors import UsageError
from yolotrt.geometry.rle import coco_rle
from yolotrt.geometry.tiles import tile_grid
from yolotrt.progress import Progress, no_progress

SIDES = (64, 8192)
"""Least and most width and height of a scene that is written, px."""

VIDEO_MAKER = "yolotrt scenes --video"


def coco_instances(scenes: Iterable[tuple[str, Scene]]) -> dict[str, Any]:
    """Describe scenes in COCO's instances format.

    Args:
        scenes: File names and scenes; taken one by one, so only one needs to be in memory.

    Returns:
        A JSON document: image and annotation ids count from 1, category ids are class indices plus 1,
        masks are run-length encoded, no region is a crowd.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, scene in scenes:
        height, width = scene.image.shape[:2]
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for instance in scene.instances:
            left, top, right, bottom = (float(side) for side in instance.box)
            encoded = coco_rle(instance.mask, (width, height))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": instance.class_id + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": instance.mask.area,
                    "iscrowd": 0,
                    "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
                }
            )
    return {
        "info": {"description": "Synthetic scenes made by yolotrt"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, 1)],
    }


def write_scenes(
    out: Path,
    count: int,
    seed: int = 0,
    wh: tuple[int, int] = WH,
    *,
    tile: int | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Write the scenes of the seeds ``seed`` to ``seed + count - 1`` with their annotations.

    Args:
        out: Folder; pictures go to ``images/`` (JPEG), annotations to ``instances.json``.
        count: Number of scenes.
        seed: Seed of the first.
        wh: Width and height, px.
        tile: Write, instead of each scene, its overlapping tiles with this side, px; for accuracy
            per tile.
        overwrite: Write also into a folder with pictures or annotations that no scenes wrote.
        progress: Told about each scene.

    Returns:
        The annotations file, written last.

    Raises:
        UsageError: The size is out of range.
        StorageError: A file cannot be written, or would come among files of others.
    """
    _require_size(wh)

    def written() -> Iterator[tuple[str, Scene]]:
        for index in range(count):
            progress("draw scenes", index, count)
            for name, scene in _cut(f"scene-{seed + index:06}", make_scene(seed + index, wh), tile):
                write_bytes(out / "images" / name, encoded_jpeg(scene.image))
                yield name, scene
        progress("draw scenes", count, count)

    with owning(out, "yolotrt scenes", named("images", FILE_NAME), overwrite=overwrite):
        document = coco_instances(written())
        return write_text(out / FILE_NAME, json.dumps(document, allow_nan=False) + "\n")


def write_video(
    target: Path,
    seed: int = 0,
    wh: tuple[int, int] = WH,
    *,
    fps: int = 30,
    seconds: float = 5.0,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Write a scene in motion.

    Args:
        target: The video; its ending chooses the format, one of :data:`CODECS`.
        seed: Seed of the scene.
        wh: Width and height, px; even numbers.
        fps: Frames per second.
        seconds: Length; at least one frame is written.
        overwrite: Replace also a file that is no video of scenes.
        progress: Told about each frame.

    Raises:
        UsageError: The size is out of range or odd, or the ending is unknown.
        EnvironmentFault: This FFmpeg cannot write such a video.
        StorageError: The file cannot be written.
    """
    _require_size(wh)
    if wh[0] % 2 or wh[1] % 2:
        raise UsageError(f"A video of {wh[0]}x{wh[1]} px has an odd side.", hint="Choose even numbers.")
    ending = target.suffix.lower()
    if ending not in CODECS:
        raise UsageError(
            f"{target.name}: the ending {ending!r} names no video format.", hint=f"Use {' or '.join(CODECS)}."
        )
    scene, frames = moving_scene(seed, wh), max(1, round(fps * seconds))
    own = owning_file(target, VIDEO_MAKER, option="--video", overwrite=overwrite)
    with own, new_video(target, float(fps), wh) as append:
        for index in range(frames):
            progress("draw frames", index, frames)
            append(scene.at(index * 1000 // fps).image)
        progress("draw frames", frames, frames)
    return target


def _cut(name: str, scene: Scene, tile: int | None) -> Iterator[tuple[str, Scene]]:
    if tile is None:
        yield f"{name}.jpg", scene
        return
    height, width = scene.image.shape[:2]
    for number, origin in enumerate(tile_grid((width, height), (tile, tile)).origins):
        yield f"{name}-{number:02}.jpg", cut_tile(scene, origin, (tile, tile))


def _require_size(wh: tuple[int, int]) -> None:
    low, high = SIDES
    if not all(low <= side <= high for side in wh):
        raise UsageError(
            f"A scene of {wh[0]}x{wh[1]} px is out of range.",
            hint=f"Sides from {low} to {high} px, such as 3840x2160.",
        )
