"""Scenes as files: pictures with COCO annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import write_bytes, write_text
from yolotrt.artifacts.folders import named, owning
from yolotrt.data.formats.coco import FILE_NAME
from yolotrt.data.jpeg import encoded_jpeg
from yolotrt.data.scenes.instances import SceneInstance
from yolotrt.data.scenes.scene import CLASS_NAMES, WH, Scene, cut_tile, make_scene
from yolotrt.errors import UsageError
from yolotrt.geometry.rle import coco_rle
from yolotrt.geometry.tiles import tile_grid
from yolotrt.progress import Progress, no_progress

SIDES = (64, 8192)
"""Least and most width and height of a scene that is written, px."""


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
            about = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**about, **instance_record(instance, (width, height))})
    return {
        "info": {"description": "Synthetic scenes made by yolotrt"},
        "images": images,
        "annotations": annotations,
        "categories": categories(),
    }


def instance_record(instance: SceneInstance, wh: tuple[int, int]) -> dict[str, Any]:
    """Return what COCO's format says of an instance in a picture of ``wh`` px, without ids."""
    left, top, right, bottom = (float(side) for side in instance.box)
    encoded = coco_rle(instance.mask, wh)
    return {
        "category_id": instance.class_id + 1,
        "bbox": [left, top, right - left, bottom - top],
        "area": instance.mask.area,
        "iscrowd": 0,
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
    }


def categories() -> list[dict[str, Any]]:
    """Return the classes of shapes as COCO's categories."""
    return [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, 1)]


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
    require_size(wh)

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


def _cut(name: str, scene: Scene, tile: int | None) -> Iterator[tuple[str, Scene]]:
    if tile is None:
        yield f"{name}.jpg", scene
        return
    height, width = scene.image.shape[:2]
    for number, origin in enumerate(tile_grid((width, height), (tile, tile)).origins):
        yield f"{name}-{number:02}.jpg", cut_tile(scene, origin, (tile, tile))


def require_size(wh: tuple[int, int]) -> None:
    """Refuse a size that no scene has.

    Raises:
        UsageError: A side is not within :data:`SIDES`.
    """
    low, high = SIDES
    if not all(low <= side <= high for side in wh):
        raise UsageError(
            f"A scene of {wh[0]}x{wh[1]} px is out of range.",
            hint=f"Sides from {low} to {high} px, such as 3840x2160.",
        )
