"""Videos of a fixed or slowly moving camera, and what every frame shows: a seed always gives the same.

A video has shapes that stay where they are, and others that come in over every border of the frame, cross it,
perhaps wait on the way, and leave. The whole ground is painted and lit once; a frame costs a copy of it, its
moving shapes, and what the weather does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from yolotrt.arrays import U8
from yolotrt.data.scenes.backgrounds import light_and_grain, make_background, make_light
from yolotrt.data.scenes.canvas import Canvas, PlacedShape, Shadow
from yolotrt.data.scenes.draws import TURN, UNIT, Draws, sine
from yolotrt.data.scenes.footage_kinds import FOOTAGE, FootageKind
from yolotrt.data.scenes.instances import Scene
from yolotrt.data.scenes.scene import placed_shape
from yolotrt.data.scenes.shapes import SUBPIXEL
from yolotrt.data.scenes.weather import Rain, Sway, dimmed

_MOVER = 1000
"""Tracks of shapes that move begin here; those that stay count from 1."""


@dataclass(frozen=True)
class Mover:
    """A shape that crosses the frame.

    Attributes:
        shape: The shape at its first place, outside of the frame.
        track: What it is called in every frame.
        begin_ms: When it sets out.
        end_ms: When it has left the frame.
        wait_ms: From when and until when it waits on the way, after its beginning; equal for not at all.
    """

    shape: PlacedShape
    track: int
    begin_ms: int
    end_ms: int
    wait_ms: tuple[int, int]

    def at(self, ms: int) -> PlacedShape | None:
        """Return the shape at a time; None while it is not on its way."""
        if not self.begin_ms <= ms < self.end_ms:
            return None
        gone, (stop, go) = ms - self.begin_ms, self.wait_ms
        return self.shape.drifted(min(gone, stop) + max(gone - go, 0))


class CameraScene:
    """What a camera sees of a video.

    Args:
        kind: Which video.
        seed: Non-negative.
        wh: Width and height of the frame, px.
        length_ms: How long the video is; a camera that moves needs ground for it.
    """

    def __init__(self, kind: FootageKind, seed: int, wh: tuple[int, int], length_ms: int) -> None:
        self._kind, self._seed, self._wh, self._length_ms = kind, seed, wh, length_ms
        self.events = FOOTAGE[kind]
        travel = self.events.pan * length_ms // 1000 + 2 * self.events.shake
        self._world_wh = (wh[0] + travel, wh[1] + 2 * self.events.shake)
        look = Draws(seed, 21)
        ground = make_background(Draws(seed, 22), self._world_wh)
        light = make_light(look, self._world_wh)
        self._world = Canvas(ground, Shadow(look.between(-10, 10), look.between(3, 12), 80))
        self._stay(Draws(seed, 23))
        light_and_grain(self._world.image, Draws(seed, 24), light, 0)
        self._sway = [Sway.drawn(Draws(seed, 25, n), self._world.image) for n in range(self.events.sway)]
        self._rain = Rain(Draws(seed, 26), wh, self.events.rain)
        self.movers = self._all_movers(Draws(seed, 27))

    def at(self, ms: int) -> Scene:
        """Return what is seen ``ms`` milliseconds after the video's beginning."""
        x, y = self._camera(ms)
        canvas = self._world.view(x, y, self._wh)
        for sway in self._sway:
            sway.paint(canvas.image, (x, y), ms)
        for mover in self.movers:
            if (shape := mover.at(ms)) is not None:
                canvas.paint(shape, shape.sprite(), mover.track)
        image = canvas.image
        if self.events.dusk:
            image = dimmed(image, ms, self.events.dusk)
        self._rain.paint(image, Draws(self._seed, 28, ms))
        self._add_grain(image, Draws(self._seed, 29, ms))
        return Scene(image, canvas.instances())

    def _camera(self, ms: int) -> tuple[int, int]:
        shake = self.events.shake
        x = self.events.pan * ms // 1000 + shake + shake * sine(ms * TURN // 1700) // UNIT
        return x, shake + shake * sine(ms * TURN // 1100 + TURN // 3) // UNIT

    def _stay(self, draws: Draws) -> None:
        """Paint the shapes that do not move; as many to an area as in a frame of the size asked for."""
        (width, height), count = self._world_wh, self.events.staying * self._world_wh[0] // self._wh[0]
        number = 0
        for _ in range(count):
            size = draws.between(*self.events.sizes) * (2 if draws.chance(30) else 1)
            for _ in range(8):
                centre = draws.between(0, width - 1) * SUBPIXEL, draws.between(0, height - 1) * SUBPIXEL
                shape = placed_shape(draws, self._world, size, centre)
                sprite = shape.sprite()
                if not self._world.would_hide(sprite):
                    number += 1
                    self._world.paint(shape, sprite, number)
                    break

    def _all_movers(self, draws: Draws) -> list[Mover]:
        """Return all movers of the video: one comes every so often, over each border in turn."""
        found: list[Mover] = []
        every = self.events.every_ms
        # The first ones set out before the video begins, so that its first frame is as busy as the others.
        for number, begin in enumerate(range(-self.events.ahead * every, self._length_ms, every)):
            found.append(self._mover(draws, number, begin + draws.between(0, every - 1)))
        return found

    def _mover(self, draws: Draws, number: int, begin_ms: int) -> Mover:
        width, height = self._wh
        size = draws.between(*self.events.sizes)
        along = draws.between(15, 85)
        far = draws.between(15, 85)
        outside = size // 2 + 8
        ends = (
            ((-outside, height * along // 100), (width + outside, height * far // 100)),
            ((width * along // 100, -outside), (width * far // 100, height + outside)),
            ((width + outside, height * along // 100), (-outside, height * far // 100)),
            ((width * along // 100, height + outside), (width * far // 100, -outside)),
        )
        (x0, y0), (x1, y1) = ends[number % 4]
        speed = draws.between(*self.events.speed) * min(self._wh) // 1080
        length = max(abs(x1 - x0), abs(y1 - y0))
        travel_ms = length * 1000 // max(speed, 1)
        wait = draws.between(20, 80) * travel_ms // 100
        pause = draws.between(1000, 4000) if draws.chance(self.events.waits) else 0
        vx, vy = ((b - a) * SUBPIXEL * 1000 // travel_ms for a, b in ((x0, x1), (y0, y1)))
        edge = (min(max(x0, 0), width - 1) * SUBPIXEL, min(max(y0, 0), height - 1) * SUBPIXEL)
        shape = placed_shape(draws, self._world, size, edge)
        start = (x0 * SUBPIXEL, y0 * SUBPIXEL)
        shape = shape.setting_out(start, (vx, vy), draws.between(-TURN // 8, TURN // 8))
        return Mover(shape, _MOVER + number, begin_ms, begin_ms + travel_ms + pause, (wait, wait + pause))

    @cached_property
    def _grain(self) -> tuple[U8, U8]:
        """What sensor noise adds and takes away, larger than the frame, so that each frame takes a part."""
        grains = Draws(self._seed, 30).grains((self._wh[1] + 64, self._wh[0] + 64, 3))
        levels = np.arange(256, dtype=np.int64)
        error = ((levels & 15) + (levels >> 4) - 15) * self.events.noise // 16
        up, down = (np.maximum(part, 0).astype(np.uint8) for part in (error, -error))
        return cv2.LUT(grains, up), cv2.LUT(grains, down)  # type: ignore[return-value]

    def _add_grain(self, image: U8, draws: Draws) -> None:
        y, x = draws.between(0, 63), draws.between(0, 63)
        up, down = (
            part[y : y + self._wh[1], x : x + self._wh[0]][:: 1 - 2 * draws.between(0, 1)]
            for part in self._grain
        )
        cv2.subtract(cv2.add(image, up), down, dst=image)


def camera_scene(kind: FootageKind, seed: int, wh: tuple[int, int], length_ms: int) -> CameraScene:
    """Return a video, of which any moment can be drawn."""
    return CameraScene(kind, seed, wh, length_ms)
