"""Training batches for the demo model: random views of a rolling pool of scenes, cut on the training device.

The pool holds whole scenes; a batch is gathered from it in a few large operations. A view is a tile at
full resolution, a whole letterboxed frame, or something in between, so that one network serves both the
tiled and the global pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from yolotrt.data.scenes.instances import MIN_VISIBLE_PART
from yolotrt.data.scenes.scene import make_scene
from yolotrt.geometry.letterbox import PADDING

SIDE = 640
"""Width and height of a view, px."""

SLOTS = 256
"""Instances a scene may have, and one for the ground."""

LEAST_PX = 5
"""Views label no instance whose longer side is shorter than this, px."""

SceneTensors = dict[str, torch.Tensor]


class SceneTensorSet(Dataset[SceneTensors]):  # type: ignore[misc]
    """The scenes of consecutive seeds as tensors.

    ``image`` (h, w, 3) uint8 BGR; ``ids`` (h, w) uint8, number of the instance on top, 0 for none;
    ``boxes`` (256, 4), ``classes`` (256,) and ``whole`` (256,) describe each number's instance.
    """

    def __init__(self, first_seed: int, count: int, wh: tuple[int, int]) -> None:
        self._first_seed = first_seed
        self._count = count
        self._wh = wh

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> SceneTensors:
        scene = make_scene(self._first_seed + index, self._wh)
        ids = np.zeros(scene.image.shape[:2], np.uint8)
        boxes = np.zeros((SLOTS, 4), np.float32)
        classes = np.zeros(SLOTS, np.int64)
        whole = np.full(SLOTS, np.inf, np.float32)
        for number, instance in enumerate(scene.instances[: SLOTS - 1], 1):
            mask = instance.mask
            height, width = mask.bits.shape
            ids[mask.y : mask.y + height, mask.x : mask.x + width][mask.bits] = number
            boxes[number], classes[number], whole[number] = (
                instance.box,
                instance.class_id,
                instance.whole_px,
            )
        arrays = {"image": scene.image, "ids": ids, "boxes": boxes, "classes": classes, "whole": whole}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class ScenePool:
    """A number of scenes on the training device, the oldest of which gives way to a fresh one.

    Args:
        size: Scenes held at a time.
        steps: How often :meth:`refresh` will be called.
        first_seed: Seed of the first scene.
        wh: Width and height of the scenes, px.
        device: Where views are cut.
        workers: Processes that make scenes.
    """

    def __init__(
        self, size: int, steps: int, first_seed: int, wh: tuple[int, int], device: torch.device, workers: int
    ) -> None:
        self._size = size
        self._wh = wh
        self._device = device
        loader = DataLoader(
            SceneTensorSet(first_seed, size + steps, wh),
            batch_size=None,
            num_workers=workers,
            pin_memory=device.type == "cuda",
        )
        self._fresh: Iterator[SceneTensors] = iter(loader)
        first = [next(self._fresh) for _ in range(size)]
        self._held = {name: torch.stack([s[name] for s in first]).to(device) for name in first[0]}
        self._next = 0

    def refresh(self) -> None:
        """Replace the oldest scene."""
        for name, tensor in next(self._fresh).items():
            self._held[name][self._next].copy_(tensor, non_blocking=True)
        self._next = (self._next + 1) % self._size

    def views(self, count: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return ``count`` random views as the batch that Ultralytics' segmentation loss takes."""
        slots = torch.from_numpy(rng.integers(self._size, size=count)).to(self._device)
        scale, origin, flip = self._windows(slots, rng)
        columns = _samples(scale, origin[:, 0], flip[:, 0])
        rows = _samples(scale, origin[:, 1], flip[:, 1])
        images = self._pictures(slots, columns, rows)
        ids = self._nearest(slots, columns, rows)
        boxes, keep = self._labels(slots, ids, scale, origin, flip)
        number = (keep.cumsum(1) * keep).to(torch.uint8)  # per view, from 1; 0 is ground
        # Between the middle two of each four pixels lies a prototype's centre: take either.
        x, y = rng.integers(1, 3, size=2).tolist()
        coarse = ids[:, y::4, x::4].flatten(1).long()
        batch_idx, slot = keep.nonzero(as_tuple=True)
        shape = (count, SIDE // 4, SIDE // 4)
        classes = self._held["classes"][slots]
        return {
            "img": images,
            "cls": classes[batch_idx, slot].float()[:, None],
            "bboxes": boxes[batch_idx, slot],
            "batch_idx": batch_idx.float(),
            "masks": number.gather(1, coarse).view(shape),
            "sem_masks": classes.gather(1, coarse).view(shape),
        }

    def _windows(
        self, slots: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Choose what each view shows: scene px per view px, upper left corner, mirroring."""
        count, frame = len(slots), np.array(self._wh, np.float64)
        whole = max(frame.max() / SIDE, 1.0)
        kind = rng.random(count)
        scale = np.exp(rng.uniform(0, math.log(whole) + 1e-9, count))
        scale = np.where(kind < 0.6, 1.0, np.where(kind < 0.8, whole, scale))
        boxes = self._held["boxes"][slots].cpu().numpy()
        middle = rng.random((count, 2)) * frame
        for i in np.flatnonzero(rng.random(count) < 0.75):
            numbers = np.flatnonzero(boxes[i, :, 2])
            if len(numbers):
                box = boxes[i, rng.choice(numbers)]
                away = rng.uniform(-0.45, 0.45, 2) * SIDE * scale[i]
                middle[i] = (box[:2] + box[2:]) / 2 + away
        span = SIDE * scale[:, None]
        origin = np.where(frame < span, (frame - span) / 2, np.clip(middle - span / 2, 0, frame - span))
        origin = np.where(scale[:, None] == 1.0, np.rint(origin), origin)
        arrays = (scale.astype(np.float32), origin.astype(np.float32), rng.random((count, 2)) < 0.5)
        scale_, origin_, flip_ = (torch.from_numpy(a).to(self._device) for a in arrays)
        return scale_, origin_, flip_

    def _pictures(self, slots: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Sample the scenes bilinearly: (n, 3, 640, 640) float32, RGB in [0, 1]."""
        width, height = self._wh
        pixels = self._held["image"].view(-1, 3)
        mixed = torch.zeros(1, device=self._device)
        x, y = columns - 0.5, rows - 0.5
        for down in (0, 1):
            share_y = (1 - down) + (2 * down - 1) * (y - y.floor())
            row = (y.floor().long() + down).clamp(0, height - 1)
            for right in (0, 1):
                share_x = (1 - right) + (2 * right - 1) * (x - x.floor())
                column = (x.floor().long() + right).clamp(0, width - 1)
                at = (slots[:, None] * height + row)[:, :, None] * width + column[:, None, :]
                mixed = mixed + pixels[at].float() * (share_y[:, :, None] * share_x[:, None, :])[..., None]
        mixed[self._outside(columns, rows)] = PADDING
        return mixed.round_().flip(-1).permute(0, 3, 1, 2).div(255)

    def _nearest(self, slots: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return which instance each pixel of each view shows, (n, 640, 640) uint8."""
        width, height = self._wh
        row, column = rows.long().clamp(0, height - 1), columns.long().clamp(0, width - 1)
        at = (slots[:, None] * height + row)[:, :, None] * width + column[:, None, :]
        ids = self._held["ids"].view(-1)[at]
        ids[self._outside(columns, rows)] = 0
        return ids

    def _outside(self, columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        width, height = self._wh
        return ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]

    def _labels(
        self,
        slots: torch.Tensor,
        ids: torch.Tensor,
        scale: torch.Tensor,
        origin: torch.Tensor,
        flip: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the boxes, (n, 256, 4) xywh in parts of the view, and which are labelled, (n, 256).

        An instance that lies wholly inside has its exact box; one that the view cuts has the box of
        what is left of it.
        """
        count = len(slots)
        key = (torch.arange(count, device=self._device) * SLOTS)[:, None, None] + ids.long()
        along = torch.arange(SIDE, device=self._device)
        seen = []
        for axis in (along[None, None, :], along[None, :, None]):
            present = torch.zeros(count * SLOTS * SIDE, dtype=torch.bool, device=self._device)
            present[(key * SIDE + axis).flatten()] = True
            present = present.view(count, SLOTS, SIDE)
            first = present.float().argmax(2)
            last = SIDE - present.flip(2).float().argmax(2)
            seen.append((first, last))
        left = torch.stack([seen[0][0], seen[1][0], seen[0][1], seen[1][1]], -1).float()
        exact = (self._held["boxes"][slots] - origin.repeat(1, 2)[:, None]) / scale[:, None, None]
        inside = ((exact >= 0) & (exact <= SIDE)).all(-1, keepdim=True)
        mirrored = SIDE - exact[..., [2, 3, 0, 1]]
        exact = torch.where(flip.repeat(1, 2)[:, None], mirrored, exact)
        corners = torch.where(inside, exact, left)
        area = torch.bincount(key[:, ::2, ::2].flatten(), minlength=count * SLOTS).view(count, SLOTS) * 4
        size = corners[..., 2:] - corners[..., :2]
        enough = area * scale[:, None] ** 2 >= MIN_VISIBLE_PART * self._held["whole"][slots]
        keep = enough & (area > 0) & (size.amax(-1) >= LEAST_PX)
        keep[:, 0] = False
        return torch.cat([(corners[..., :2] + corners[..., 2:]) / 2, size], -1) / SIDE, keep


def _samples(scale: torch.Tensor, origin: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
    """Return where the middle of each column (or row) of each view lies in its scene, (n, 640), px."""
    middle = torch.arange(SIDE, device=scale.device) + 0.5
    middle = torch.where(flip[:, None], SIDE - middle, middle)
    return origin[:, None] + middle * scale[:, None]
