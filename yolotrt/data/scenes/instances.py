"""What a scene is: a picture and the shapes that can be seen in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F32, U8, Bits
from yolotrt.geometry.detections import Mask
from yolotrt.geometry.letterbox import PADDING

MIN_VISIBLE_PX = 40
"""Fewest visible pixels of an annotated instance."""

MIN_VISIBLE_PART = 1 / 3
"""Smallest visible part of an annotated instance."""


@dataclass(frozen=True)
class SceneInstance:
    """One annotated shape.

    Attributes:
        class_id: Index into :data:`yolotrt.data.scenes.shapes.CLASS_NAMES`.
        mask: Its visible pixels in the scene's frame, cut to their bounding box.
        box: (4,) float32, xyxy px around the visible pixels.
        whole_px: How many pixels it would have if nothing hid it and the frame had no edge.
        track: What it is called in every frame of a video.
    """

    class_id: int
    mask: Mask
    box: F32
    whole_px: int
    track: int = 0


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        image: (h, w, 3) uint8, BGR.
        instances: The shapes that can be seen well enough, in the order they were painted.
    """

    image: U8
    instances: tuple[SceneInstance, ...]


def visible_instance(
    class_id: int, x: int, y: int, bits: Bits, whole_px: int, track: int = 0
) -> SceneInstance | None:
    """Return the instance of these visible pixels, or None if too few are left to judge it by.

    An instance is annotated if at least 40 px and a third of it can be seen.

    Args:
        class_id: Its class.
        x: Column of ``bits[:, 0]`` in the frame, px.
        y: Row of ``bits[0, :]`` in the frame, px.
        bits: (h, w) bool, visible pixels.
        whole_px: How many pixels it would have if nothing hid it.
        track: What it is called in every frame of a video.
    """
    rows, columns = np.flatnonzero(bits.any(axis=1)), np.flatnonzero(bits.any(axis=0))
    visible = int(np.count_nonzero(bits))
    if visible < MIN_VISIBLE_PX or visible < MIN_VISIBLE_PART * whole_px:
        return None
    tight = bits[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    left, top = x + int(columns[0]), y + int(rows[0])
    box = np.array([left, top, left + tight.shape[1], top + tight.shape[0]], np.float32)
    return SceneInstance(class_id, Mask(left, top, tight), box, whole_px, track)


def cut_tile(scene: Scene, xy: tuple[int, int], tile_wh: tuple[int, int]) -> Scene:
    """Return a tile of a scene as a scene of its own.

    What the tile's edge leaves too little of is not annotated; what lies outside the scene is grey.

    Args:
        scene: The scene.
        xy: Upper left corner of the tile in the scene, px.
        tile_wh: Width and height of the tile, px.
    """
    (x, y), (width, height) = xy, tile_wh
    part = scene.image[y : y + height, x : x + width]
    image = np.full((height, width, 3), PADDING, np.uint8)
    image[: part.shape[0], : part.shape[1]] = part
    inside = []
    for instance in scene.instances:
        mask = instance.mask
        left, top = max(x - mask.x, 0), max(y - mask.y, 0)
        bits = mask.bits[top : max(y + height - mask.y, 0), left : max(x + width - mask.x, 0)]
        if not bits.any():
            continue
        place = (mask.x + left - x, mask.y + top - y)
        found = visible_instance(instance.class_id, *place, bits, instance.whole_px, instance.track)
        if found:
            inside.append(found)
    return Scene(image, tuple(inside))
