"""What every decoder returns and every consumer takes: detections with cropped masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32, I64
from yolotrt.geometry.mask import Mask as Mask
from yolotrt.geometry.packed import PackedMasks

CONFIDENT = 0.25
"""Score from which a detection counts as having found something."""

Masks = tuple[Mask, ...] | PackedMasks
"""Masks by index: drawn already, or unpacked when they are asked for."""


@dataclass(frozen=True)
class Detections:
    """Instances found in one frame (a tile, an image or a video frame).

    Attributes:
        boxes: (n, 4) float32, xyxy in px of the frame named by the owner.
        scores: (n,) float32 in [0, 1].
        classes: (n,) int64, index into ``ModelSpec.names``.
        masks: n masks in the same frame, or None when masks were not asked for.

    Raises:
        ValueError: Lengths disagree (a bug, never a user's mistake).
    """

    boxes: F32
    scores: F32
    classes: I64
    masks: Masks | None = None

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.classes.shape != (n,) or self.scores.shape != (n,):
            shapes = (self.boxes.shape, self.scores.shape, self.classes.shape)
            raise ValueError(f"expected shapes (n, 4), (n,), (n,); got {shapes}")
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"{n} boxes but {len(self.masks)} masks")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, *, masks: bool = True) -> Detections:
        """Return detections of nothing."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            () if masks else None,
        )

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | Sequence[int]) -> Detections:
        """Return the chosen detections, in the order of ``index`` (integers or a boolean mask)."""
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.intp, copy=False)
        masks = self.masks
        if isinstance(masks, PackedMasks):
            masks = masks.take(chosen)
        elif masks is not None:
            masks = tuple([masks[i] for i in chosen.tolist()])
        return Detections(self.boxes[chosen], self.scores[chosen], self.classes[chosen], masks)

    def between(self, begin: int, end: int) -> Detections:
        """Return the detections from ``begin`` to ``end`` (exclusive), without copying them."""
        masks = None if self.masks is None else self.masks[begin:end]
        return Detections(self.boxes[begin:end], self.scores[begin:end], self.classes[begin:end], masks)

    def moved(self, dx: int, dy: int) -> Detections:
        """Return the detections shifted by whole pixels, as from a tile's frame to the image's."""
        boxes = self.boxes + np.array([dx, dy, dx, dy], np.float32)
        masks = self.masks
        if isinstance(masks, PackedMasks):
            masks = masks.moved(dx, dy)
        elif masks is not None:
            masks = tuple(m.moved(dx, dy) for m in masks)
        return Detections(boxes, self.scores, self.classes, masks)

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """Join detections of one frame, keeping their order."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.scores for p in parts]),
            np.concatenate([p.classes for p in parts]),
            _concatenated([p.masks for p in parts if p.masks is None or len(p.scores)]),
        )


@dataclass(frozen=True)
class PerImage(Sequence[Detections]):
    """Detections of several images, cut apart only when those of one image are asked for.

    Most frames are merged as a whole, and a Detections for each of 32 tiles costs more than it tells.

    Attributes:
        found: All of them, image after image.
        ends: (images,) for each image, the index behind its last detection.
    """

    found: Detections
    ends: I64

    @classmethod
    def of(cls, parts: Sequence[Detections]) -> PerImage:
        """Return detections given image by image, which stay as they are if they are in this form."""
        if isinstance(parts, PerImage):
            return parts
        return cls(Detections.concatenate(parts), np.cumsum([len(p) for p in parts], dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence[PerImage]) -> PerImage:
        """Return the images of all parts, in order; parts of one frame."""
        if len(parts) == 1:
            return parts[0]
        begins = np.cumsum([0, *(len(part.found) for part in parts[:-1])])
        ends = [part.ends + begin for part, begin in zip(parts, begins, strict=True)]
        return cls(Detections.concatenate([part.found for part in parts]), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> Detections: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Detections, ...]: ...

    def __getitem__(self, index: int | slice) -> Detections | tuple[Detections, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        image = range(len(self))[index]  # negative indices, and IndexError
        end = int(self.ends[image])
        return self.found.between(int(self.ends[image - 1]) if image else 0, end)

    @property
    def image(self) -> I64:
        """(n,) index of each detection's image."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=0))


def _concatenated(parts: Sequence[Masks | None]) -> Masks | None:
    """Return all masks, packed if all of them are, or None if some are missing."""
    if None in parts:
        return None
    packed = [part for part in parts if isinstance(part, PackedMasks)]
    if packed and len(packed) == len(parts):
        return PackedMasks.concatenate(packed)
    return tuple(mask for part in parts for mask in part or ())
