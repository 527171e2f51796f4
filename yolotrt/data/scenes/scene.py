"""Synthetic 4K scenes with instance masks: the same seed gives the same pixels everywhere.

A scene is a textured ground with shapes of eight classes. Two to three dozen of them have any size,
others come in swarms of small ones; sizes are spread evenly on a logarithmic scale. In a 4K frame
that is scaled down to a network's 640 px, a shape of 16 px is left with less than three.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from yolotrt.data.scenes.backgrounds import blurred, light_and_grain, make_background, make_light
from yolotrt.data.scenes.canvas import Canvas, PlacedShape, Shadow
from yolotrt.data.scenes.draws import TURN, Draws, log_size
from yolotrt.data.scenes.instances import Scene, SceneInstance, cut_tile
from yolotrt.data.scenes.shapes import CLASS_NAMES, SUBPIXEL, Bgr, Outline, outline, random_fill

__all__ = ["CLASS_NAMES", "MovingScene", "Scene", "SceneInstance", "cut_tile", "make_scene", "moving_scene"]

WH = (3840, 2160)
"""Width and height of a scene unless asked otherwise, px."""

SIZES = (16, 900)
"""Smallest and largest diameter of the circle around a shape, px."""

SWARM_SIZES = (20, 112)
"""The same for the leading size of a swarm, px; its shapes differ from it by a third at most."""

_COLOURS: tuple[Bgr, ...] = (
    (46, 52, 226),
    (34, 126, 245),
    (42, 206, 250),
    (84, 190, 72),
    (180, 186, 40),
    (222, 134, 36),
    (190, 66, 84),
    (176, 62, 176),
    (150, 96, 240),
    (240, 240, 240),
    (28, 28, 30),
    (200, 226, 170),
)
_CONTRAST = (220, 160)
"""Smallest difference, summed over the channels, between the colour of a shape and of its ground: for
shapes below 40 px and for larger ones."""


def make_scene(seed: int, wh: tuple[int, int] = WH) -> Scene:
    """Return the scene of a seed.

    Args:
        seed: Any non-negative integer.
        wh: Width and height, px. Shapes do not scale with it; a smaller frame holds fewer.
    """
    return moving_scene(seed, wh).at(0)


def moving_scene(seed: int, wh: tuple[int, int] = WH) -> MovingScene:
    """Return a scene in motion; its picture at 0 ms is ``make_scene(seed, wh)``."""
    return MovingScene(seed, wh)


class MovingScene:
    """Shapes that drift and turn over one ground. Make it with :func:`moving_scene`."""

    def __init__(self, seed: int, wh: tuple[int, int]) -> None:
        self._seed = seed
        self._wh = wh
        camera = Draws(seed, 1)
        self._shadow = Shadow(camera.between(-10, 10), camera.between(3, 12), camera.one_of((0, 80, 120)))
        self._soft = camera.chance(30)
        self._noise = camera.between(2, 22)
        self._light = make_light(camera, wh)
        self._ground = make_background(Draws(seed, 2), wh)
        self._canvas = Canvas(self._ground, self._shadow)
        self._shapes = self._compose(Draws(seed, 3))

    def at(self, ms: int) -> Scene:
        """Return the scene ``ms`` milliseconds after its beginning."""
        canvas = self._canvas
        if ms:
            canvas = Canvas(self._ground, self._shadow)
            for shape in self._shapes:
                moved = shape.moved(ms, self._wh)
                canvas.paint(moved, moved.sprite())
        image = blurred(canvas.image) if self._soft else canvas.image.copy()
        light_and_grain(image, Draws(self._seed, 4, ms), self._light, self._noise)
        return Scene(image, canvas.instances())

    def _compose(self, draws: Draws) -> list[PlacedShape]:
        """Place shapes of all sizes, the larger ones mostly first, then swarms of small ones."""
        width, height = self._wh
        share = min(width * height / (WH[0] * WH[1]), 1.0)
        largest = min(SIZES[1], max(min(self._wh) // 2, SIZES[0]))
        count = max(3, int(draws.between(26, 40) * share))
        sizes = sorted(
            (log_size(draws, SIZES[0], largest) for _ in range(count)),
            key=lambda size: -size * draws.between(50, 100),
        )

        def anywhere() -> tuple[int, int]:
            return draws.between(0, width - 1), draws.between(0, height - 1)

        shapes = [self._place(draws, _any_class(draws), size, anywhere) for size in sizes]
        for _ in range(max(1, int(draws.between(5, 9) * share))):
            shapes += self._swarm(draws, anywhere(), min(SWARM_SIZES[1], largest))
        return [shape for shape in shapes if shape]

    def _swarm(self, draws: Draws, middle: tuple[int, int], largest: int) -> list[PlacedShape | None]:
        """Place small shapes of about one size around a point, sometimes all of one class."""
        spread = draws.between(120, 480)
        same = _any_class(draws) if draws.chance(40) else None
        leading = log_size(draws, SWARM_SIZES[0], largest)

        def nearby() -> tuple[int, int]:
            x, y = (c + draws.between(-spread, spread) for c in middle)
            return min(max(x, 0), self._wh[0] - 1), min(max(y, 0), self._wh[1] - 1)

        shapes = []
        for _ in range(draws.between(6, 14)):
            class_id = _any_class(draws) if same is None else same
            size = max(leading * draws.between(75, 130) // 100, SIZES[0])
            shapes.append(self._place(draws, class_id, size, nearby))
        return shapes

    def _place(
        self, draws: Draws, class_id: int, size: int, where: Callable[[], tuple[int, int]]
    ) -> PlacedShape | None:
        """Paint a shape at a place that ``where`` proposes (px), or give up after eight proposals.

        Only places are taken where the shape hides nothing too much and is not cut too much itself.
        """
        form = outline(class_id, draws)
        for _ in range(8):
            x, y = (c * SUBPIXEL + draws.between(0, SUBPIXEL - 1) for c in where())
            shape = _shape(draws, self._canvas, class_id, form, size, (x, y))
            sprite = shape.sprite()
            if not self._canvas.would_hide(sprite):
                self._canvas.paint(shape, sprite)
                return shape
        return None


def placed_shape(draws: Draws, canvas: Canvas, size: int, centre: tuple[int, int]) -> PlacedShape:
    """Return a shape of any class at a place (1/256 px) of a canvas, from whose ground it stands out."""
    class_id = _any_class(draws)
    return _shape(draws, canvas, class_id, outline(class_id, draws), size, centre)


def _shape(
    draws: Draws, canvas: Canvas, class_id: int, form: Outline, size: int, centre: tuple[int, int]
) -> PlacedShape:
    return PlacedShape(
        class_id,
        form,
        random_fill(draws, _colour(draws, canvas, size, centre), size),
        size,
        angle=draws.between(0, TURN - 1),
        centre=centre,
        velocity=(draws.between(-180, 180) * SUBPIXEL, draws.between(-180, 180) * SUBPIXEL),
        spin=draws.between(-TURN // 4, TURN // 4),
    )


def _any_class(draws: Draws) -> int:
    return draws.between(0, len(CLASS_NAMES) - 1)


def _colour(draws: Draws, canvas: Canvas, size: int, centre: tuple[int, int]) -> Bgr:
    """Return a colour that differs from what is at this place."""
    ground = canvas.mean_colour(size, centre)
    colour: Bgr = (0, 0, 0)
    for _ in range(16):
        b, g, r = (min(max(c + draws.between(-24, 24), 0), 255) for c in draws.one_of(_COLOURS))
        colour = (b, g, r)
        if np.abs(ground - colour).sum() >= _CONTRAST[size >= 40]:
            break
    return colour
