"""Which videos there are; imports no library, so that ``--help`` can name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FootageKind = Literal["drift", "day", "dusk", "rain", "sway", "pan", "crowd"]


@dataclass(frozen=True)
class Events:
    """What happens in a video.

    Attributes:
        summary: In a few words.
        every_ms: Time from one shape that comes in to the next.
        ahead: How many have set out before the video begins.
        speed: Least and most speed of what moves, px a second in a frame of 1080 lines.
        sizes: Least and most size of what moves, px.
        waits: Percent of what moves that waits on the way.
        staying: Number of shapes that do not move.
        noise: Strength of the sensor's noise, as in :func:`~yolotrt.data.scenes.backgrounds.light_and_grain`.
        rain: Streaks in a frame of 8 megapixels.
        sway: Number of textures that sway, as trees do.
        dusk: Percent of the light that is lost in a minute.
        pan: Speed of the camera to the right, px a second.
        shake: How far the camera swings, px.
    """

    summary: str
    every_ms: int = 2500
    ahead: int = 4
    speed: tuple[int, int] = (120, 320)
    sizes: tuple[int, int] = (20, 60)
    waits: int = 35
    staying: int = 16
    noise: int = 6
    rain: int = 0
    sway: int = 0
    dusk: int = 0
    pan: int = 0
    shake: int = 0


FOOTAGE: dict[FootageKind, Events] = {
    "drift": Events("all shapes of a scene drift"),
    "day": Events("a fixed camera; few shapes move"),
    "dusk": Events("the light fails, and the sensor's noise grows", noise=14, dusk=45),
    "rain": Events("streaks of rain", noise=8, rain=2500),
    "sway": Events("textures sway as trees do", sway=3),
    "pan": Events("the camera moves slowly", pan=40, shake=2),
    "crowd": Events("many shapes everywhere", every_ms=160, ahead=50, staying=60),
}
