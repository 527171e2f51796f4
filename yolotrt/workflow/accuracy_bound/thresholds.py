"""Where an INT8 engine's confidence threshold lies: quantisation can move scores, and mAP does not see it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from yolotrt.arrays import F64
from yolotrt.backends.sidecar import read_sidecar
from yolotrt.errors import YoloTrtError
from yolotrt.geometry.detections import CONFIDENT

SOURCE = "bound_threshold"
"""Name under which a sidecar keeps it."""

NOTICED = 0.05
"""Part of the objects by which two engines must differ at one confidence for a person to be told."""


@dataclass(frozen=True)
class Threshold:
    """What two engines find above one confidence, and where the second finds as much as the first.

    Attributes:
        conf: The confidence, in [0, 1].
        reference: Detections of FP32 above it.
        found: Detections of the engine above it.
        equal: The confidence above which the engine finds as many as FP32 does above ``conf``; None if it
            never does.
        reference_best: The confidence with the best F1 of FP32, where there are annotations.
        best: The same of the engine.
    """

    conf: float
    reference: int
    found: int
    equal: float | None
    reference_best: float | None = None
    best: float | None = None

    @property
    def differs(self) -> bool:
        """Whether the engine finds noticeably more or fewer."""
        return abs(self.found - self.reference) > NOTICED * self.reference


def threshold(reference: F64, found: F64, conf: float = CONFIDENT) -> Threshold:
    """Compare the scores of all detections of two engines on the same images.

    Args:
        reference: (n,) FP32's scores.
        found: (m,) the engine's, down to where it may find as many.
        conf: The confidence that is used.
    """
    wanted = int((reference >= conf).sum())
    ranked = np.sort(found)[::-1]
    equal = float(ranked[wanted - 1]) if 0 < wanted <= len(ranked) else None
    return Threshold(conf, wanted, int((found >= conf).sum()), None if equal is None else round(equal, 4))


def threshold_text(at: Threshold) -> str:
    """Return a sentence for the one who builds an engine."""
    best = ""
    if at.best is not None and at.reference_best is not None:
        best = f"; F1 is best at {at.best:.3f}, FP32's at {at.reference_best:.3f}"
    as_many = f", as many at {at.equal:.3f}" if at.equal is not None else ""
    return f"confidence: at {at.conf:g} it finds {at.found} objects, FP32 {at.reference}{as_many}{best}"


def threshold_note(engine: Path, conf: float = CONFIDENT) -> str | None:
    """Return what to know of an engine's confidence, as its sidecar has it; None if there is nothing.

    Args:
        engine: The engine.
        conf: The confidence that is used.
    """
    try:
        at = Threshold(**json.loads(read_sidecar(engine).sources[SOURCE]))
        if not at.differs:
            return None
        change = at.found / at.reference - 1
        known = at.equal is not None and math.isclose(conf, at.conf)
        moved = f": use {at.equal:.2f} for as many" if known else ""
    except (YoloTrtError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (
        f"{engine.name} found {abs(change):.0%} {'more' if change > 0 else 'fewer'} objects than FP32 at "
        f"{at.conf:g} when it was built{moved}"
    )


def as_source(at: Threshold) -> dict[str, str]:
    """Return what a sidecar keeps."""
    return {SOURCE: json.dumps(asdict(at))}
