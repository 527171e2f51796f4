"""Fit an image into a network's fixed input, and turn pictures into network input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F32, U8

PADDING = 114
"""Grey level of the padding, as in training."""


@dataclass(frozen=True)
class Letterbox:
    """How one image lies in the network's input: scaled without distortion and padded.

    Use :meth:`fit` for a centred letterbox. Other placements are written down directly; a tile whose
    right and bottom are padding is ``Letterbox(content_wh, tile_wh, 1.0, content_wh, (0, 0))``.

    Attributes:
        image_wh: Width and height of the image, px.
        model_wh: Width and height of the network's input, px.
        scale: Model px per image px, before ``resized_wh`` is rounded.
        resized_wh: Width and height of the image inside the input, px.
        pad_xy: Padding left of and above it, px.
    """

    image_wh: tuple[int, int]
    model_wh: tuple[int, int]
    scale: float
    resized_wh: tuple[int, int]
    pad_xy: tuple[int, int]

    @classmethod
    def fit(cls, image_wh: tuple[int, int], model_wh: tuple[int, int]) -> Letterbox:
        """Return the centred letterbox, enlarging small images, rounded as Ultralytics' ``LetterBox``.

        Raises:
            ValueError: A side is not positive (a bug: readers of images return none).
        """
        if min(*image_wh, *model_wh) < 1:
            raise ValueError(f"cannot fit an image of {image_wh} px into {model_wh} px")
        scale = min(model_wh[0] / image_wh[0], model_wh[1] / image_wh[1])
        # A very thin image keeps at least one pixel.
        width, height = (max(round(side * scale), 1) for side in image_wh)
        # An odd padding puts the larger half at the right and bottom.
        pad_xy = (round((model_wh[0] - width) / 2 - 0.1), round((model_wh[1] - height) / 2 - 0.1))
        return cls(image_wh, model_wh, scale, (width, height), pad_xy)

    def apply(self, image: U8, out: U8 | None = None) -> U8:
        """Return the letterboxed image.

        Args:
            image: (h, w, 3) uint8, BGR, of ``image_wh``.
            out: (model_h, model_w, 3) uint8 to write into.

        Returns:
            ``out``, or a new array of the same shape.

        Raises:
            ValueError: The image is not of ``image_wh``.
        """
        if image.shape != (self.image_wh[1], self.image_wh[0], 3):
            raise ValueError(f"expected an image of {self.image_wh} px, got shape {image.shape}")
        if out is None:
            out = np.empty((self.model_wh[1], self.model_wh[0], 3), np.uint8)
        (x, y), (width, height) = self.pad_xy, self.resized_wh
        out[:y] = PADDING
        out[y + height :] = PADDING
        out[y : y + height, :x] = PADDING
        out[y : y + height, x + width :] = PADDING
        inside = out[y : y + height, x : x + width]
        if self.resized_wh == self.image_wh:
            inside[:] = image
        else:
            import cv2  # a program that starts has better things to load first

            inside[:] = cv2.resize(image, self.resized_wh, interpolation=cv2.INTER_LINEAR)
        return out

    def boxes_to_image(self, boxes: F32) -> F32:
        """Return (n, 4) xyxy boxes of the network's input in image px, clipped to the image."""
        unpadded = (boxes - self._corners(self.pad_xy)) / self._scales
        result: F32 = np.clip(unpadded, 0, self._corners(self.image_wh))
        return result

    @property
    def _scales(self) -> F32:
        # Rounding to whole pixels stretches the axes a little differently: follow the pixels.
        width, height = self.image_wh
        return self._corners((self.resized_wh[0] / width, self.resized_wh[1] / height))

    @staticmethod
    def _corners(xy: tuple[float, float]) -> F32:
        return np.array([*xy, *xy], np.float32)


def network_input(images: Sequence[U8], out: F32 | None = None) -> F32:
    """Turn equally large pictures into one network input.

    Args:
        images: n pictures, (h, w, 3) uint8, BGR; views into a larger frame are fine.
        out: (n, 3, h, w) float32 to write into. Worth passing: fresh memory costs more than the work.

    Returns:
        ``out``, or a new array of the same shape: RGB in [0, 1].
    """
    if out is None:
        height, width = images[0].shape[:2]
        out = np.empty((len(images), 3, height, width), np.float32)
    for image, planes in zip(images, out, strict=True):
        for channel in range(3):
            # Two simple passes, the second over cached memory, beat one that converts and scales at once.
            np.copyto(planes[channel], image[..., 2 - channel])
            np.divide(planes[channel], np.float32(255), out=planes[channel])
    return out
