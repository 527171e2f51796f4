"""Are frames as bright as what an engine was calibrated on? Ranges of daylight are not those of night."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.backends.sidecar import read_sidecar
from yolotrt.errors import YoloTrtError
from yolotrt.quantization.batches import brightness

if TYPE_CHECKING:
    from yolotrt.data.queued import Queued
    from yolotrt.quantization.ranges import Seen

SOURCE = "calibration_light"
"""Name under which a sidecar keeps the mean brightness of the calibration images and its spread."""

LEAST = 0.15
"""Difference of brightness below which nothing is said."""

SPREADS = 3.0
"""How many standard deviations of the calibration images' brightness lie within what is usual."""


def light_source(seen: Seen | None) -> dict[str, str]:
    """Return what a sidecar keeps of the calibration images' light; nothing if it is not known."""
    if seen is None or seen.brightness is None or seen.spread is None:
        return {}
    return {SOURCE: f"{seen.brightness:.4f} {seen.spread:.4f}"}


def light_note(engine: Path, frames: Sequence[Frame]) -> str | None:
    """Return what to know if frames are much darker or brighter than what an engine was calibrated on.

    Args:
        engine: The engine.
        frames: (h, w, 3) uint8 frames.
    """
    try:
        mean, spread = map(float, read_sidecar(engine).sources[SOURCE].split())
    except (YoloTrtError, KeyError, ValueError):
        return None
    if not frames:
        return None
    here = sum(map(brightness, frames)) / len(frames)
    if abs(here - mean) <= max(LEAST, SPREADS * spread):
        return None
    return (
        f"{engine.name} was calibrated on pictures of {mean:.0%} brightness, and these have {here:.0%}: "
        "calibrate on pictures like these, too (--images)"
    )


def noting_light(
    engine: Path, deliver: Callable[[Queued, Any], None], note: Callable[[str], None]
) -> Callable[[Queued, Any], None]:
    """Return ``deliver`` for a run, with a look at the light of the first frame that is on the host."""
    looked = False

    def delivered(queued: Queued, result: Any) -> None:
        nonlocal looked
        if not looked and isinstance(queued.frame, np.ndarray):
            looked = True
            if found := light_note(engine, [queued.frame]):
                note(found)
        deliver(queued, result)

    return delivered
