"""Textured grounds, light and grain for scenes, in exact integer arithmetic.

The textures are made of value noise: random bytes doubled in size again and again by bilinear
interpolation, which converges to a smooth surface. ``INTER_LINEAR_EXACT`` is OpenCV's interpolation
with the same result on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from yolotrt.arrays import U8
from yolotrt.data.scenes.draws import Draws, average, clipped, ramp

_STRIP = 64
"""Rows worked on at a time, so that intermediate results stay in the cache."""

_GROUNDS = (
    ((52, 56, 60), (86, 90, 92), (112, 116, 118)),  # asphalt
    ((128, 130, 132), (160, 162, 162), (186, 190, 190)),  # concrete
    ((110, 150, 180), (146, 186, 212), (176, 212, 232)),  # sand
    ((34, 66, 44), (48, 98, 66), (82, 132, 98)),  # grass
    ((92, 62, 30), (126, 94, 52), (156, 128, 88)),  # water
    ((40, 62, 92), (62, 92, 128), (96, 130, 164)),  # wood
    ((52, 70, 120), (72, 96, 150), (102, 128, 176)),  # terracotta
    ((180, 196, 204), (204, 216, 222), (224, 232, 236)),  # paper
    ((34, 26, 22), (58, 44, 38), (86, 68, 60)),  # night
    ((96, 84, 92), (128, 116, 124), (158, 148, 156)),  # slate
)
"""Colour ramps, BGR; muted, so that shapes of vivid colours stand out."""


def make_background(draws: Draws, wh: tuple[int, int]) -> U8:
    """Return a textured ground, (h, w, 3) uint8 BGR."""
    texture = draws.one_of(_TEXTURES)(draws, wh)
    shift = draws.between(-16, 16)
    stops = [
        (clipped(b + shift), clipped(g + shift), clipped(r + shift)) for b, g, r in draws.one_of(_GROUNDS)
    ]
    if draws.chance(30):
        stops.reverse()
    return cv2.LUT(cv2.merge([texture, texture, texture]), ramp(stops)[None])  # type: ignore[return-value]


def light_and_grain(image: U8, draws: Draws, light: U8, noise: int) -> None:
    """Light a picture unevenly and add sensor noise, in place.

    Args:
        image: (h, w, 3) uint8 BGR.
        draws: Source of the noise.
        light: (h, w) uint8; 200 leaves a pixel as it is.
        noise: Strength of the noise; its standard deviation is about 0.4 grey levels per unit.
    """
    levels = np.arange(256, dtype=np.int64)
    # The sum of two even 4-bit draws: a triangle from -15 to 15.
    error = ((levels & 15) + (levels >> 4) - 15) * noise // 16
    brighter = np.maximum(error, 0).astype(np.uint8)
    darker = np.maximum(-error, 0).astype(np.uint8)
    for top in range(0, len(image), _STRIP):
        strip = image[top : top + _STRIP]
        gain = light[top : top + _STRIP]
        lit = strip.astype(np.uint16) * cv2.merge([gain, gain, gain]) // np.uint16(200)
        strip[:] = np.minimum(lit, 255)
        grains = draws.grains(strip.shape)
        cv2.subtract(cv2.add(strip, cv2.LUT(grains, brighter)), cv2.LUT(grains, darker), dst=strip)


def make_light(draws: Draws, wh: tuple[int, int]) -> U8:
    """Return an uneven light, (h, w) uint8, brightest on one side of the frame."""
    corners = np.array([[draws.between(120, 250) for _ in range(3)] for _ in range(2)], np.uint8)
    return cv2.resize(corners, wh, interpolation=cv2.INTER_LINEAR_EXACT)  # type: ignore[return-value]


def blurred(image: U8) -> U8:
    """Return an array blurred by the kernel (1, 2, 1) / 4 along rows and columns; left and right wrap."""
    result = np.empty_like(image)
    for top in range(0, len(image), _STRIP):
        bottom = min(top + _STRIP, len(image))
        rows = image[np.clip(np.arange(top - 1, bottom + 1), 0, len(image) - 1)]
        pairs = average(rows[1:], rows[:-1])
        rows = average(pairs[1:], pairs[:-1])
        pairs = average(rows, np.roll(rows, 1, axis=1))
        result[top:bottom] = average(pairs, np.roll(pairs, -1, axis=1))
    return result


def _noise(draws: Draws, wh: tuple[int, int], cell_x: int, cell_y: int) -> U8:
    """Return smooth noise with cells of 2**cell_x by 2**cell_y px, (h, w) uint8."""
    width, height = wh
    surface = draws.grains(((height >> cell_y) + 3, (width >> cell_x) + 3))
    while cell_x or cell_y:
        doubled = (surface.shape[1] << (cell_x > 0), surface.shape[0] << (cell_y > 0))
        surface = cv2.resize(surface, doubled, interpolation=cv2.INTER_LINEAR_EXACT)  # type: ignore[assignment]
        cell_x, cell_y = max(cell_x - 1, 0), max(cell_y - 1, 0)
        # What will lie outside the frame need not be doubled again.
        surface = surface[: (height >> cell_y) + 3, : (width >> cell_x) + 3]
    return np.ascontiguousarray(surface[:height, :width])


def _fractal(draws: Draws, wh: tuple[int, int], coarse: int) -> U8:
    """Return noise whose details are half as strong with each halving of their size."""
    octaves = [_noise(draws, wh, cell, cell) for cell in range(coarse, max(coarse - 4, 1), -1)]
    surface = octaves.pop()
    while octaves:
        surface = average(octaves.pop(), surface)
    return _contrasted(surface)


def _contrasted(surface: U8) -> U8:
    """Return noise stretched to the whole range: averages crowd around the middle."""
    table = np.clip((np.arange(256) - 124) * 2 + 128, 0, 255).astype(np.uint8)
    return cv2.LUT(surface, table)  # type: ignore[return-value]


def _cloudy(draws: Draws, wh: tuple[int, int]) -> U8:
    return _fractal(draws, wh, draws.between(6, 9))


def _agate(draws: Draws, wh: tuple[int, int]) -> U8:
    """Contour lines of noise."""
    levels = np.arange(256) * draws.between(3, 7)
    table = np.abs(levels % 510 - 255).astype(np.uint8)
    return average(_fractal(draws, wh, 6), cv2.LUT(_noise(draws, wh, 9, 9), table))  # type: ignore[arg-type]


def _planks(draws: Draws, wh: tuple[int, int]) -> U8:
    """Long boards of wood."""
    width, height = wh
    board = draws.between(110, 280)
    boards = height // board + 1
    tones = np.array([draws.between(0, 255) for _ in range(boards)], np.uint8)
    ground = np.repeat(tones, board)[:height, None]
    fibres = average(_noise(draws, wh, 9, 3), _noise(draws, wh, 7, 1))
    surface = average(_contrasted(fibres), np.broadcast_to(ground, (height, width)))
    for seam in range(0, height, board):
        surface[seam : seam + 3] >>= 2
    return surface


def _bricks(draws: Draws, wh: tuple[int, int]) -> U8:
    """Bricks or slabs with joints, each of its own tone."""
    width, height = wh
    brick_w, brick_h = draws.between(120, 420), draws.between(70, 240)
    joint = draws.between(3, 7)
    rows = height // brick_h + 1
    columns = width // brick_w + 3
    courses = np.empty((rows, width), np.uint8)
    for row in range(rows):
        tones = draws.grains((columns,))
        course = np.repeat(tones, brick_w)
        for begin in range(0, len(course), brick_w):
            course[begin : begin + joint] = 0
        courses[row] = course[(row % 2) * (brick_w // 2) :][:width]
    wall = np.repeat(courses, brick_h, axis=0)[:height]
    for begin in range(0, height, brick_h):
        wall[begin : begin + joint] = 0
    return average(wall, _fractal(draws, wh, 5))


def _cloth(draws: Draws, wh: tuple[int, int]) -> U8:
    """A weave of two threads."""
    width, height = wh
    thread = draws.one_of((4, 6, 8, 12))
    x, y = np.arange(width) // thread, np.arange(height) // thread
    weave = ((x[None, :] + y[:, None]) & 1).astype(np.uint8) * np.uint8(160)
    return average(average(weave, _noise(draws, wh, 2, 2)), _fractal(draws, wh, 9))


def _gravel(draws: Draws, wh: tuple[int, int]) -> U8:
    """Small stones."""
    size = draws.between(3, 5)
    stones = _contrasted(
        _contrasted(average(_noise(draws, wh, size, size), _noise(draws, wh, size - 1, size - 1)))
    )
    return average(stones, _noise(draws, wh, 8, 8))


def _dunes(draws: Draws, wh: tuple[int, int]) -> U8:
    """Waves that wander."""
    width, height = wh
    across, down = draws.between(20, 200), draws.between(20, 200)
    phase = np.arange(width, dtype=np.uint16) * np.uint16(across)
    warp = _noise(draws, wh, 9, 9)
    surface = np.empty((height, width), np.uint8)
    for row in range(height):
        # Unsigned 16-bit numbers wrap around as a wave does.
        wave = phase + warp[row] * np.uint16(400) + np.uint16(row * down & 0xFFFF)
        surface[row] = np.abs((wave >> 7).astype(np.int16) - 256).clip(0, 255)
    return average(surface, _fractal(draws, wh, 7))


def _plain(draws: Draws, wh: tuple[int, int]) -> U8:
    return average(_noise(draws, wh, 9, 9), _noise(draws, wh, 1, 1))


_TEXTURES: tuple[Callable[[Draws, tuple[int, int]], U8], ...] = (
    _cloudy,
    _agate,
    _planks,
    _bricks,
    _cloth,
    _gravel,
    _dunes,
    _plain,
)
