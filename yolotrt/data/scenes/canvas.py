"""Shapes with a place and a motion, and the canvas that keeps count of what they hide."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.arrays import U8
from yolotrt.data.scenes.backgrounds import blurred
from yolotrt.data.scenes.instances import MIN_VISIBLE_PX, SceneInstance, visible_instance
from yolotrt.data.scenes.shapes import SUBPIXEL, Fill, Outline, Sprite, draw_sprite

_LEAST_LEFT = 60
"""Percent of a shape that the shapes of a composed scene leave visible."""


@dataclass(frozen=True)
class PlacedShape:
    """A shape in a scene.

    Attributes:
        class_id: Its class.
        outline: Its form.
        fill: Its colours.
        size: Diameter of the circle around it, px.
        angle: Its rotation, of :data:`~yolotrt.data.scenes.draws.TURN` steps.
        centre: Its centre (x, y) in the frame, 1/256 px.
        velocity: 1/256 px per second along x and y.
        spin: Rotation per second, in steps.
    """

    class_id: int
    outline: Outline
    fill: Fill
    size: int
    angle: int
    centre: tuple[int, int]
    velocity: tuple[int, int]
    spin: int

    def sprite(self) -> Sprite:
        """Return the shape rasterised and coloured."""
        return draw_sprite(self.outline, self.fill, self.size, self.angle, self.centre)

    def moved(self, ms: int, wh: tuple[int, int]) -> PlacedShape:
        """Return the shape ``ms`` milliseconds later; at the frame's edges its centre turns back."""
        x, y = (
            _bounced(c + v * ms // 1000, side * SUBPIXEL)
            for c, v, side in zip(self.centre, self.velocity, wh, strict=True)
        )
        return replace(self, centre=(x, y), angle=self.angle + self.spin * ms // 1000)

    def drifted(self, ms: int) -> PlacedShape:
        """Return the shape ``ms`` milliseconds later, in a world without edges."""
        x, y = (c + v * ms // 1000 for c, v in zip(self.centre, self.velocity, strict=True))
        return replace(self, centre=(x, y), angle=self.angle + self.spin * ms // 1000)

    def setting_out(self, centre: tuple[int, int], velocity: tuple[int, int], spin: int) -> PlacedShape:
        """Return the shape at another place and with another motion."""
        return replace(self, centre=centre, velocity=velocity, spin=spin)


@dataclass(frozen=True)
class Shadow:
    """How shadows fall: shifted by ``x`` and ``y`` percent of a shape's size, ``darkness`` 0 to 255."""

    x: int
    y: int
    darkness: int


class Canvas:
    """A ground onto which shapes are painted, one over the other.

    Attributes:
        image: (h, w, 3) uint8, BGR, as painted so far.
    """

    def __init__(self, ground: U8, shadow: Shadow) -> None:
        self.image = ground.copy()
        self._shadow = shadow
        self._owner = np.zeros(ground.shape[:2], np.int16)  # number of the shape on top, from 1
        self._painted: list[tuple[PlacedShape, Sprite]] = []
        self._visible = [0]
        self._tracks: list[int] = []

    def mean_colour(self, size: int, centre: tuple[int, int]) -> npt.NDArray[np.int64]:
        """Return the mean colour in a square around a place (1/256 px), (3,) BGR."""
        half = max(size // 2, 2)
        x, y = (c // SUBPIXEL for c in centre)
        step = max(size // 16, 1)
        area = self.image[max(y - half, 0) : y + half : step, max(x - half, 0) : x + half : step]
        total: npt.NDArray[np.int64] = area.sum(axis=(0, 1), dtype=np.int64)
        total //= area.shape[0] * area.shape[1]
        return total

    def would_hide(self, sprite: Sprite) -> bool:
        """Tell whether the sprite, or a shape that it covers, would be left with too little to see."""
        rows, columns, inside = _clipped(self._owner.shape, sprite.x, sprite.y, sprite.bits.shape)
        bits = sprite.bits[inside]
        if _too_little(int(bits.sum()), int(sprite.bits.sum())):
            return True
        covered = np.bincount(self._owner[rows, columns][bits])
        return any(
            _too_little(self._visible[number] - int(covered[number]), self._whole(number))
            for number in (np.flatnonzero(covered[1:]) + 1).tolist()
        )

    def view(self, x: int, y: int, wh: tuple[int, int]) -> Canvas:
        """Return a copy of the part that a camera of ``wh`` px sees, its upper left corner at (x, y) px."""
        rows, columns = slice(y, y + wh[1]), slice(x, x + wh[0])
        seen = Canvas(self.image[rows, columns], self._shadow)
        seen._owner = self._owner[rows, columns].copy()
        seen._painted = [(s, replace(p, x=p.x - x, y=p.y - y)) for s, p in self._painted]
        seen._visible = list(self._visible)
        seen._tracks = list(self._tracks)
        return seen

    def paint(self, shape: PlacedShape, sprite: Sprite, track: int | None = None) -> None:
        """Paint a shape, and first its shadow, over what is there.

        Args:
            shape: The shape.
            sprite: The shape as pixels.
            track: What the shape is called in every frame of a video; None counts from 1.
        """
        if self._shadow.darkness and shape.size >= 32:
            self._cast_shadow(sprite, shape.size)
        rows, columns, inside = _clipped(self._owner.shape, sprite.x, sprite.y, sprite.bits.shape)
        alpha, bits = sprite.alpha[inside], sprite.bits[inside]
        if alpha.size:  # nothing of what is still outside of the frame
            over = cv2.merge([alpha, alpha, alpha]).astype(np.uint16)
            target = self.image[rows, columns]
            target[:] = (target * (255 - over) + sprite.bgr[inside] * over + 127) // np.uint16(255)
        self._painted.append((shape, sprite))
        self._tracks.append(len(self._painted) if track is None else track)
        owner = self._owner[rows, columns]
        for number, count in enumerate(np.bincount(owner[bits]).tolist()):
            self._visible[number] -= count
        self._visible.append(int(bits.sum()))
        owner[bits] = len(self._painted)

    def instances(self) -> tuple[SceneInstance, ...]:
        """Return the shapes that can be seen well enough."""
        found = []
        for number, (shape, sprite) in enumerate(self._painted, 1):
            rows, columns, _ = _clipped(self._owner.shape, sprite.x, sprite.y, sprite.bits.shape)
            bits = self._owner[rows, columns] == number
            place, whole = (columns.start, rows.start), self._whole(number)
            found.append(visible_instance(shape.class_id, *place, bits, whole, self._tracks[number - 1]))
        return tuple(instance for instance in found if instance)

    def _whole(self, number: int) -> int:
        return int(self._painted[number - 1][1].bits.sum())

    def _cast_shadow(self, sprite: Sprite, size: int) -> None:
        """Darken the ground where the sprite keeps light away; soft, by way of a coarse copy."""
        levels = min(max(size // 40, 1).bit_length(), 4)
        step = 1 << levels
        coarse = blurred(np.pad(sprite.bits[::step, ::step] * np.uint8(self._shadow.darkness), 2))
        for _ in range(levels):
            doubled = (coarse.shape[1] * 2, coarse.shape[0] * 2)
            coarse = cv2.resize(coarse, doubled, interpolation=cv2.INTER_LINEAR_EXACT)  # type: ignore[assignment]
        x = sprite.x - 2 * step + size * self._shadow.x // 100
        y = sprite.y - 2 * step + size * self._shadow.y // 100
        rows, columns, inside = _clipped(self._owner.shape, x, y, coarse.shape)
        part = coarse[inside]
        if not part.size:
            return
        light = 255 - cv2.merge([part, part, part]).astype(np.uint16)
        target = self.image[rows, columns]
        target[:] = target * light // np.uint16(255)


def _too_little(visible_px: int, whole_px: int) -> bool:
    return visible_px < MIN_VISIBLE_PX or visible_px * 100 < _LEAST_LEFT * whole_px


def _clipped(
    frame: tuple[int, ...], x: int, y: int, shape: tuple[int, ...]
) -> tuple[slice, slice, tuple[slice, slice]]:
    """Return the frame's rows and columns under an array laid at (x, y), and the array's part there."""
    top, left = min(max(y, 0), frame[0]), min(max(x, 0), frame[1])
    bottom, right = min(max(y + shape[0], top), frame[0]), min(max(x + shape[1], left), frame[1])
    return slice(top, bottom), slice(left, right), (slice(top - y, bottom - y), slice(left - x, right - x))


def _bounced(position: int, length: int) -> int:
    """Return a position reflected into [0, length)."""
    phase = position % (2 * length)
    return min(phase, 2 * length - 1 - phase)
