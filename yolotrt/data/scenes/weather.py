"""Rain, swaying textures and failing light over a frame, in exact integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from yolotrt.arrays import U8
from yolotrt.data.scenes.draws import TURN, UNIT, Draws, sine

_PIXELS = 3840 * 2160
_BRIGHTER = 46
"""Grey levels that a streak of rain adds."""


@dataclass(frozen=True)
class Sway:
    """A texture that swings around its place.

    Attributes:
        texture: (h + 2 * reach, w + 2 * reach, 3) uint8, lit.
        x: Its left edge in the world, px.
        y: Its upper edge, px.
        reach: How far it swings, px.
        period_ms: For how long a swing takes.
    """

    texture: U8
    x: int
    y: int
    reach: int
    period_ms: int

    @classmethod
    def drawn(cls, draws: Draws, world: U8) -> Sway:
        """Return a texture somewhere in a world, of leaves about as large as small objects."""
        height, width = world.shape[:2]
        w, h = width * draws.between(14, 20) // 100, height * draws.between(24, 34) // 100
        x, y = draws.between(0, width - w), draws.between(0, height - h)
        reach = draws.between(4, 8)
        leaves = draws.grains(((h + 2 * reach) // 12 + 1, (w + 2 * reach) // 12 + 1))
        tone = cv2.resize(
            leaves, (leaves.shape[1] * 12, leaves.shape[0] * 12), interpolation=cv2.INTER_LINEAR_EXACT
        )[: h + 2 * reach, : w + 2 * reach]
        green = cv2.merge([tone // 4 + 20, tone // 2 + 50, tone // 3 + 20])
        return cls(np.ascontiguousarray(green), x, y, reach, draws.between(900, 2200))

    def paint(self, image: U8, corner: tuple[int, int], ms: int) -> None:
        """Paint it as it hangs at a time.

        Args:
            image: (h, w, 3) uint8 of the camera; changed.
            corner: Upper left corner (x, y) of the camera in the world, px.
            ms: The time.
        """
        turn = ms * TURN // self.period_ms
        dx = self.reach + self.reach * sine(turn) // UNIT
        dy = self.reach + self.reach * sine(turn * 2 + TURN // 5) // (2 * UNIT)
        height, width = (side - 2 * self.reach for side in self.texture.shape[:2])
        left, top = self.x - corner[0], self.y - corner[1]
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, image.shape[1]), min(top + height, image.shape[0])
        if x0 < x1 and y0 < y1:
            rows = slice(y0 - top + dy, y1 - top + dy)
            image[y0:y1, x0:x1] = self.texture[rows, x0 - left + dx : x1 - left + dx]


class Rain:
    """Short bright streaks at new places in each frame.

    Args:
        draws: How the rain slants.
        wh: Width and height of the frame, px.
        streaks: How many a frame of 3840x2160 px has.
    """

    def __init__(self, draws: Draws, wh: tuple[int, int], streaks: int) -> None:
        self._count = streaks * wh[0] * wh[1] // _PIXELS
        self._slant = draws.between(-30, 30)

    def paint(self, image: U8, draws: Draws) -> None:
        """Paint one frame's streaks; ``image`` is changed."""
        if not self._count:
            return
        height, width = image.shape[:2]
        streaks = np.zeros((height, width), np.uint8)
        for _ in range(self._count):
            x, y = draws.between(0, width - 1), draws.between(0, height - 1)
            length = draws.between(14, 48)
            end = (x + length * self._slant // 100, y + length)
            cv2.line(streaks, (x, y), end, (_BRIGHTER,), draws.between(1, 2), cv2.LINE_8)
        cv2.add(image, cv2.merge([streaks, streaks, streaks]), dst=image)


def dimmed(image: U8, ms: int, percent: int) -> U8:
    """Return an image after ``ms`` of a dusk that takes ``percent`` of the light in a minute, never all."""
    gain = max(1000 - percent * ms * 10 // 60_000, 150)
    table = (np.arange(256, dtype=np.int64) * gain // 1000).astype(np.uint8)
    return cv2.LUT(image, table)  # type: ignore[return-value]
