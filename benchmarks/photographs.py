"""Clips made of photographs, as a fixed or slowly moving camera would take them: no videos of a camera.

The ground is photographs side by side, with what is annotated in them. Objects cut out of others by their
annotated outlines come in over every border, cross the picture and leave. Each frame has noise of its own,
and the light wavers a little.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolotrt.arrays import F32, U8, Frame
from yolotrt.data.formats.tracked import TrackedObjects
from yolotrt.data.images import read_image

ROWS = 4
"""Rows of photographs in a frame."""

EVERY_MS = 1500
SIZES = (40, 120)
SPEED = (240, 640)
"""Heights of what moves, px, and px a second, in a frame of 2160 lines."""

PAN = 40
NOISE = 2.0
_MOVER = 100_000
_VISIBLE = 1 / 3


@dataclass(frozen=True)
class Cut:
    """An object that was cut out: its pixels, how much of each is its own (0 to 1), and its class."""

    pixels: F32
    own: F32
    label: int


@dataclass(frozen=True)
class Crossing:
    """A cut-out on its way: where its upper left corner is at first, and px a second."""

    cut: Cut
    begin_ms: int
    start: tuple[float, float]
    speed: tuple[float, float]


class PhotographScene:
    """What a camera sees.

    Args:
        folder: Holds ``images`` and ``instances.json`` in COCO's format.
        seed: Chooses photographs and objects.
        wh: Width and height of the frame, px.
        length_ms: How long the clip is.
        pan: Speed of the camera to the right, px a second.

    Attributes:
        names: Class names.
    """

    def __init__(self, folder: Path, seed: int, wh: tuple[int, int], length_ms: int, pan: int) -> None:
        told = json.loads((folder / "instances.json").read_text())
        self._wh, self._pan, self._rng = wh, pan, np.random.default_rng(seed)
        self.names = tuple(category["name"] for category in told["categories"])
        self._labels = {category["id"]: k for k, category in enumerate(told["categories"])}
        self._told: dict[int, list[dict[str, Any]]] = {}
        for one in told["annotations"]:
            if not one.get("iscrowd"):
                self._told.setdefault(one["image_id"], []).append(one)
        order = self._rng.permutation(len(told["images"]))
        images = [told["images"][k] for k in order]
        half = len(images) // 2
        self._boxes: list[tuple[float, float, float, float]] = []
        self._classes: list[int] = []
        self._world = self._ground(folder, images[:half], wh[0] + pan * length_ms // 1000)
        cuts = self._cuts(folder, images[half:])
        self._crossings = [
            self._crossing(cuts[k % len(cuts)], k, begin)
            for k, begin in enumerate(range(-4 * EVERY_MS, length_ms, EVERY_MS))
        ]
        grain = np.random.default_rng(seed + 1).normal(0, NOISE, (wh[1] + 64, wh[0] + 64, 1))
        self._grain = np.repeat(np.round(grain), 3, axis=2).astype(np.int16)

    def at(self, ms: int) -> tuple[Frame, TrackedObjects]:
        """Return a frame, and what it shows."""
        width, height = self._wh
        x = self._pan * ms // 1000
        view = self._world[:height, x : x + width].copy()
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4) - (x, 0, x, 0)
        found = [(box, label, k + 1) for k, (box, label) in enumerate(zip(boxes, self._classes, strict=True))]
        hidden: list[F32] = []
        for number, crossing in enumerate(self._crossings):
            box = _blend(view, crossing, ms)
            if box is not None:
                hidden.append(box)
                found.append((box, crossing.cut.label, _MOVER + number))
        seed = np.random.default_rng(ms)
        dy, dx = (int(v) for v in seed.integers(0, 64, 2))
        light = 1 + 0.01 * np.sin(ms / 700)
        noisy = cv2.addWeighted(
            view.astype(np.int16), light, self._grain[dy : dy + height, dx : dx + width], 1, 0
        )
        return np.clip(noisy, 0, 255).astype(np.uint8), self._shown(found, hidden)

    def _shown(self, found: list[tuple[F32, int, int]], hidden: list[F32]) -> TrackedObjects:
        """Return those that can be seen: a third within the frame, and not behind one that crosses."""
        kept = []
        for box, label, track in found:
            inside = np.clip(box, 0, (*self._wh, *self._wh))
            sides, whole = inside[2:] - inside[:2], box[2:] - box[:2]
            if sides.min() < 8 or sides.prod() < _VISIBLE * whole.prod():
                continue
            if track < _MOVER and any(_covered(inside, other) > 0.3 for other in hidden):
                continue
            kept.append((inside, label, track))
        boxes = np.array([one[0] for one in kept], np.float32).reshape(-1, 4)
        return TrackedObjects(boxes, *(np.array([one[k] for one in kept], np.int64) for k in (1, 2)))

    def _ground(self, folder: Path, images: list[dict[str, Any]], width: int) -> U8:
        row = -(-self._wh[1] // ROWS)
        world = np.zeros((ROWS * row, width + 2 * row, 3), np.uint8)
        number = 0
        for top in range(0, ROWS * row, row):
            left = 0
            while left < width:
                image = images[number % len(images)]
                number += 1
                picture = read_image(folder / "images" / image["file_name"])
                scale = row / picture.shape[0]
                picture = np.asarray(cv2.resize(picture, (round(picture.shape[1] * scale), row)), np.uint8)
                picture = picture[:, : world.shape[1] - left]
                world[top : top + row, left : left + picture.shape[1]] = picture
                for one in self._told.get(image["id"], ()):
                    x, y, w, h = (value * scale for value in one["bbox"])
                    self._boxes.append((left + x, top + y, left + x + w, top + y + h))
                    self._classes.append(self._labels[one["category_id"]])
                left += picture.shape[1]
        return world

    def _cuts(self, folder: Path, images: list[dict[str, Any]]) -> list[Cut]:
        """Cut out what is whole and large enough."""
        found = []
        for image in images:
            picture: U8 | None = None
            for one in self._told.get(image["id"], ()):
                x, y, w, h = (round(value) for value in one["bbox"])
                outline = one["segmentation"]
                inside = x > 2 and y > 2 and x + w < image["width"] - 2 and y + h < image["height"] - 2
                if not isinstance(outline, list) or len(outline) != 1 or not inside or min(w, h) < 50:
                    continue
                if picture is None:
                    picture = read_image(folder / "images" / image["file_name"])
                mask = np.zeros(picture.shape[:2], np.uint8)
                cv2.fillPoly(mask, [np.array(outline[0]).reshape(-1, 2).round().astype(np.int32)], 255)
                part = slice(y, y + h), slice(x, x + w)
                size = int(self._rng.integers(*SIZES)) * self._wh[1] // 2160
                small = max(round(w * size / h), 8), max(size, 8)
                pixels = cv2.resize(picture[part], small, interpolation=cv2.INTER_AREA).astype(np.float32)
                own = cv2.resize(mask[part], small, interpolation=cv2.INTER_AREA) / np.float32(255)
                found.append(Cut(pixels, own[..., None].astype(np.float32), self._labels[one["category_id"]]))
        return [found[k] for k in self._rng.permutation(len(found))]

    def _crossing(self, cut: Cut, number: int, begin_ms: int) -> Crossing:
        width, height = self._wh
        high, wide = cut.own.shape[:2]
        along, far = self._rng.uniform(0.1, 0.85, 2)
        ends = (
            ((-wide, height * along), (width, height * far)), ((width * along, -high), (width * far, height)),
            ((width, height * along), (-wide, height * far)), ((width * along, height), (width * far, -high)),
        )  # fmt: skip
        (x0, y0), (x1, y1) = ends[number % 4]
        seconds = max(abs(x1 - x0), abs(y1 - y0)) / (self._rng.uniform(*SPEED) * height / 2160)
        return Crossing(cut, begin_ms, (x0, y0), ((x1 - x0) / seconds, (y1 - y0) / seconds))


def _blend(view: U8, crossing: Crossing, ms: int) -> F32 | None:
    """Paint a cut-out where it is, and return its whole box; None if it is not in the frame."""
    gone = (ms - crossing.begin_ms) / 1000
    x, y = (round(at + v * gone) for at, v in zip(crossing.start, crossing.speed, strict=True))
    high, wide = crossing.cut.own.shape[:2]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + wide, view.shape[1]), min(y + high, view.shape[0])
    if gone < 0 or right <= left or bottom <= top:
        return None
    part = slice(top - y, bottom - y), slice(left - x, right - x)
    own, under = crossing.cut.own[part], view[top:bottom, left:right]
    under[:] = (crossing.cut.pixels[part] * own + under * (1 - own)).astype(np.uint8)
    return np.array([x, y, x + wide, y + high], np.float32)


def _covered(box: F32, by: F32) -> float:
    """Return the part of a box that another one covers."""
    low, high = np.maximum(box[:2], by[:2]), np.minimum(box[2:], by[2:])
    return float(np.clip(high - low, 0, None).prod() / (box[2:] - box[:2]).prod())
